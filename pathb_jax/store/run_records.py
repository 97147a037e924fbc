"""What a ladder's record says of its runs: candidates, other training seeds, batch, baseline."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from pathb_jax.store.diagnosis_record import DiagnosisRecord
from pathb_jax.store.models import Items
from pathb_jax.store.record_parts import Figure, Figures, Interval, RecordPart, Whole

Status = Literal["adopted", "rejected", "diverged", "not_run", "running", "informative"]


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

    @property
    def voters(self) -> dict[str, "CandidateRecord | SeedRecord"]:
        """The runs it is judged by, named by its tag, and by tag and seed where several vote."""
        if self.votes is None:
            return {self.tag: self}
        runs = self.ballots(self.votes.seeds)
        return {f"{self.tag}, seed {seed}": run for seed, run in runs.items()}


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


class BaselineRecord(BatchRecord):
    """The protocol's run at default hyper-parameters; it informs and does not vote.

    Where the protocol has a baseline among its candidates it is that one's run.
    """

    diagnosis: DiagnosisRecord | None = None


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
