"""Taking up a checkpoint: to go on from it, or only to evaluate it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import (
    TIERS,
    VARIANTS,
    Hparams,
    RunConfig,
    ScheduleConfig,
    TaskConfig,
    TrainConfig,
)
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult, evaluate_policy
from pathb_jax.learn.program import state_shape
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.learn.training import TrainState
from pathb_jax.runs import memory
from pathb_jax.runs.evidence import digests
from pathb_jax.runs.manifest import CONFIG_GROUPS, read_manifest
from pathb_jax.runs.outcome import config_differences, relative_to_run, run_files, write_set
from pathb_jax.store import artifacts, checkpoints
from pathb_jax.store.artifacts import RunFiles, evaluation_sets
from pathb_jax.store.checkpoints import CheckpointError
from pathb_jax.store.lock import locked
from pathb_jax.store.run_tables import saved_evaluations, table_shapes

EVALUATED = (
    ("task", None),
    ("train", "tier"),
    ("train", "sensor_tier"),
    ("hparams", "mixed_lambda"),
)
"""Group and setting (None: all of them) that a checkpoint's evaluation takes from its run."""


class Loaded(NamedTuple):
    """A checkpoint's content."""

    path: Path
    state: TrainState
    history: np.ndarray
    """`[updates of its run, len(HISTORY_COLUMNS)]`"""
    evaluations: list[dict[str, Any]]
    """In-run evaluations of its run, each with EVALUATIONS_COLUMNS."""
    train_config: TrainConfig
    """Shapes of its run."""
    meta: dict[str, Any]
    """`config`, `update`, `env_steps` of its run at that moment."""


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
        meta = checkpoints.read_meta(step_folder)
        if not all(type(meta["config"][group]) is dict for group in CONFIG_GROUPS):
            raise TypeError("config")
        if not all(type(meta[name]) is int for name in ("update", "env_steps")):
            raise TypeError("update, env_steps")
        saved = TrainConfig(**meta["config"]["train"])
        for name in ("tier", "sensor_tier"):
            theirs, ours = getattr(saved, name), getattr(config or saved, name)
            if theirs != ours:
                allowed = f"its {name.replace('_', ' ')} is {theirs}, this run's is {ours}"
                raise InputError(flag, str(step_folder), allowed)
        # Of the shapes that its files can hold: making the template takes memory too.
        observed = checkpoints.read_leaves(step_folder)["state.obs"].shape
        if observed[0] != saved.batch_envs:
            raise TypeError(f"batch_envs {saved.batch_envs}, {observed[0]} observed")
        tables = {
            name: jax.ShapeDtypeStruct(shape, np.float64)
            for name, shape in table_shapes(meta).items()
        }
        template = {"state": state_shape(saved), **tables}
        tree = checkpoints.restore(step_folder, template)
    except CheckpointError as error:
        raise InputError(flag, str(step_folder), str(error)) from None
    except (LookupError, TypeError, AttributeError) as error:
        allowed = f"its metadata lacks what this program writes ({error})"
        raise InputError(flag, str(step_folder), allowed) from None
    return Loaded(
        path=step_folder,
        state=jax.tree.map(jnp.asarray, tree["state"]),
        history=tree["history"],
        evaluations=saved_evaluations(meta, tree),
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


def _refuse_stranger(loaded: Loaded, flag: str) -> None:
    """Refuse a checkpoint that outlived its run, below the manifest of another run."""
    folder = loaded.path.parent
    files = RunFiles(folder.parent.parent, folder.name)
    if not files.manifest.exists():
        return
    recorded = read_manifest(files)["config"]
    recorded["output"]["out"] = loaded.meta["config"]["output"].get("out")
    differences = config_differences(loaded.meta["config"], recorded)
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


# Evaluating what was loaded.


def saved_config(path: Path, flag: str) -> RunConfig:
    """What a checkpoint says of its run, not yet validated: to be completed by flags.

    Raises:
        InputError: as `load`.
    """
    try:
        saved = checkpoints.read_newest(path, checkpoints.read_meta, field=flag)["config"]
        variant = VARIANTS[saved["task"]["variant"]]
        hparams = _known(Hparams._fields, saved["hparams"])
        # What `validated` fills in.
        hparams |= {"lr_end": None, "entropy_coef_end": None}
        if variant.family != "L-Mixed":
            hparams["mixed_lambda"] = None
        return RunConfig(
            task=TaskConfig(**_known(_names(TaskConfig), saved["task"])),
            train=TrainConfig(**_known(_names(TrainConfig), saved["train"])),
            hparams=Hparams(**hparams),
            schedule=ScheduleConfig(**_known(_names(ScheduleConfig), saved["schedule"])),
        )
    except CheckpointError as error:
        raise InputError(flag, str(path), str(error)) from None
    except (LookupError, TypeError, AttributeError) as error:
        allowed = f"its metadata lacks what this program writes ({error})"
        raise InputError(flag, str(path), allowed) from None


def _names(group: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]


def _known(names: Sequence[str], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only another program's runs have."""
    return {name: saved[name] for name in names if name in saved}


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write files of their own.

    They have the set's suffix, as the files of a training run's further sets have. Where a run of
    this name in the folder has such a set itself, `_only` stands before it: what a run evaluated
    at its end is never replaced.

    Returns:
        One summary per set.

    Raises:
        InputError: the checkpoint does not fit, is of another variant, lambda or reward than
            `config` says, or the folder is in use.
    """
    memory.check_evaluation(config.evaluation.eval_seeds, TIERS[config.train.tier].width)
    loaded = load_parent(config)
    _refuse_other_settings(config, loaded)
    files, env_steps = run_files(config), loaded.meta["env_steps"]
    with locked(files.out):
        own = _own_suffixed_sets(files)
        results = _play(config, loaded, config.evaluation.eval_seed_start)
        return [
            write_set(
                config,
                files.requested_set(result.seed_start)
                if result.seed_start in own
                else files.own_set(result.seed_start, first=False),
                result,
                str(loaded.path),
                env_steps,
            )
            for result in results
        ]


def _own_suffixed_sets(files: RunFiles) -> list[int]:
    if not files.manifest.exists():
        return []
    return evaluation_sets(read_manifest(files)["config"]["evaluation"]["eval_seed_start"])[1:]


def _refuse_other_settings(config: RunConfig, loaded: Loaded) -> None:
    saved, ours = loaded.meta["config"], config.to_dict()
    for group, setting in EVALUATED:
        for name in ours[group] if setting is None else [setting]:
            theirs = saved[group].get(name, ours[group][name])
            if ours[group][name] != theirs:
                allowed = f"{loaded.path} was trained with {theirs!r}; leave it out"
                raise InputError(f"--{name.replace('_', '-')}", ours[group][name], allowed)


def evaluate_further(config: RunConfig, seed_starts: Sequence[int]) -> None:
    """Evaluate a finished run's last checkpoint on sets that it has not evaluated itself.

    Args:
        config: of the run, asking for these sets.
        seed_starts: as `outcome.missing_sets` returns them.

    Raises:
        InputError: the checkpoint is gone or damaged, or the folder is in use.
    """
    files = run_files(config)
    with locked(files.out):
        manifest = read_manifest(files)
        loaded = load(files.checkpoints / str(manifest["update"]), config.train, "--out")
        checkpoint = relative_to_run(files, files.checkpoints / str(manifest["update"]))
        written: list[Path] = []
        for result in _play(config, loaded, seed_starts):
            where = files.further_set(result.seed_start, result.seeds)
            write_set(config, where, result, checkpoint, manifest["env_steps"])
            written += where
        evidence = {**manifest.get("evidence", {}), **digests(files, written)}
        artifacts.write_manifest(files, {**manifest, "evidence": evidence})


def _play(config: RunConfig, loaded: Loaded, seed_starts: Sequence[int]) -> list[SetResult]:
    env = make_env(config.train)
    return evaluate_policy(
        config.train,
        env,
        task_params(config, env),
        loaded.state.params,
        loaded.state.normalizer,
        seed_starts,
        config.evaluation.eval_seeds,
    )
