"""Any finished run under a protocol's stages: read from its folder, whoever trained it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.judging.rates import Count
from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.failure_modes import FailureMode, alignment_at, classify
from pathb_jax.ladder.protocol import Protocol, deviation
from pathb_jax.ladder.schema import PlannedRun
from pathb_jax.runs.evidence import check_evidence
from pathb_jax.runs.manifest import RecordedConfig, RunManifest, read_manifest
from pathb_jax.runs.outcome import find_set, mean_returns
from pathb_jax.store import artifacts
from pathb_jax.store.measures import RETURN
from pathb_jax.store.run_files import EvaluationFiles, RunFiles, evaluation_sets, files_of_run
from pathb_jax.store.run_records import StageRecord
from pathb_jax.store.tables import read_numbers


class Evaluations(NamedTuple):
    """In-run evaluations on one seed set, oldest first."""

    updates: list[int]
    """Updates of this run that were done."""
    counts: list[Count]


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
    returns: Mapping[int, np.ndarray]
    """First seed of a set -> the return of each episode, where the files tell it."""
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
    sets = _sets(files, manifest, protocol)
    summaries = {start: artifacts.read_evaluation_summary(of.summary) for start, of in sets.items()}
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
        returns={
            start: read_numbers(of.rows, (RETURN.column,))[RETURN.column]
            for start, of in sets.items()
            if RETURN.mean in summaries[start]
        },
        receipts=judge(
            protocol.stages,
            counts,
            history,
            mean_returns=mean_returns(summaries),
            diverged=diverged or "",
        ),
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


def _sets(files: RunFiles, manifest: RunManifest, protocol: Protocol) -> dict[int, EvaluationFiles]:
    """Return where the protocol's sets lie: those of its size, else the run's."""
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
                found[start] = where
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
    return Evaluations(updates, [(count, seeds) for count in successes])


def _differences(config: RecordedConfig, protocol: Protocol) -> list[str]:
    """List where a run is not the protocol's with its default hyper-parameters.

    Any training seed that votes is the protocol's.
    """
    recorded = config.settings
    pinned = {
        name: getattr(protocol.run, name) for name in PlannedRun.model_fields if name != "label"
    }
    if protocol.run.env is not None:
        del pinned["mixed_lambda"]
    first = protocol.run.seed
    if recorded.get("seed") in range(first, first + protocol.voting.training_seeds):
        del pinned["seed"]
    return [
        deviation(name, value, recorded.get(name))
        for name, value in {**pinned, **protocol.hparams}.items()
        if recorded.get(name) != value
    ]
