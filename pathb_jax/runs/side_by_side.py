"""Many runs at once: put them on the devices that are there, and yield each as it finishes.

Each device trains one run at a time, driven by a thread of its own, with the same compiled program
that a run alone has: the bits of a run do not depend on what runs beside it. An accelerator that
one run does not fill can train several as one vmapped program, if asked. Other machines' devices
are a cluster's to give. A run resumes by itself, so a set of runs does.
"""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from pathb_jax.config import ParallelRuns, RunConfig
from pathb_jax.learn.hparams import options
from pathb_jax.learn.program import program, together
from pathb_jax.runs import memory, trainer
from pathb_jax.runs.cluster import Cluster
from pathb_jax.runs.identity import find_manifest
from pathb_jax.runs.observer import Observer, Progress
from pathb_jax.runs.outcome import RunOutcome, missing_sets, run_files
from pathb_jax.system import backend, signals


class Finished(NamedTuple):
    """A run that ended."""

    position: int
    """Where it stood among those asked for."""
    outcome: RunOutcome


def devices(parallel_runs: ParallelRuns) -> list[Any]:
    """Return the devices that runs are put on; auto: all that there are."""
    present = jax.devices(backend.current_device().platform)
    return present if parallel_runs == "auto" else present[:parallel_runs]


def check_memory(
    configs: Sequence[RunConfig], parallel_runs: ParallelRuns = "auto", runs_per_device: int = 1
) -> None:
    """Refuse runs of which so many side by side take more memory than there is.

    Raises:
        InputError: naming the flag that says how many.
    """
    side_by_side, flag = min(runs_per_device, len(configs)), "--runs-per-device"
    chosen = devices(parallel_runs)
    # A CPU's devices share its memory; an accelerator has its own.
    if chosen[0].platform == "cpu" and len(chosen) > 1:
        side_by_side, flag = min(runs_per_device * len(chosen), len(configs)), "--parallel-runs"
    for config in configs:
        memory.check(config, side_by_side, flag)


def train_all(
    configs: Sequence[RunConfig],
    observer: Observer | None = None,
    parallel_runs: ParallelRuns = "auto",
    runs_per_device: int = 1,
    cluster: "Cluster | None" = None,
) -> Iterator[Finished]:
    """Train every run, as many side by side as there are devices.

    Args:
        configs: validated configurations, each with an `out` of its own.
        observer: told about the progress of all; called from several threads.
        parallel_runs: at most so many side by side. `backend.select_backend` has to have made
            that many host devices of a CPU.
        runs_per_device: runs of one shape that share a device as one vmapped program, which
            changes their low-order bits.
        cluster: where to train instead of on this machine, each run with a device to itself; the
            two arguments before say nothing then.

    Yields:
        Runs as they end; those that had ended before come first.

    Raises:
        StopRequested: a signal asked to stop; all runs are saved and marked incomplete.
        Exception: what the first run that failed raised. The others are left at their last
            checkpoints.
    """
    observer = observer or Observer()
    pending = []
    for index, config in enumerate(configs):
        manifest = find_manifest(config, run_files(config))
        if manifest is not None and manifest.is_finished and not missing_sets(config, manifest):
            yield Finished(index, trainer.train(config, observer))
        else:
            pending.append(index)
    if cluster is not None:
        ended = cluster.train_all({index: configs[index] for index in pending}, observer)
        with contextlib.closing(ended):
            for index, outcome in ended:
                yield Finished(index, outcome)
        return
    check_memory([configs[index] for index in pending], parallel_runs, runs_per_device)
    groups = _groups(configs, pending, runs_per_device)
    chosen = devices(parallel_runs)[: len(groups)]
    if len(chosen) <= 1:
        for group in groups:
            yield from _train_group(configs, group, observer)
        return
    _compile(chosen, [configs[index] for index in groups[0]])
    yield from _train_in_threads(configs, groups, chosen, observer)


@contextlib.contextmanager
def computing_on(device: Any) -> Iterator[None]:
    """Compute on a device in this thread, with the precision that `select_backend` sets.

    A thread does not take over what its parent set for itself, as the library does.
    """
    with jax.default_device(device), jax.default_matmul_precision("float32"):
        yield


def _groups(
    configs: Sequence[RunConfig], pending: Sequence[int], runs_per_device: int
) -> list[list[int]]:
    """Split runs into groups of at most so many that can be one program."""
    alike: dict[Any, list[int]] = {}
    for index in pending:
        config = configs[index]
        alike.setdefault((config.train, options(config)), []).append(index)
    size = runs_per_device
    split = [
        same[first : first + size] for same in alike.values() for first in range(0, len(same), size)
    ]
    return sorted(split)


def _train_group(
    configs: Sequence[RunConfig], group: Sequence[int], observer: Observer
) -> list[Finished]:
    if len(group) == 1:
        outcomes = [trainer.train(configs[group[0]], observer)]
    else:
        outcomes = trainer.train_together([configs[index] for index in group], observer)
    return [Finished(*pair) for pair in zip(group, outcomes, strict=True)]


def _compile(chosen: Sequence[Any], group: Sequence[RunConfig]) -> None:
    """Compile for all devices at once, while there is nothing that a stop could lose."""

    def compile_for(device: Any) -> None:
        with computing_on(device):
            program(group[0])
            if len(group) > 1:
                together(group[0], len(group))

    with signals.ending_at_once(), ThreadPoolExecutor(len(chosen)) as pool:
        list(pool.map(compile_for, chosen))


class _Abandoned(Exception):  # noqa: N818  # not an error of its own
    """Another run failed, or nobody waits for this one any more."""


class _Passing(Observer):
    """Passes on what a run tells, until runs are abandoned."""

    def __init__(self, observer: Observer, abandoned: threading.Event) -> None:
        self._observer, self._abandoned = observer, abandoned

    def progress(self, progress: Progress) -> None:
        if self._abandoned.is_set():
            raise _Abandoned
        self._observer.progress(progress)

    def notice(self, message: str) -> None:
        self._observer.notice(message)


def _train_in_threads(
    configs: Sequence[RunConfig],
    groups: Sequence[Sequence[int]],
    chosen: Sequence[Any],
    observer: Observer,
) -> Iterator[Finished]:
    waiting: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
    for group in groups:
        waiting.put(group)
    ended: queue.SimpleQueue[Finished | Exception | None] = queue.SimpleQueue()
    abandoned = threading.Event()
    passing = _Passing(observer, abandoned)

    def work(device: Any) -> None:
        try:
            with computing_on(device):
                while not abandoned.is_set():
                    for finished in _train_group(configs, waiting.get_nowait(), passing):
                        ended.put(finished)
        except queue.Empty:
            pass
        except Exception as error:  # raised again where the runs are waited for
            ended.put(error)
        finally:
            ended.put(None)

    threads = [
        threading.Thread(target=work, args=[device], name=f"run-on-{device}", daemon=True)
        for device in chosen
    ]
    for thread in threads:
        thread.start()
    failure: Exception | None = None
    try:
        at_work = len(threads)
        while at_work:
            message = ended.get()
            if message is None:
                at_work -= 1
            elif isinstance(message, Finished):
                yield message
            elif not isinstance(message, _Abandoned):
                failure = failure or message
                if not isinstance(message, signals.StopRequested):
                    abandoned.set()
    finally:
        abandoned.set()
        for thread in threads:
            thread.join()
    if failure is not None:
        raise failure
