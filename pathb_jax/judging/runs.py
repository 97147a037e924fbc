"""Any finished run under a protocol's stages: read from its folder, whoever trained it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.judging.rates import Count
from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.failure_modes import FailureMode, alignment_at, classify
from pathb_jax.ladder.protocol import Protocol, deviation
from pathb_jax.ladder.schema import PlannedRun
from pathb_jax.runs.evidence import check_evidence
from pathb_jax.runs.manifest import RecordedConfig, RunManifest, read_manifest
from pathb_jax.runs.outcome import find_set
from pathb_jax.store import artifacts
from pathb_jax.store.artifacts import RunFiles, evaluation_sets, files_of_run
from pathb_jax.store.record_schema import StageRecord


class Evaluations(NamedTuple):
    """In-run evaluations on one seed set, oldest first."""

    updates: list[int]
    """Updates of this run that were done."""
    counts: list[Count]
    alignments: list[float]


class JudgedRun(NamedTuple):
    """A finished run and what a protocol says of it."""

    folder: Path
    slug: str
    differs: list[str]
    """Where the run is not the protocol's, "lr: 0.0003 -> 0.0001": its candidate's change too."""
    env_steps: int
    diverged: str | None
    history: Mapping[str, np.ndarray]
    counts: Mapping[int, Count]
    """First seed of each of the protocol's sets -> successes and seeds, where it was evaluated."""
    along: Evaluations
    """On stage 1's set."""
    receipts: list[StageRecord]
    failure_mode: FailureMode


def judge_run(folder: Path, protocol: Protocol) -> JudgedRun:
    """Read a finished run and judge it. A run's files that contradict each other are refused.

    Args:
        folder: a run's folder, with `manifests/`.
        protocol: its stages, failure modes and seed sets. Sets of another size are judged by their
            rates.

    Raises:
        InputError: there is no run, more than one, one that is not over, or damaged files.
    """
    files = files_of_run(folder, "RUN")
    manifest = read_manifest(files)
    if not manifest.is_finished:
        allowed = f"run {files.slug} is {manifest.status}; judge it when it is over"
        raise InputError("RUN", str(folder), allowed)
    check_evidence(files)
    summaries = _summaries(files, manifest, protocol)
    counts = {
        start: (summary["success_count"], summary["seeds"]) for start, summary in summaries.items()
    }
    history = artifacts.read_history(files.history)
    start = protocol.stages.success_floor.seed_start
    own_seeds = manifest.config.evaluation.eval_seeds
    evaluations = artifacts.read_evaluations(files.evaluations)
    along = along_of(evaluations, start, own_seeds, manifest.first_update)
    schedule = manifest.config.schedule
    diverged = manifest.diverged.text if manifest.diverged else None
    half = manifest.first_update + schedule["updates"] // 2
    return JudgedRun(
        folder=folder,
        slug=files.slug,
        differs=_differences(manifest.config, protocol),
        env_steps=manifest.env_steps,
        diverged=diverged,
        history=history,
        counts=counts,
        along=along,
        receipts=judge(protocol.stages, counts, history, diverged=diverged or ""),
        failure_mode=classify(
            protocol.failure_modes,
            history,
            updates=schedule["updates"],
            success=counts.get(start),
            alignment=summaries.get(start, {}).get("mean_terminal_alignment"),
            half_alignment=alignment_at(half, evaluations, start),
            log_std_init=schedule["log_std_init"],
            diverged=diverged or "",
        ),
    )


def _summaries(
    files: RunFiles, manifest: RunManifest, protocol: Protocol
) -> dict[int, dict[str, Any]]:
    """Read the protocol's sets: those of its size where there are such, else the run's own."""
    if manifest.diverged is not None:
        return {}
    own = evaluation_sets(manifest.config.evaluation.eval_seed_start)
    found = {}
    for start in protocol.seed_sets:
        sets = [find_set(files, manifest, start, protocol.evaluation.seeds)]
        if start in own:
            sets.append(files.own_set(start, first=start == own[0]))
        for where in sets:
            if where.summary.exists():
                found[start] = artifacts.read_evaluation_summary(where.summary)
                break
    return found


def along_of(
    rows: Mapping[str, np.ndarray], seed_start: int, seeds: int, first_update: int = 0
) -> Evaluations:
    """Return a run's evaluations on one set.

    Args:
        rows: of its `*_evaluations.csv`.
        seed_start: first seed of the set.
        seeds: of the set; evaluations of other sizes are left out.
        first_update: updates that the run began with, which are taken off.
    """
    of_set = (rows["seed_start"] == seed_start) & (rows["seeds"] == seeds)
    updates = (rows["update"][of_set] - first_update).astype(int).tolist()
    successes = np.rint(rows["success_rate"][of_set] * seeds).astype(int).tolist()
    counts = [(count, seeds) for count in successes]
    return Evaluations(updates, counts, rows["mean_terminal_alignment"][of_set].tolist())


def _differences(config: RecordedConfig, protocol: Protocol) -> list[str]:
    """List where a run is not the protocol's with its default hyper-parameters."""
    recorded = config.settings
    pinned = {
        name: getattr(protocol.run, name) for name in PlannedRun.model_fields if name != "label"
    }
    return [
        deviation(name, value, recorded.get(name))
        for name, value in {**pinned, **protocol.hparams}.items()
        if recorded.get(name) != value
    ]
