"""Taking up a checkpoint: what it holds, and the configuration that it says."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import (
    Hparams,
    RunConfig,
    ScheduleConfig,
    TaskConfig,
    TrainConfig,
    variant_of,
)
from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.learn.episodes import none_begun
from pathb_jax.learn.program import state_shape
from pathb_jax.learn.training import TrainState
from pathb_jax.runs.forking import check_fork
from pathb_jax.runs.identity import config_differences
from pathb_jax.runs.manifest import CheckpointMeta, read_manifest
from pathb_jax.runs.tables import EVALUATIONS, HISTORY, Table, saved_tables
from pathb_jax.settings import strictly
from pathb_jax.store import checkpoints
from pathb_jax.store.models import parse, shown
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.step_folders import complete_steps

G = TypeVar("G")

ONGOING = "state.ongoing."
"""What the names of `TrainState.ongoing` begin with in a checkpoint."""


class Loaded(NamedTuple):
    """A checkpoint's content."""

    path: Path
    state: TrainState
    history: Table
    """A row per update of its run."""
    evaluations: Table
    """In-run evaluations of its run."""
    train_config: TrainConfig
    """Shapes of its run."""
    meta: CheckpointMeta
    """Of its run at that moment."""


def load(step_folder: Path, config: TrainConfig | None, flag: str) -> Loaded:
    """Restore one step's folder.

    Args:
        step_folder: as `checkpoints.resolve_checkpoint` returns it.
        config: shapes the state must fit, if any: batch-envs and the like may differ, tiers may
            not.
        flag: what an error message blames.

    Raises:
        InputError: it is of another tier or sensor tier, or damaged.
    """
    try:
        content = checkpoints.read_meta(step_folder)
        meta = _parsed(step_folder, content, flag)
        saved = _group(TrainConfig, meta.config.train)
        for name in ("tier", "sensor_tier", "env"):
            theirs, ours = getattr(saved, name), getattr(config or saved, name)
            if theirs != ours:
                allowed = f"its {name.replace('_', ' ')} is {theirs}, this run's is {ours}"
                raise InputError(flag, str(step_folder), allowed)
        # Of the shapes that its files can hold: making the template takes memory too.
        leaves = checkpoints.read_leaves(step_folder)
        observed = leaves["state.obs"].shape
        if observed[0] != saved.batch_envs:
            raise TypeError(f"batch_envs {saved.batch_envs}, {observed[0]} observed")
        tables = {
            name: jax.ShapeDtypeStruct(leaves[name].shape, np.float64)
            for name in (HISTORY, EVALUATIONS)
            if name in leaves
        }
        shape: Any = state_shape(saved)
        if not any(name.startswith(ONGOING) for name in leaves):  # by an earlier program
            shape = shape.replace(ongoing=None)
        tree = checkpoints.restore(step_folder, {"state": shape, **tables})
        if shape.ongoing is None:
            tree["state"] = tree["state"].replace(ongoing=none_begun(saved.batch_envs))
        history, evaluations = saved_tables(content, tree)
    except CheckpointError as error:
        raise InputError(flag, str(step_folder), str(error)) from None
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _lacking(step_folder, flag, error) from None
    return Loaded(
        path=step_folder,
        state=jax.tree.map(jnp.asarray, tree["state"]),
        history=history,
        evaluations=evaluations,
        train_config=saved,
        meta=meta,
    )


def load_newest(path: Path, config: TrainConfig | None, flag: str) -> Loaded:
    """Restore what a path stands for, as `checkpoints.resolve_checkpoint` says; a run may be at it.

    Raises:
        InputError: as `load`, or a run folder's last checkpoint belongs to another run than its
            manifest.
    """
    loaded = checkpoints.read_newest(path, lambda step: load(step, config, flag), field=flag)
    if loaded.path != Path(path).absolute():
        _refuse_stranger(loaded, flag)
    return loaded


def load_state(path: Path, update: int, config: TrainConfig | None, flag: str) -> Loaded:
    """Restore the state that a run has after one of its updates.

    Args:
        path: the run's folder, or one that `checkpoints.resolve_checkpoint` takes for it.
        update: the update's index.
        config: as for `load`.
        flag: what an error message about the update blames.

    Raises:
        InputError: as `load`, or there is no such state.
    """
    folder = checkpoints.resolve_checkpoint(path).parent
    there = complete_steps(folder)
    if update not in there:
        allowed = f"{path} has the states after {', '.join(map(str, there))} (see --keep-every)"
        raise InputError(flag, update, allowed)
    loaded = load(folder / str(update), config, flag)
    _refuse_stranger(loaded, flag)
    return loaded


def _refuse_stranger(loaded: Loaded, flag: str) -> None:
    """Refuse a checkpoint that outlived its run, below the manifest of another run."""
    folder = loaded.path.parent
    files = RunFiles(folder.parent.parent, folder.name)
    if not files.manifest.exists():
        return
    differences = config_differences(loaded.meta.config, read_manifest(files).config)
    if differences:
        allowed = (
            f"it is of another run than {files.manifest.name} ({'; '.join(differences)}); "
            "name the step's folder if you mean it"
        )
        raise InputError(flag, str(loaded.path), allowed)


def load_parent(config: RunConfig, recorded: str | None = None) -> Loaded:
    """Load what `--load-checkpoint` names.

    Args:
        config: of the run that continues.
        recorded: the step's folder that the run began from, if it has begun before: taken if it
            is still there, whatever was saved in the meantime.
    """
    path, flag = config.output.load_checkpoint, "--load-checkpoint"
    assert path is not None
    if config.output.fork_at is not None:
        loaded = load_state(path, config.output.fork_at, config.train, "--fork-at")
        check_fork(config, loaded)
        return loaded
    if recorded is not None and Path(recorded).is_relative_to(path.absolute()):
        folder = Path(recorded)
        if (folder / checkpoints.MANIFEST).is_file():
            return load(folder, config.train, flag)
    return load_newest(path, config.train, flag)


def refuse_moving_parent(config: RunConfig, files: RunFiles) -> None:
    """Raise InputError if `--fresh` would move away the checkpoint that is to be loaded."""
    path = config.output.load_checkpoint
    if path is not None and path.resolve().is_relative_to(files.out.resolve()):
        raise InputError(
            "--load-checkpoint",
            str(path),
            f"it lies in {files.out}, which --fresh moves aside; choose another --out",
        )


def saved_config(path: Path, flag: str) -> RunConfig:
    """What a checkpoint says of its run, not yet validated: to be completed by flags.

    Raises:
        InputError: as `load`.
    """
    try:
        meta = checkpoints.read_newest(path, checkpoints.read_meta, field=flag)
        saved = _parsed(path, meta, flag).config
        hparams = dict(saved.hparams)
        if variant_of(saved.task["variant"]).family != "L-Mixed":
            hparams["mixed_lambda"] = None  # what `validated` fills in
        return RunConfig(
            task=_group(TaskConfig, saved.task),
            train=_group(TrainConfig, saved.train),
            hparams=_group(Hparams, hparams),
            schedule=_group(ScheduleConfig, saved.schedule),
        )
    except CheckpointError as error:
        raise InputError(flag, str(path), str(error)) from None
    except (LookupError, TypeError) as error:
        raise _lacking(path, flag, error) from None


def _parsed(path: Path, meta: Mapping[str, Any], flag: str) -> CheckpointMeta:
    try:
        return parse(CheckpointMeta, meta, "")
    except InputError as error:
        raise _lacking(path, flag, error) from None


def _lacking(path: Path, flag: str, error: Exception) -> InputError:
    allowed = f"its metadata lacks what this program writes ({error})"
    return InputError(flag, str(path), allowed)


def _group(group: type[G], saved: Mapping[str, Any]) -> G:
    """Build a group of settings; what only another program's runs have is left out.

    Raises:
        TypeError: a setting is missing or of another kind than its flag.
    """
    names = [field.name for field in dataclasses.fields(cast(Any, group))]
    known = {name: saved[name] for name in names if name in saved}
    try:
        return strictly(group, known)
    except InputError as error:
        raise TypeError(f"{error.field}: {shown(error.value)!r}, {error.allowed}") from None
