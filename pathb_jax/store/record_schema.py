"""The shape of a ladder's record: models of ladder.json.

The keys and their meaning are those of docs/spec/ladder.md ("The record"). A field with
a default may be absent, and stays absent until it is set. To change a list or dict that may be
absent, assign a new one.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from pathb_jax.store.models import AsGiven, Items, Model

RECORD = "ladder.json"
"""The record's name in a ladder's folder."""
FORMAT: Literal["pathb-ladder-v1"] = "pathb-ladder-v1"

ADOPTION = "adoption: "
"""Begins the deviation that a judgement is; it was not planned."""

Standing = Literal["canonical", "registered", "exploratory"]
Status = Literal["adopted", "rejected", "diverged", "not_run", "running", "informative"]
Verdict = Literal["adopted", "rejected", "incomplete"]
Grade = Literal["confirmed", "falsified", "untested"]

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Figure = Annotated[float, Field(ge=-1e100, le=1e100), AsGiven()]
"""Beyond these limits it is no figure of a run; sums and shares of it could not be told."""
Figures = dict[str, Figure | None]
Interval = Annotated[Items[Figure], Field(min_length=2, max_length=2)]
Successes = Annotated[tuple[Whole, Whole], Field(strict=False)]
"""Successes and seeds of an evaluation set."""


class RecordPart(Model):
    """An object of the record; keys that this version does not know are kept."""

    model_config = ConfigDict(extra="allow")


class ProtocolRecord(RecordPart):
    """Which protocol; `text` is the whole file, so that a later change can be named."""

    name: str
    sha256: str
    file: str
    text: str = ""


class BackendRecord(RecordPart):
    """Where it was computed."""

    platform: str
    device_kind: str
    device_count: Whole
    versions: dict[str, str]


class SeedOverlap(RecordPart):
    """First and last training seed; seeds that each evaluation set shares with them."""

    training: Items[Whole]
    sets: dict[str, Whole]

    @classmethod
    def of(
        cls, training_start: int, training_seeds: int, set_starts: Sequence[int], set_seeds: int
    ) -> Self:
        """Count the seeds that each evaluation set shares with the training starts."""
        training_end = training_start + training_seeds

        def shared(start: int) -> int:
            return max(0, min(training_end, start + set_seeds) - max(training_start, start))

        sets = {str(start): shared(start) for start in set_starts}
        return cls(training=[training_start, training_end - 1], sets=sets)


class PlanRecord(RecordPart):
    """The run that every candidate of this ladder is, deviations included."""

    tier: str
    updates: Whole
    seed: Whole
    env_steps: Whole


class SetSummary(RecordPart):
    """One evaluation set of a final checkpoint; `interval` is the exact 95 % one of the rate."""

    success_count: Whole
    seeds: Whole
    success_rate: Figure
    interval: Interval
    mean_terminal_alignment: Figure | None
    """None of an environment that is not the shadow field."""
    mean_steps: Figure | None
    mean_return: Figure | None = None
    """Of such an environment."""

    @property
    def measured(self) -> float | None:
        """The mean of what is measured of its episodes: alignment, or return."""
        return self.mean_terminal_alignment if self.mean_return is None else self.mean_return


class StageRecord(RecordPart):
    """One stage's receipt."""

    stage: Whole
    name: str
    passed: bool | None
    figures: Figures
    reasons: Items[str]


class TrainedRecord(RecordPart):
    """What trained a run, where and when (UTC), as its manifest says it; None: it does not."""

    started: str | None
    ended: str | None
    host: str | None
    commit: str | None
    dirty: bool | None
    program: str | None
    environment_changes: Items[Any]
    """What changed while the run was stopped: `resumed_after_update`, `changes`."""
    before_ladder: bool
    """It began before the ladder was opened."""


class SeedRecord(RecordPart):
    """A candidate's run with another training seed: informs, or is one of those that vote."""

    seed: Whole
    status: Literal["finished", "diverged"]
    run_dir: str
    slug: str
    stages: Items[StageRecord]
    failure_mode: str | None
    env_steps: Whole
    wall_seconds: Figure
    env_steps_per_second: Figure
    failure_figures: Figures = Field(default_factory=dict)
    diverged: str | None = None
    summaries: dict[str, SetSummary] = Field(default_factory=dict)
    trained: TrainedRecord | None = None


class VotesRecord(RecordPart):
    """What the training seeds of a candidate said, where more than one votes.

    The first of `seeds` is the candidate's own run, the others are among its `other_seeds`.
    """

    seeds: Annotated[Items[Whole], Field(min_length=1)]
    passed: Items[Whole]
    """Those that passed all stages."""
    needed: Whole


class CandidateRecord(RecordPart):
    """One candidate. `run_dir` is relative to the record; times are in seconds."""

    order: Whole
    tag: str
    hparams: dict[str, Figure | str | bool]
    status: Status
    run_dir: str
    stages: Items[StageRecord]
    failure_mode: str | None
    env_steps: Whole
    wall_seconds: Figure
    env_steps_per_second: Figure
    slug: str = ""
    failure_figures: Figures = Field(default_factory=dict)
    diverged: str | None = None
    summaries: dict[str, SetSummary] = Field(default_factory=dict)
    trained: TrainedRecord | None = None
    other_seeds: Items[SeedRecord] = Field(default_factory=list)
    votes: VotesRecord | None = None

    def ballots(self, seeds: Sequence[int]) -> dict[int, "CandidateRecord | SeedRecord"]:
        """Return the runs of these training seeds that there are; the first is its own."""
        others = {other.seed: other for other in self.other_seeds}
        runs = {seeds[0]: self} | {seed: others[seed] for seed in seeds[1:] if seed in others}
        return {seed: run for seed, run in runs.items() if run.stages}


class BatchRecord(RecordPart):
    """One run of the batch that follows an adoption."""

    label: str
    success_rate: Figure | None
    mean_terminal_alignment: Figure | None
    status: Literal["finished", "diverged", "not_run", "running"] = "finished"
    variant: str = ""
    mixed_lambda: Figure | None = None
    run_dir: str = Field(default_factory=lambda fields: str(fields.get("label", "")))
    slug: str = ""
    failure_mode: str | None = None
    failure_figures: Figures = Field(default_factory=dict)
    diverged: str | None = None
    summaries: dict[str, SetSummary] = Field(default_factory=dict)
    env_steps: Whole = 0
    wall_seconds: Figure = 0.0
    env_steps_per_second: Figure = 0.0
    trained: TrainedRecord | None = None


class StateRecord(RecordPart):
    """A state of the default run that was evaluated on the way."""

    update: Whole
    env_steps: Whole
    success: Successes
    """On the set that the best state is chosen by; so are the two means."""
    mean_terminal_alignment: Figure
    mean_steps: Figure
    reported: Successes
    """On the set that the best state is told of on, which chooses nothing."""


class SegmentRecord(RecordPart):
    """A row of the segment table."""

    state: StateRecord
    entropy: Figure
    log_std: Figure
    mean_reward: Figure
    """Of the segment's last update, as the two before."""
    value_loss_max: Figure
    """Over the segment."""


class FallRecord(RecordPart):
    """From the best state to the end."""

    best: StateRecord
    """Most successes on the first set, the latest of equals."""
    best_checkpoint: str | None
    """Where the best state is kept, from the runs' folder; None: it is not."""
    end: StateRecord
    difference: Figure
    """Success rate at the end less that of the best state, both on the last set."""
    interval: Interval
    """Newcombe's 95 % interval of the difference."""
    p_value: Figure
    """Of Fisher's exact test, one-sided: both have one success probability."""

    @property
    def unwound(self) -> bool:
        """Whether the fall is more than chance, at 5 %."""
        return self.p_value < 0.05


class DiagnosisRecord(RecordPart):
    """What a run at default hyper-parameters did."""

    label: str
    diverged: str | None
    chosen_on: Whole
    """First seed of the set that chooses the best state."""
    told_on: Whole
    """First seed of the set that it is told of on."""
    segments: Items[SegmentRecord]
    """Those that were reached, and evaluated where they end."""
    evaluations: Items[StateRecord]
    fall: FallRecord | None
    """None: nothing was evaluated."""


class BaselineRecord(BatchRecord):
    """The protocol's run at default hyper-parameters; it informs and does not vote.

    Where the protocol has a baseline among its candidates it is that one's run.
    """

    diagnosis: DiagnosisRecord | None = None


class ComputeRecord(RecordPart):
    """Hours: stated before the run (None: never stated for this tier), and used so far."""

    planned_hours: Figure | None
    used_hours: Figure


class StagePasses(RecordPart):
    """How many training seeds pass a stage and those before it; the interval is exact, 95 %."""

    tag: str
    stage: Whole
    name: str
    passed: Whole
    seeds: Whole
    interval: Interval


class TrainingSeeds(RecordPart):
    """What each training seed says by itself; the first of `seeds` vote.

    `verdicts` maps a seed to "adopted TAG", "rejected", or "open" where a run is missing.
    """

    seeds: Annotated[Items[Whole], Field(min_length=1)]
    passes: Items[StagePasses]
    verdicts: Annotated[dict[str, str], Field(min_length=1)]


class JudgementRecord(RecordPart):
    """An adoption by judgement, after the stages had rejected every candidate."""

    tag: str
    because: Annotated[str, Field(min_length=1)]
    at: str
    """When (UTC)."""
    overrode: Annotated[Items[str], Field(min_length=1)]
    """What the stages said against the candidate, a line per training seed that voted."""
    standing: Standing
    """What the rejection was worth."""

    @property
    def deviation(self) -> str:
        """The departure that it is, as the record lists it."""
        return f"{ADOPTION}by the stages -> {self.tag}, by judgement"


class VerificationRecord(RecordPart):
    """What a verification of the record found; a line per problem, `at` is UTC.

    `said` maps what else was looked at to its outcome, "policies replayed" to "12 of 12 sets".
    """

    figures: Whole
    reproduced: Whole
    problems: Items[str]
    said: dict[str, str]
    at: str


class ReferenceRecord(RecordPart):
    """A reference controller on the evaluation sets; it informs and does not vote."""

    name: str
    sensor_tier: str
    summaries: dict[str, SetSummary]


class BatteryRecord(RecordPart):
    """What the intervention battery says of a run's policy: means over its seeds."""

    run_dir: str
    seeds: Whole
    success_count: Whole
    """Without an edit, as is the alignment."""
    mean_terminal_alignment: Figure
    old_basin_preference: Figure
    """With the basin-position edit."""
    action_response: Figures
    """By channel; None: no episode reached the edit."""
    label: str


class LadderRecord(RecordPart):
    """A ladder, from its first minute to its verdict."""

    format: Literal["pathb-ladder-v1"]
    protocol: ProtocolRecord
    standing: Standing
    canonical: bool
    deviations: Items[str]
    backend: BackendRecord
    seed_overlap: SeedOverlap
    candidates: Annotated[Items[CandidateRecord], Field(min_length=1)]
    verdict: Verdict
    adopted: str | None
    predictions: dict[str, Grade]
    batch: Items[BatchRecord]
    compute: ComputeRecord
    plan: PlanRecord | None = None
    command: str = ""
    environment: dict[str, Any] = Field(default_factory=dict)
    started: str = ""
    """When the ladder was opened (UTC), before it trained anything."""
    ended: str | None = None
    host: str = ""
    """Where it was opened."""
    training_seeds: TrainingSeeds | None = None
    references: Items[ReferenceRecord] = Field(default_factory=list)
    """Played when the ladder ended."""
    batteries: Items[BatteryRecord] = Field(default_factory=list)
    """Likewise: of the adopted candidate, the batch and the default run."""
    verification: VerificationRecord | None = None
    judgement: JudgementRecord | None = None
    baseline: BaselineRecord | None = None

    @property
    def chosen(self) -> str | None:
        """Tag of the candidate that the batch trains with, adopted by the stages or judgement."""
        return self.judgement.tag if self.judgement else self.adopted

    @property
    def runs(self) -> list[tuple[str, "RunRecord"]]:
        """Every run with its place in the record, "candidates[0].other_seeds[1]"."""
        runs: list[tuple[str, RunRecord]] = []
        for index, candidate in enumerate(self.candidates):
            where = f"candidates[{index}]"
            runs.append((where, candidate))
            others = enumerate(candidate.other_seeds)
            runs += [(f"{where}.other_seeds[{position}]", other) for position, other in others]
        runs += [(f"batch[{index}]", run) for index, run in enumerate(self.batch)]
        return runs + [("baseline", run) for run in [self.own_baseline] if run]

    @property
    def own_baseline(self) -> BaselineRecord | None:
        """The default run, unless it is that of a judged candidate, which is told of there."""
        judged = [candidate.run_dir for candidate in self.candidates if candidate.stages]
        return None if self.baseline and self.baseline.run_dir in judged else self.baseline


NOTHING_YET: dict[str, Any] = {
    "failure_mode": None,
    "failure_figures": {},
    "diverged": None,
    "summaries": {},
    "env_steps": 0,
    "wall_seconds": 0.0,
    "env_steps_per_second": 0.0,
}
"""What the record says of a run that has not run."""

RunRecord = CandidateRecord | SeedRecord | BatchRecord
