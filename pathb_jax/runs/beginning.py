"""A run's beginning: resumed from its own checkpoint, continued from another's, or fresh."""

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import task_params
from pathb_jax.learn.training import MAY_BE_MISSING
from pathb_jax.runs.forking import forked_state, lineage_of
from pathb_jax.runs.identity import config_differences, environment_changes
from pathb_jax.runs.loading import Loaded, load, load_parent
from pathb_jax.runs.manifest import EnvironmentChange, Lineage, RunManifest, recorded
from pathb_jax.runs.observer import Observer
from pathb_jax.runs.run import Run
from pathb_jax.runs.tables import (
    EARLIER_COLUMNS,
    EVALUATIONS,
    HISTORY,
    columns,
    length,
    table,
)
from pathb_jax.store import artifacts
from pathb_jax.store.checkpoint_store import CheckpointStore
from pathb_jax.store.measures import measure_of
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.step_folders import latest_good
from pathb_jax.system import provenance, signals


def begin(
    config: RunConfig,
    files: RunFiles,
    observer: Observer,
    manifest: RunManifest | None,
    parent: Loaded | None,
) -> Run:
    """Set up a run's first state, then files that agree with it.

    Args:
        config: the run's.
        files: where it writes; the caller holds the folder's lock.
        observer: told where it resumes, and later about progress.
        manifest: of the run to resume, or None.
        parent: the checkpoint to load, if it is loaded already. It is not needed once the run has a
            checkpoint of its own.

    Raises:
        InputError: a checkpoint does not fit, or the environment changed and that is not accepted.
        CheckpointError: checkpoints exist but none of them is whole.
    """
    resumed = _resumed(config, files, observer) if manifest is not None else None
    if resumed is not None:
        parent = None
    elif config.output.load_checkpoint is not None:
        parent = parent or _parent(config, files, observer, manifest)
    origin, done = (resumed, length(resumed.history)) if resumed is not None else (parent, 0)
    first_update = origin.meta.update - done if origin is not None else 0
    steps_before = origin.meta.env_steps if origin is not None else 0
    parent_checkpoint: str | None = None
    lineage: Lineage | None = None
    started: str | None = provenance.utc_now()
    changes: list[EnvironmentChange] = []
    if manifest is not None:
        parent_checkpoint, started = manifest.parent_checkpoint, manifest.started
        lineage = manifest.fork
        changes += manifest.environment_changes
        if new := environment_changes(config, files, manifest):
            update = first_update + done
            changes.append(EnvironmentChange(resumed_after_update=update, changes=new))
    with signals.ending_at_once():  # compiling
        compiled = program(config)
    env_params = task_params(config, compiled.env)
    if resumed is not None:
        state = resumed.state
    elif parent is not None and config.output.fork_at is not None:
        lineage = lineage_of(config, parent)
        state = forked_state(config, parent)
    elif parent is not None:
        state = compiled.continue_from(config, env_params, parent.state)
    else:
        state = compiled.init(config, env_params)
    measured = measure_of(config.train.env)
    run = Run(
        config=config,
        files=files,
        observer=observer,
        program=compiled,
        hparams=traced(config),
        env_params=env_params,
        store=CheckpointStore(files.checkpoints),
        state=state,
        first_update=first_update,
        first_env_steps=steps_before - done * config.train.batch_size,
        parent_checkpoint=parent_checkpoint if parent is None else str(parent.path),
        lineage=lineage,
        started=started,
        environment_changes=changes,
        history=table(columns(HISTORY)) if resumed is None else resumed.history,
        evaluations=table(columns(EVALUATIONS, measured))
        if resumed is None
        else resumed.evaluations,
    )
    run.write_manifest("running")
    artifacts.write_history(files.history, run.history, MAY_BE_MISSING)
    artifacts.write_evaluations(files.evaluations, run.evaluations)
    return run


def _parent(
    config: RunConfig, files: RunFiles, observer: Observer, manifest: RunManifest | None
) -> Loaded:
    """Load the state that the run began from if it is still there, else what is now.

    The run's bits depend on it, and its parent may have been trained on in the meantime.
    """
    former = None if manifest is None else manifest.parent_checkpoint
    parent = load_parent(config, former)
    if former not in (None, str(parent.path)):
        observer.notice(f"{files.slug}: {former} is gone; beginning again from {parent.path}")
    return parent


def _resumed(config: RunConfig, files: RunFiles, observer: Observer) -> Loaded | None:
    """Take up the run's own newest undamaged checkpoint, if there is one."""
    good = latest_good(files.checkpoints)
    for aside in good.set_aside:
        observer.notice(
            f"checkpoint of update {aside.update} is damaged ({aside.reason}): "
            f"set aside as {aside.moved_to.name}, going on from an earlier one"
        )
    if good.path is None:
        return None
    loaded = load(good.path, config.train, "--out")
    differences = config_differences(loaded.meta.config, recorded(config))
    # Of a run by an earlier program: it goes on with the columns that it has.
    if not set(EARLIER_COLUMNS[HISTORY]) <= set(loaded.history) <= set(columns(HISTORY)):
        differences.append("its history has other columns")
    if differences:
        raise InputError(
            "--out",
            str(files.out),
            f"its checkpoint of update {loaded.meta.update} belongs to another run of this "
            f"name ({'; '.join(differences)}); choose another --out, or --fresh",
        )
    observer.notice(f"{files.slug}: resuming after update {loaded.meta.update}")
    return loaded
