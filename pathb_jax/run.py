"""Runs from their configurations to their files: resumed, continued or fresh, alone or together."""

from pathb_jax.config import RunConfig
from pathb_jax.loading import load_parent
from pathb_jax.outcome import (
    RunOutcome,
    environment_changes,
    find_manifest,
    is_finished,
    read_outcome,
    run_files,
    set_aside,
)
from pathb_jax.running import Observer, Progress, Run
from pathb_jax.store.lock import locked

__all__ = ["Observer", "Progress", "train"]


def train(config: RunConfig, observer: Observer | None = None) -> RunOutcome:
    """Train, evaluate and write all files of one run; resume it where it was stopped.

    Args:
        config: a validated configuration with at least one update.
        observer: told about progress.

    Returns:
        The outcome. A run that had finished before is read, not trained again.

    Raises:
        InputError: the folder holds another run under the same name, or the checkpoint to
            load does not fit.
        CheckpointError: checkpoints exist but none of them is whole, or saving one failed.
        StopRequested: a signal asked to stop; the run is saved and marked incomplete.
        OSError: a file cannot be written; what is on disk stays valid.
    """
    files, observer = run_files(config), observer or Observer()
    if config.output.fresh and (moved := set_aside(files.out)) is not None:
        observer.notice(f"{files.out}: what was there is now in {moved}")
    manifest = find_manifest(config, files)
    if is_finished(manifest):
        return read_outcome(files, trained=False)
    if manifest is not None:
        environment_changes(config, files, manifest)
    run, parent = Run(config, files, observer), None
    if config.output.load_checkpoint is not None and manifest is None:
        parent = load_parent(config)  # refused, if it is, before anything is created
    with locked(files.out):
        # Read again: another process may have been at work until the lock was ours.
        manifest = find_manifest(config, files)
        if is_finished(manifest):
            return read_outcome(files, trained=False)
        run.begin(manifest, parent)
        run.to_the_end()
        run.finish()
    return read_outcome(files, trained=True)
