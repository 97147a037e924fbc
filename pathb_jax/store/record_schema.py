"""The shape of a ladder's record: models of ladder.json.

The keys and their meaning are those of docs/spec/ladder.md ("The record"). A field with
a default may be absent, and stays absent until it is set. To change a list or dict that may be
absent, assign a new one.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from pathb_jax.store.models import Items
from pathb_jax.store.record_parts import Figure, Figures, Interval, RecordPart, Whole
from pathb_jax.store.run_records import (
    BaselineRecord,
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SeedRecord,
    SetSummary,
)

RECORD = "ladder.json"
"""The record's name in a ladder's folder."""
FORMAT: Literal["pathb-ladder-v1"] = "pathb-ladder-v1"

ADOPTION = "adoption: "
"""Begins the deviation that a judgement is; it was not planned."""

Standing = Literal["canonical", "registered", "exploratory"]
Verdict = Literal["adopted", "rejected", "incomplete"]
Grade = Literal["confirmed", "falsified", "untested"]


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
    def voters(self) -> dict[str, CandidateRecord | SeedRecord]:
        """The runs that candidates are judged by, by name: "lr1e4", or "lr1e4, seed 1"."""
        return {name: run for entry in self.candidates for name, run in entry.voters.items()}

    @property
    def own_baseline(self) -> BaselineRecord | None:
        """The default run, unless it is that of a judged candidate, which is told of there."""
        judged = [candidate.run_dir for candidate in self.candidates if candidate.stages]
        return None if self.baseline and self.baseline.run_dir in judged else self.baseline
