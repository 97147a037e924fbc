"""Runs from their configurations to their files: resumed, continued or fresh, alone or together."""

import contextlib
import time
from collections.abc import Iterator, Sequence

import jax

from pathb_jax.config import RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.learn.program import together
from pathb_jax.learn.task import make_env
from pathb_jax.runs import memory
from pathb_jax.runs.beginning import begin
from pathb_jax.runs.evaluating import evaluate_further
from pathb_jax.runs.evidence import check_evidence
from pathb_jax.runs.identity import environment_changes, find_manifest, set_aside
from pathb_jax.runs.loading import load_parent, refuse_moving_parent
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.runs.observer import Observer
from pathb_jax.runs.outcome import RunOutcome, missing_sets, read_outcome, run_files
from pathb_jax.runs.run import Run, stop_if_requested
from pathb_jax.store.lock import locked
from pathb_jax.system import signals


def train(config: RunConfig, observer: Observer | None = None) -> RunOutcome:
    """Train, evaluate and write all files of one run; resume it where it was stopped.

    Args:
        config: a configuration with at least one update.
        observer: told about progress.

    Returns:
        The outcome. A run that had finished before is read, not trained again.

    Raises:
        InputError: the configuration is not allowed or takes more memory than there is, the folder
            holds another run under the same name, or the checkpoint to load does not fit.
        CheckpointError: checkpoints exist but none of them is whole, or saving one failed.
        StopRequested: a signal asked to stop; the run is saved and marked incomplete.
        OSError: a file cannot be written; what is on disk stays valid.
    """
    config = _checked(config)
    with _opened(config, observer or Observer()) as run:
        if run is not None:
            run.to_the_end()
            run.finish()
    return _outcome(config, trained=run is not None)


def train_together(
    configs: Sequence[RunConfig], observer: Observer | None = None
) -> list[RunOutcome]:
    """Train runs of one shape as one vmapped program, and write the files of each.

    Args:
        configs: configurations that agree in `train` and in which options are on.
        observer: told about the progress of all.

    Returns:
        Their outcomes. Low-order bits are not those of the same runs alone.

    Raises:
        InputError, CheckpointError, StopRequested, OSError: as `train`.
    """
    observer = observer or Observer()
    configs = [_checked(config, len(configs)) for config in configs]
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_opened(config, observer)) for config in configs]
        runs = [run for run in opened if run is not None]
        if runs:
            with contextlib.ExitStack() as stores:
                for run in runs:
                    stores.enter_context(run.store)
                _chunk_by_chunk(runs)
            for run in runs:
                run.finish()
    return [
        _outcome(config, trained=run is not None)
        for config, run in zip(configs, opened, strict=True)
    ]


def _checked(config: RunConfig, runs: int = 1) -> RunConfig:
    """Return a configuration validated; refuse, before anything is written, what cannot train."""
    config = validated(config)
    if config.evaluation.eval_only or config.schedule.updates == 0:
        flag = "--eval-only" if config.evaluation.eval_only else "--updates"
        value = True if config.evaluation.eval_only else 0
        raise InputError(flag, value, "nothing would train; evaluate_only evaluates")
    make_env(config.train)  # of whatever name: refused before anything is written
    manifest = None if config.output.fresh else find_manifest(config, run_files(config))
    if manifest is None or not manifest.is_finished:
        memory.check(config, runs, "--runs-per-device")
    return config


def _outcome(config: RunConfig, trained: bool) -> RunOutcome:
    """Read a finished run; one that finished before is checked, and evaluated where that lacks."""
    if not trained:
        files = run_files(config)
        check_evidence(files)
        if missing := missing_sets(config, read_manifest(files)):
            evaluate_further(config, missing)
    return read_outcome(config, trained)


def _chunk_by_chunk(runs: Sequence[Run]) -> None:
    """Train all runs to their ends in chunks of the same length; one that is over waits."""
    with signals.ending_at_once():  # compiling
        program = together(runs[0].config, len(runs))
    for run in runs:
        run.runs_together = len(runs)
    while going := [run for run in runs if not run.is_over]:
        stop_if_requested(going)
        length = min(run.chunk_length() for run in going)
        started = time.perf_counter()
        states, chunks = program.train(
            [run.state for run in runs],
            [run.hparams for run in runs],
            [run.env_params for run in runs],
            [0 if run.is_over else length for run in runs],
            [run.span for run in runs],
        )
        chunks = jax.device_get(chunks)
        seconds = time.perf_counter() - started
        for run, state, chunk in zip(runs, states, chunks, strict=True):
            if run in going:
                run.take(state, chunk, seconds)
                run.after_chunk()


@contextlib.contextmanager
def _opened(config: RunConfig, observer: Observer) -> Iterator[Run | None]:
    """Hold a run's folder with the run ready to train in it, or None if it has finished."""
    files, parent = run_files(config), None
    if config.output.fresh and config.output.load_checkpoint is not None:
        refuse_moving_parent(config, files)
        parent = load_parent(config)  # refused, if it is, before anything is moved
    if config.output.fresh and (moved := set_aside(files.out)) is not None:
        observer.notice(f"{files.out}: what was there is now in {moved}")
    manifest = find_manifest(config, files)
    if manifest is not None and manifest.is_finished:
        yield None
        return
    if manifest is not None:
        environment_changes(config, files, manifest)
    if config.output.load_checkpoint is not None and manifest is None and parent is None:
        parent = load_parent(config)  # refused, if it is, before anything is created
    with locked(files.out):
        # Read again: another process may have been at work until the lock was ours.
        manifest = find_manifest(config, files)
        if manifest is not None and manifest.is_finished:
            yield None
            return
        yield begin(config, files, observer, manifest, parent)
