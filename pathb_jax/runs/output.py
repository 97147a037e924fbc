"""What a run writes of its policy: evaluations and the portable policy."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pathb_jax.config import TIERS, RunConfig, variant_of
from pathb_jax.envs.own_world import OwnMetrics
from pathb_jax.evaluation.evaluator import SetResult
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.task import env_config
from pathb_jax.learn.training import TrainState
from pathb_jax.store import artifacts, policy_file
from pathb_jax.store.measures import ALIGNMENT, RETURN
from pathb_jax.store.run_files import EvaluationFiles, RunFiles


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
        "sensor_tier": config.train.shown,
        "seed_start": result.seed_start,
        "seeds": result.seeds,
        "success_count": result.success_count,
        **result.means,
        "env_config": env_config(config),
        "env_steps": env_steps,
    }
    artifacts.write_evaluation(files, episode_rows(result), summary)
    return summary


def episode_rows(result: SetResult) -> dict[str, Any]:
    """Columns of an evaluation's table, one row per seed."""
    episodes = result.episodes
    if isinstance(episodes, OwnMetrics):
        return {
            "seed": result.seed_start + np.arange(result.seeds),
            "terminalOutcome": np.where(episodes.success, *RETURN.outcomes),
            "steps": episodes.steps,
            "episodeReturn": episodes.episode_return,
        }
    return {
        "seed": result.seed_start + np.arange(result.seeds),
        "terminalOutcome": np.where(episodes.success, *ALIGNMENT.outcomes),
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
    policy_file.write_policy(
        files.policy,
        family=variant_of(config.task.variant).family,
        variant=config.task.variant,
        tier=config.train.tier,
        layers=[(layer["kernel"].T, layer["bias"]) for layer in layers],
        obs_mean=state.normalizer.mean,
        obs_std=np.asarray(normalizer.std(state.normalizer)),
        hidden_size=size.width,
        depth=size.depth,
        action_scale=networks.ACTION_SCALE,
        metadata={
            "sensor_tier": config.train.shown,
            "env_steps": env_steps,
            "update": int(state.update),
            "seed": config.schedule.seed,
            "run_label": config.output.run_label,
            "log_std": state.params["log_std"].tolist(),
            "mixed_lambda": config.hparams.mixed_lambda,
            **_own(config),
        },
    )


def _own(config: RunConfig) -> dict[str, Any]:
    """Return what a policy says of an environment that is not the shadow field."""
    if config.train.env is None:
        return {}
    world = env_config(config)
    return {name: world[name] for name in ("env", "action_low", "action_high")}


def digests(files: RunFiles, paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their path within the run's folder."""
    return {files.name(path): sha256(path) for path in paths}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
