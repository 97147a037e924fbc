"""Evaluations and policy of a finished run against its checkpoint and its manifest."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.runs.manifest import CheckpointMeta, RunManifest
from pathb_jax.runs.tables import Table
from pathb_jax.store import artifacts
from pathb_jax.store.measures import measure_of
from pathb_jax.store.policy_file import read_policy
from pathb_jax.store.run_files import EvaluationFiles, RunFiles, evaluation_sets
from pathb_jax.store.tables import read_table


class Saved(NamedTuple):
    """What the last checkpoint says; all empty for a run that diverged before its first."""

    meta: CheckpointMeta | None
    history: Table
    evaluations: Table
    policy: Mapping[str, np.ndarray]
    """The actor and the normaliser by name, if the manifest has no digest of the policy."""


def set_problems(files: RunFiles, manifest: RunManifest, saved: Saved) -> Iterator[str]:
    """Check every evaluation of the last checkpoint: the run's own, and those made later."""
    if manifest.status != "completed":
        return
    evaluation = manifest.config.evaluation
    starts = evaluation_sets(evaluation.eval_seed_start)
    sets = [
        (files.own_set(start, first=start == starts[0]), start, evaluation.eval_seeds)
        for start in starts
    ]
    pattern = rf"{re.escape(files.slug)}_evaluation_seed_(\d+)_seeds_(\d+)_summary\.json"
    logs = files.history.parent
    for match in (re.fullmatch(pattern, path.name) for path in sorted(logs.iterdir())):
        if match is not None:
            start, seeds = int(match[1]), int(match[2])
            sets.append((files.further_set(start, seeds), start, seeds))
    for where, start, seeds in sets:
        try:
            summary = artifacts.read_evaluation_summary(where.summary)
            yield from _one_set(files, manifest, saved, where, summary, start, seeds)
        except InputError as error:
            yield str(error)


def _one_set(
    files: RunFiles,
    manifest: RunManifest,
    saved: Saved,
    where: EvaluationFiles,
    summary: Mapping[str, Any],
    seed_start: int,
    seeds: int,
) -> Iterator[str]:
    """Compare a summary with its rows, its manifest and the last in-run evaluation."""
    train = manifest.config.train
    measure = measure_of(train.get("env"))
    rows = read_table(where.rows, measure.rows)
    expected: dict[str, Any] = {
        "checkpoint": f"checkpoints/{files.slug}/{manifest.update}",
        "sensor_tier": shown_tier(train),
        "seed_start": seed_start,
        "seeds": seeds,
        "env_steps": manifest.env_steps,
        "success_count": int(np.sum(rows["terminalOutcome"] == "success")),
    }
    expected["success_rate"] = expected["success_count"] / seeds
    if where.rows.read_bytes()[-1:] != b"\n" or rows["seed"].tolist() != list(
        range(seed_start, seed_start + seeds)
    ):
        yield f"{files.name(where.rows)}: not the rows of {seeds} seeds from {seed_start}"
        return
    if not set(rows["terminalOutcome"].tolist()) <= set(measure.outcomes):
        yield f"{files.name(where.rows)}: terminalOutcome is {' or '.join(measure.outcomes)}"
    for key, column in ((measure.mean, measure.column), ("mean_steps", "steps")):
        if rows[column].dtype.kind not in "if":
            yield f"{files.name(where.rows)}: {column} is not all numbers"
            return
        expected[key] = float(np.mean(rows[column], dtype=np.float64))
    name = files.name(where.summary)
    for key, true in expected.items():
        if not _equal(summary.get(key), true):
            yield f"{name}: {key} {summary.get(key)!r:.80} instead of {true!r:.80}"
    in_run = saved.evaluations
    of_this = (
        (in_run["update"] == manifest.update)
        & (in_run["seed_start"] == seed_start)
        & (in_run["seeds"] == seeds)
    )
    world = manifest.env_config
    for key, value in summary["env_config"].items():
        if world.get(key, value) != value:  # another program's may have others
            yield f"{name}: env_config.{key} {value!r:.80} instead of {world[key]!r:.80}"
    for index in np.flatnonzero(of_this):
        for key in measure.means:
            true = in_run[key][index].item()
            if not _equal(summary[key], true):
                yield f"{name}: {key} {summary[key]!r} instead of {true!r} (in-run evaluation)"


def policy_problems(files: RunFiles, manifest: RunManifest, saved: Saved) -> Iterator[str]:
    """Compare the policy with the checkpoint's parameters, where no digest does."""
    if manifest.status != "completed" or not saved.policy:
        return
    policy, name = read_policy(files.policy), files.name(files.policy)
    for index, layer in enumerate(policy.layers):
        kernel = saved.policy.get(f"state.params.actor.Dense_{index}.kernel")
        true_bias = saved.policy.get(f"state.params.actor.Dense_{index}.bias")
        if kernel is None or not np.array_equal(layer.weight, kernel.T):
            yield f"{name}: layers[{index}].weight is not the checkpoint's"
        if true_bias is None or not np.array_equal(layer.bias, true_bias):
            yield f"{name}: layers[{index}].bias is not the checkpoint's"
    if f"state.params.actor.Dense_{len(policy.layers)}.kernel" in saved.policy:
        yield f"{name}: it has {len(policy.layers)} layers, the checkpoint more"
    std = np.sqrt(np.maximum(saved.policy["state.normalizer.var"], 1e-8))
    if not np.array_equal(policy.normalization.obs_mean, saved.policy["state.normalizer.mean"]):
        yield f"{name}: obs_mean is not the checkpoint's"
    if not np.allclose(policy.normalization.obs_std, std, rtol=1e-6, atol=0):
        yield f"{name}: obs_std is not the checkpoint's"
    config = manifest.config
    stated = {**policy.metadata, "variant": policy.variant, "tier": policy.tier}
    stated["action_scale"] = policy.action_scale
    expected = {
        "variant": config.task["variant"],
        "tier": config.train["tier"],
        "action_scale": 1.0,
        "sensor_tier": shown_tier(config.train),
        "env_steps": manifest.env_steps,
        "update": manifest.update,
        "seed": config.schedule["seed"],
        "mixed_lambda": config.hparams["mixed_lambda"],
        "log_std": saved.policy["state.params.log_std"].tolist(),
    }
    for key, true in expected.items():
        if stated.get(key) != true:
            yield f"{name}: {key} {stated.get(key)!r:.80} instead of {true!r:.80}"


def shown_tier(train: Mapping[str, Any]) -> Any:
    """Return the sensor tier that recorded settings say; None with another environment."""
    return None if train.get("env") is not None else train["sensor_tier"]


def _equal(value: Any, true: Any) -> bool:
    if isinstance(value, float) and isinstance(true, float):
        return math.isclose(value, true, rel_tol=1e-9, abs_tol=1e-12)
    return bool(value == true)
