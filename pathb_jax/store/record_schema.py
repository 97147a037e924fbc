"""The keys of a ladder's record, and how its parts begin.

The keys and their meaning are those of docs/spec/ladder.md ("The record").
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

FORMAT: Literal["pathb-ladder-v1"] = "pathb-ladder-v1"

Standing = Literal["canonical", "registered", "exploratory"]
Status = Literal["adopted", "rejected", "diverged", "not_run", "running", "informative"]
Verdict = Literal["adopted", "rejected", "incomplete"]
Grade = Literal["confirmed", "falsified", "untested"]


class ProtocolRecord(TypedDict):
    """Which protocol; `text` is the whole file, so that a later change can be named."""

    name: str
    sha256: str
    file: str
    text: NotRequired[str]


class BackendRecord(TypedDict):
    """Where it was computed."""

    platform: str
    device_kind: str
    device_count: int
    versions: dict[str, str]


class SeedOverlap(TypedDict):
    """First and last training seed; seeds that each evaluation set shares with them."""

    training: list[int]
    sets: dict[str, int]


class PlanRecord(TypedDict):
    """The run that every candidate of this ladder is, deviations included."""

    tier: str
    updates: int
    seed: int
    env_steps: int


class SetSummary(TypedDict):
    """One evaluation set of a final checkpoint; `interval` is the exact 95 % one of the rate."""

    success_count: int
    seeds: int
    success_rate: float
    interval: list[float]
    mean_terminal_alignment: float | None
    mean_steps: float | None


class StageRecord(TypedDict):
    """One stage's receipt."""

    stage: int
    name: str
    passed: bool | None
    figures: dict[str, float | None]
    reasons: list[str]


class TrainedRecord(TypedDict):
    """What trained a run, where and when (UTC), as its manifest says it; None: it does not."""

    started: str | None
    ended: str | None
    host: str | None
    commit: str | None
    dirty: bool | None
    program: str | None
    environment_changes: list[Any]
    """What changed while the run was stopped: `resumed_after_update`, `changes`."""
    before_ladder: bool
    """It began before the ladder was opened."""


class SeedRecord(TypedDict):
    """A candidate's run with another training seed, which informs and does not vote."""

    seed: int
    status: Literal["finished", "diverged"]
    run_dir: str
    slug: str
    stages: list[StageRecord]
    failure_mode: str | None
    env_steps: int
    wall_seconds: float
    env_steps_per_second: float
    failure_figures: NotRequired[dict[str, float | None]]
    diverged: NotRequired[str | None]
    summaries: NotRequired[dict[str, SetSummary]]
    trained: NotRequired[TrainedRecord]


class CandidateRecord(TypedDict):
    """One candidate. `run_dir` is relative to the record; times are in seconds."""

    order: int
    tag: str
    hparams: dict[str, float]
    status: Status
    run_dir: str
    stages: list[StageRecord]
    failure_mode: str | None
    env_steps: int
    wall_seconds: float
    env_steps_per_second: float
    slug: NotRequired[str]
    failure_figures: NotRequired[dict[str, float | None]]
    diverged: NotRequired[str | None]
    summaries: NotRequired[dict[str, SetSummary]]
    other_seeds: NotRequired[list[SeedRecord]]
    trained: NotRequired[TrainedRecord]


class BatchRecord(TypedDict):
    """One run of the batch that follows an adoption."""

    label: str
    success_rate: float | None
    mean_terminal_alignment: float | None
    status: NotRequired[Literal["finished", "diverged", "not_run", "running"]]
    variant: NotRequired[str]
    mixed_lambda: NotRequired[float | None]
    run_dir: NotRequired[str]
    slug: NotRequired[str]
    failure_mode: NotRequired[str | None]
    failure_figures: NotRequired[dict[str, float | None]]
    diverged: NotRequired[str | None]
    summaries: NotRequired[dict[str, SetSummary]]
    env_steps: NotRequired[int]
    wall_seconds: NotRequired[float]
    env_steps_per_second: NotRequired[float]
    trained: NotRequired[TrainedRecord]


class ComputeRecord(TypedDict):
    """Hours: stated before the run (None: never stated for this tier), and used so far."""

    planned_hours: float | None
    used_hours: float


class StagePasses(TypedDict):
    """How many training seeds pass a stage and those before it; the interval is exact, 95 %."""

    tag: str
    stage: int
    name: str
    passed: int
    seeds: int
    interval: list[float]


class TrainingSeeds(TypedDict):
    """What other training seeds say; the first one votes.

    `verdicts` maps a seed to "adopted TAG", "rejected", or "open" where a run is missing.
    """

    seeds: list[int]
    passes: list[StagePasses]
    verdicts: dict[str, str]


class VerificationRecord(TypedDict):
    """What a verification of the record found; a line per problem, `at` is UTC.

    `said` maps what else was looked at to its outcome, "policies replayed" to "12 of 12 sets".
    """

    figures: int
    reproduced: int
    problems: list[str]
    said: dict[str, str]
    at: str


class LadderRecord(TypedDict):
    """A ladder, from its first minute to its verdict."""

    format: Literal["pathb-ladder-v1"]
    protocol: ProtocolRecord
    standing: Standing
    canonical: bool
    deviations: list[str]
    backend: BackendRecord
    seed_overlap: SeedOverlap
    candidates: list[CandidateRecord]
    verdict: Verdict
    adopted: str | None
    predictions: dict[str, Grade]
    batch: list[BatchRecord]
    compute: ComputeRecord
    plan: NotRequired[PlanRecord]
    training_seeds: NotRequired[TrainingSeeds]
    environment: NotRequired[dict[str, Any]]
    command: NotRequired[str]
    started: NotRequired[str]
    """When the ladder was opened (UTC), before it trained anything."""
    ended: NotRequired[str | None]
    host: NotRequired[str]
    """Where it was opened."""
    verification: NotRequired[VerificationRecord]


def new_record(
    *,
    protocol: ProtocolRecord,
    standing: Standing,
    deviations: Sequence[str],
    backend: BackendRecord,
    seed_overlap: SeedOverlap,
    candidates: Sequence[CandidateRecord],
    predictions: Sequence[str],
    planned_hours: float | None,
    plan: PlanRecord,
    command: str,
) -> LadderRecord:
    """Return the record of a ladder that has not run yet: incomplete, everything untested."""
    return {
        "format": FORMAT,
        "protocol": protocol,
        "standing": standing,
        "canonical": standing == "canonical",
        "deviations": list(deviations),
        "backend": backend,
        "seed_overlap": seed_overlap,
        "candidates": list(candidates),
        "verdict": "incomplete",
        "adopted": None,
        "predictions": dict.fromkeys(predictions, "untested"),
        "batch": [],
        "compute": {"planned_hours": planned_hours, "used_hours": 0.0},
        "plan": plan,
        "command": command,
    }


def new_candidate(
    order: int, tag: str, hparams: dict[str, float], run_dir: str, slug: str
) -> CandidateRecord:
    """Return the record of a candidate that has not run; `hparams` holds its change alone."""
    return {
        "order": order,
        "tag": tag,
        "hparams": dict(hparams),
        "status": "not_run",
        "run_dir": run_dir,
        "stages": [],
        "failure_mode": None,
        "env_steps": 0,
        "wall_seconds": 0.0,
        "env_steps_per_second": 0.0,
        "slug": slug,
        "failure_figures": {},
        "diverged": None,
        "summaries": {},
    }


def new_other_seed(seed: int, run_dir: str, slug: str) -> SeedRecord:
    """Return the record of a candidate's run with another training seed, figures to be filled."""
    return {
        "seed": seed,
        "status": "finished",
        "run_dir": run_dir,
        "slug": slug,
        "stages": [],
        "failure_mode": None,
        "env_steps": 0,
        "wall_seconds": 0.0,
        "env_steps_per_second": 0.0,
    }


def new_batch_run(label: str, variant: str, mixed_lambda: float | None, slug: str) -> BatchRecord:
    """Return the record of a batch run that has not run; its folder is named by its label."""
    return {
        "label": label,
        "success_rate": None,
        "mean_terminal_alignment": None,
        "status": "not_run",
        "variant": variant,
        "mixed_lambda": mixed_lambda,
        "run_dir": label,
        "slug": slug,
        "failure_mode": None,
        "failure_figures": {},
        "diverged": None,
        "summaries": {},
        "env_steps": 0,
        "wall_seconds": 0.0,
        "env_steps_per_second": 0.0,
    }


def new_set_summary(summary: Mapping[str, Any], interval: tuple[float, float]) -> SetSummary:
    """Return what the record keeps of an evaluation summary, with its rate's exact interval."""
    return {
        "success_count": summary["success_count"],
        "seeds": summary["seeds"],
        "success_rate": summary["success_rate"],
        "interval": list(interval),
        "mean_terminal_alignment": summary["mean_terminal_alignment"],
        "mean_steps": summary["mean_steps"],
    }


def new_seed_overlap(
    training_start: int, training_seeds: int, set_starts: Sequence[int], set_seeds: int
) -> SeedOverlap:
    """Return how many seeds each evaluation set shares with the training starts."""
    training_end = training_start + training_seeds

    def shared(start: int) -> int:
        return max(0, min(training_end, start + set_seeds) - max(training_start, start))

    return {
        "training": [training_start, training_end - 1],
        "sets": {str(start): shared(start) for start in set_starts},
    }
