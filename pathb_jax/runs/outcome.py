"""What a run leaves in its folder: manifest, evaluations, policy; writing and reading them back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from pathb_jax.config import TIERS, VARIANTS, RunConfig
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.task import env_config
from pathb_jax.learn.training import TrainState
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.store import artifacts, checkpoints
from pathb_jax.store.artifacts import EvaluationFiles, RunFiles, evaluation_sets
from pathb_jax.store.checkpoints import CheckpointError
from pathb_jax.store.lock import locked_with_all_below
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.system import provenance

NEUTRAL = (
    ("evaluation", "eval_seed_start"),
    ("evaluation", "eval_seeds"),
    ("evaluation", "eval_every"),
    ("evaluation", "success_floor"),
    ("output", "progress"),
    ("output", "backend"),
    ("output", "deterministic"),  # stands in the XLA flags, which the manifest compares
    ("output", "fresh"),
    ("output", "accept_environment_change"),
)
"""Settings that may differ between a run and its resumption: they do not touch training.

A finished run that lacks evaluations which are asked for is evaluated, not refused."""


class RunOutcome(NamedTuple):
    """A finished run, as its files tell it."""

    status: Literal["completed", "diverged"]
    files: RunFiles
    env_steps: int
    train_seconds: float
    """Wall-clock seconds spent in training chunks, over all sessions of the run."""
    history: Mapping[str, np.ndarray]
    summaries: Mapping[int, Mapping[str, Any]]
    """Evaluation summary per first seed; empty for a diverged run."""
    evaluations: Mapping[str, np.ndarray]
    """Columns of the in-run evaluations, those of as many seeds per set as were asked for."""
    diverged: Mapping[str, Any] | None
    """`update` and first bad `quantity` of a diverged run."""
    trained: bool
    """Whether this call trained at all (a finished run is only read)."""
    manifest: Mapping[str, Any]
    """The run's manifest: what trained it, when and where."""
    evaluation_files: Mapping[int, EvaluationFiles] = MappingProxyType({})
    """Where the evaluations lie that `summaries` tells of."""


def run_files(config: RunConfig) -> RunFiles:
    """Where a validated configuration's files go."""
    slug = artifacts.slug(
        config.task.variant, config.train.tier, config.schedule.seed, config.output.run_label
    )
    assert config.output.out is not None  # filled in by `validated`
    return RunFiles(config.output.out, slug)


def write_set(
    config: RunConfig,
    files: EvaluationFiles,
    result: SetResult,
    checkpoint: str,
    env_steps: int,
) -> dict[str, Any]:
    """Write one set's rows and summary; return the summary.

    Args:
        config: the run's configuration.
        files: where.
        result: the episodes.
        checkpoint: what was evaluated, as the summary names it.
        env_steps: environment steps it was trained for.
    """
    summary = {
        "checkpoint": checkpoint,
        "sensor_tier": config.train.sensor_tier,
        "seed_start": result.seed_start,
        "seeds": result.seeds,
        "success_count": result.success_count,
        "success_rate": result.success_rate,
        "mean_terminal_alignment": result.mean_terminal_alignment,
        "mean_steps": result.mean_steps,
        "env_config": env_config(config),
        "env_steps": env_steps,
    }
    artifacts.write_evaluation(files, episode_rows(result), summary)
    return summary


def episode_rows(result: SetResult) -> dict[str, Any]:
    """Columns of an evaluation's table, one row per seed."""
    episodes = result.episodes
    return {
        "seed": result.seed_start + np.arange(result.seeds),
        "terminalOutcome": np.where(episodes.success, "success", "timeout"),
        "steps": episodes.steps,
        "terminalAlignment": episodes.terminal_alignment,
        "terminalDistance": episodes.terminal_distance,
        "pathEfficiency": episodes.path_efficiency,
        "saturationCount": episodes.saturation_count,
        "pathLength": episodes.path_length,
        "clippedCount": episodes.clipped_count,
        "regimeRetention": episodes.regime_retention,
        "terminalBasinDistance": episodes.terminal_basin_distance,
        "terminalX": episodes.terminal_x,
        "terminalY": episodes.terminal_y,
    }


def write_policy(config: RunConfig, files: RunFiles, state: TrainState, env_steps: int) -> None:
    """Write the actor, with the statistics of the same moment, as a portable JSON file."""
    state = jax.device_get(state)
    size = TIERS[config.train.tier]
    layers = [state.params["actor"][f"Dense_{index}"] for index in range(size.depth + 1)]
    artifacts.write_policy(
        files.policy,
        family=VARIANTS[config.task.variant].family,
        variant=config.task.variant,
        tier=config.train.tier,
        layers=[(layer["kernel"].T, layer["bias"]) for layer in layers],
        obs_mean=state.normalizer.mean,
        obs_std=np.asarray(normalizer.std(state.normalizer)),
        hidden_size=size.width,
        depth=size.depth,
        action_scale=networks.ACTION_SCALE,
        metadata={
            "sensor_tier": config.train.sensor_tier,
            "env_steps": env_steps,
            "update": int(state.update),
            "seed": config.schedule.seed,
            "run_label": config.output.run_label,
            "log_std": state.params["log_std"].tolist(),
            "mixed_lambda": config.hparams.mixed_lambda,
        },
    )


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List settings that differ, as "group.name: old -> new"; neutral ones are left out."""
    return [
        f"{group}.{name}: {old.get(group, {}).get(name)!r} -> {value!r}"
        for group, values in new.items()
        for name, value in values.items()
        if old.get(group, {}).get(name) != value and (group, name) not in NEUTRAL
    ]


def training_differences(recorded: Mapping[str, Any], config: RunConfig) -> list[str]:
    """List, as `config_differences`, what makes another run of a recorded configuration.

    Where the files lie is not part of what they say: a folder may be moved, or reached by another
    path.
    """
    ours = config.to_dict()
    ours["output"]["out"] = recorded["output"]["out"]
    return config_differences(recorded, ours)


def find_manifest(config: RunConfig, files: RunFiles) -> dict[str, Any] | None:
    """Manifest of this same run if the folder holds one already.

    Raises:
        InputError: the folder holds another run of the same name, or its checkpoints alone, or the
            manifest is broken.
    """
    if not files.manifest.exists():
        _refuse_orphans(config, files)
        return None
    manifest = read_manifest(files)
    differences = training_differences(manifest["config"], config)
    if differences:
        raise _another_run(files, f"run {files.slug} with other settings", differences)
    return manifest


def _refuse_orphans(config: RunConfig, files: RunFiles) -> None:
    """Raise InputError if there are checkpoints without the manifest of their run.

    Nothing says where they were trained; a new run of this name would go on from them after its
    first stop, whatever they are.
    """
    if not any(files.checkpoints.glob("[0-9]*")):
        return
    differences = []
    try:
        newest = files.checkpoints / str(complete_steps(files.checkpoints)[-1])
        differences = training_differences(checkpoints.read_meta(newest)["config"], config)
    except (CheckpointError, AttributeError, LookupError, TypeError):
        pass  # none of them can be read
    raise _another_run(
        files, f"checkpoints of a run {files.slug} without its manifest", differences
    )


def _another_run(files: RunFiles, what: str, differences: Sequence[str]) -> InputError:
    told = f" ({'; '.join(differences)})" if differences else ""
    allowed = f"it holds {what}{told}; choose another --out or --run-label, or --fresh"
    return InputError("--out", str(files.out), allowed)


def is_finished(manifest: Mapping[str, Any] | None) -> bool:
    """Say whether nothing is left to train."""
    return manifest is not None and manifest["status"] in ("completed", "diverged")


def recorded_environment(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment that a run was last at work in, as its manifest says it."""
    return {name: manifest.get(name, {}) for name in ("source", "backend")}


def environment_changes(
    config: RunConfig,
    files: RunFiles,
    manifest: Mapping[str, Any],
    now: Mapping[str, Any] | None = None,
) -> list[str]:
    """List what changed about code, versions and devices since the run was last at work.

    Args:
        config: the run's configuration.
        files: its files.
        manifest: its manifest.
        now: what to compare with; None: this process's environment.

    Raises:
        InputError: something changed, and the configuration does not accept that.
    """
    changes = provenance.environment_differences(
        recorded_environment(manifest), now or provenance.environment()
    )
    if changes and not config.output.accept_environment_change:
        raise InputError(
            "--out",
            str(files.out),
            f"run {files.slug} began in another environment ({'; '.join(changes)}), where its "
            "bits may differ; restore that, or give --accept-environment-change or another --out",
        )
    return changes


def check_trained_here(
    config: RunConfig, outcome: RunOutcome, now: Mapping[str, Any] | None = None
) -> None:
    """Refuse a finished run as evidence beside runs of today, if another environment trained it.

    Args:
        config: the run's configuration.
        outcome: what it left.
        now: as `environment_changes`.

    Raises:
        InputError: it comes from another environment, and the configuration does not accept that.
    """
    if not outcome.trained:
        environment_changes(config, outcome.files, outcome.manifest, now)


def set_aside(folder: Path) -> Path | None:
    """Move a folder's content out of the way; return where it lies now, None if there was none.

    Raises:
        InputError: the folder or one below it is in use, or it is given without its own name.
    """
    if folder.name in ("", ".."):
        allowed = "--fresh renames the folder: give it by its own name"
        raise InputError("--out", str(folder), allowed)
    if not folder.exists() or not any(folder.iterdir()):
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}.superseded-{number}")).exists():
        number += 1
    with locked_with_all_below(folder):
        folder.rename(target)
    return target


def find_set(
    files: RunFiles, manifest: Mapping[str, Any], seed_start: int, seeds: int
) -> EvaluationFiles:
    """Where a finished run has, or would have, the evaluation of one set of so many seeds."""
    evaluation = manifest["config"]["evaluation"]
    own = evaluation_sets(evaluation["eval_seed_start"])
    if seeds == evaluation["eval_seeds"] and seed_start in own:
        return files.own_set(seed_start, first=seed_start == own[0])
    return files.further_set(seed_start, seeds)


def missing_sets(config: RunConfig, manifest: Mapping[str, Any]) -> list[int]:
    """First seeds of the sets that are asked for and that a finished run has not evaluated."""
    if manifest["diverged"] is not None:
        return []
    asked, files = config.evaluation, run_files(config)
    wanted = {
        start: find_set(files, manifest, start, asked.eval_seeds)
        for start in evaluation_sets(asked.eval_seed_start)
    }
    return [
        start
        for start, where in wanted.items()
        if where == files.further_set(start, asked.eval_seeds) and not where.summary.exists()
    ]


def read_outcome(config: RunConfig, trained: bool) -> RunOutcome:
    """Read a finished run back from its files, with the evaluations that are asked for.

    Raises:
        InputError: a file is missing or broken.
    """
    files = run_files(config)
    manifest = read_manifest(files)
    seeds = config.evaluation.eval_seeds
    there = {
        start: find_set(files, manifest, start, seeds)
        for start in evaluation_sets(config.evaluation.eval_seed_start)
        if manifest["status"] == "completed"
    }
    in_run = artifacts.read_evaluations(files.evaluations)
    return RunOutcome(
        status=manifest["status"],
        files=files,
        env_steps=manifest["env_steps"],
        train_seconds=manifest["train_seconds"],
        history=artifacts.read_history(files.history),
        summaries={
            start: artifacts.read_evaluation_summary(where.summary)
            for start, where in there.items()
        },
        evaluations={name: column[in_run["seeds"] == seeds] for name, column in in_run.items()},
        diverged=manifest["diverged"],
        trained=trained,
        manifest=manifest,
        evaluation_files=there,
    )


def relative_to_run(files: RunFiles, path: Path) -> str:
    """Return how a summary names a checkpoint of the run itself."""
    return path.relative_to(files.out).as_posix()
