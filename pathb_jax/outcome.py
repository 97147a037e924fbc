"""What a run leaves in its folder: manifest, evaluations, policy; writing and reading them back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from pathb_jax import backend
from pathb_jax.config import TIERS, VARIANTS, RunConfig
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.task import env_config
from pathb_jax.learn.training import TrainState
from pathb_jax.store import artifacts
from pathb_jax.store.artifacts import RunFiles
from pathb_jax.store.lock import locked

INFORMATIVE_SETS = (20000, 30000)
"""Sets every training run evaluates beside its own first set."""

NEUTRAL = (
    ("evaluation", "eval_every"),
    ("evaluation", "success_floor"),
    ("output", "progress"),
    ("output", "backend"),
    ("output", "deterministic"),  # stands in the XLA flags, which the manifest compares
    ("output", "fresh"),
    ("output", "accept_environment_change"),
)
"""Settings that may differ between a run and its resumption: they change no result."""


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
    """Columns of the in-run evaluations."""
    diverged: Mapping[str, Any] | None
    """`update` and first bad `quantity` of a diverged run."""
    trained: bool
    """Whether this call trained at all (a finished run is only read)."""
    manifest: Mapping[str, Any]
    """The run's manifest: what trained it, when and where."""


def run_files(config: RunConfig) -> RunFiles:
    """Where a validated configuration's files go."""
    slug = artifacts.slug(
        config.task.variant, config.train.tier, config.schedule.seed, config.output.run_label
    )
    assert config.output.out is not None  # filled in by `validated`
    return RunFiles(config.output.out, slug)


def evaluation_sets(seed_starts: Sequence[int]) -> list[int]:
    """First seeds of the sets a training run evaluates: its own, then the informative ones."""
    return [*seed_starts, *(start for start in INFORMATIVE_SETS if start not in seed_starts)]


def write_set(
    config: RunConfig,
    files: RunFiles,
    result: SetResult,
    checkpoint: str,
    env_steps: int,
    first: bool,
) -> dict[str, Any]:
    """Write one set's rows and summary; return the summary.

    Args:
        config: the run's configuration.
        files: the run's files.
        result: the episodes.
        checkpoint: what was evaluated, as the summary names it.
        env_steps: environment steps it was trained for.
        first: whether it is a training run's own first set (no suffix).
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
    artifacts.write_evaluation(files, result.seed_start, first, episode_rows(result), summary)
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


def find_manifest(config: RunConfig, files: RunFiles) -> dict[str, Any] | None:
    """Manifest of this same run if the folder holds one already.

    Raises:
        InputError: the folder holds another run of the same name, or the manifest is broken.
    """
    if not files.manifest.exists():
        return None
    manifest = artifacts.read_json(files.manifest)
    if not isinstance(manifest, dict) or not {"config", "status"} <= manifest.keys():
        raise InputError(str(files.manifest), "another file", "it has to be a run's manifest")
    # Where the files lie is not part of what they say: a folder may be moved or reached by
    # another path.
    theirs, ours = manifest["config"], config.to_dict()
    ours["output"]["out"] = theirs["output"]["out"]
    differences = config_differences(theirs, ours)
    if differences:
        raise InputError(
            "--out",
            str(files.out),
            f"it holds run {files.slug} with other settings ({'; '.join(differences)}); "
            "choose another --out or --run-label, or --fresh",
        )
    return manifest


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
    changes = backend.environment_differences(
        recorded_environment(manifest), now or backend.environment()
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
        InputError: the folder is in use, or given without its own name.
    """
    if folder.name in ("", ".."):
        allowed = "--fresh renames the folder: give it by its own name"
        raise InputError("--out", str(folder), allowed)
    if not folder.exists() or not any(folder.iterdir()):
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}.superseded-{number}")).exists():
        number += 1
    with locked(folder):
        folder.rename(target)
    return target


def read_outcome(files: RunFiles, trained: bool) -> RunOutcome:
    """Read a finished run back from its files.

    Raises:
        InputError: a file is missing or broken.
    """
    manifest = artifacts.read_json(files.manifest)
    starts = evaluation_sets(manifest["config"]["evaluation"]["eval_seed_start"])
    completed = manifest["status"] == "completed"
    return RunOutcome(
        status=manifest["status"],
        files=files,
        env_steps=manifest["env_steps"],
        train_seconds=manifest["train_seconds"],
        history=artifacts.read_history(files.history),
        summaries={
            start: artifacts.read_evaluation_summary(files.evaluation_summary(start, index == 0))
            for index, start in enumerate(starts)
            if completed
        },
        evaluations=artifacts.read_evaluations(files.evaluations),
        diverged=manifest["diverged"],
        trained=trained,
        manifest=manifest,
    )


def relative_to_run(files: RunFiles, path: Path) -> str:
    """Return how a summary names a checkpoint of the run itself."""
    return path.relative_to(files.out).as_posix()
