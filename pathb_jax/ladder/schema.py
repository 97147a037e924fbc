"""The fields of a protocol file, their limits, and what has to hold across fields.

What the numbers mean is in docs/spec/ladder.md.
"""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict

from pathb_jax.config import SEED_LIMIT, VARIANTS, SensorTier, Tier
from pathb_jax.errors import InputError
from pathb_jax.store.models import Array, Model

_FRESH = [name for name, variant in VARIANTS.items() if not variant.curriculum]
_MIXED = [name for name, variant in VARIANTS.items() if variant.family == "L-Mixed"]


def _fresh(variant: str) -> str:
    if variant not in _FRESH:
        raise ValueError(f"choose one of {', '.join(_FRESH)}")
    return variant


Text = Annotated[
    str,
    Field(
        pattern=r"^\S.*$",
        max_length=1000,
        description="give one line of text, of at most 1000 characters",
    ),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
"""In folder names: no upper case, so none coincide."""
FreshVariant = Annotated[str, AfterValidator(_fresh)]
Seed = Annotated[int, Field(ge=0, le=SEED_LIMIT - 1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=2**20)]
Rows = Annotated[int, Field(ge=2, le=10**9)]
Steps = Annotated[int, Field(ge=0, le=10**15)]
Rate = Annotated[float, Field(ge=0, le=1)]
Alignment = Annotated[float, Field(ge=-1, le=1)]
Figure = Annotated[float, Field(ge=-1e6, le=1e6)]
Loss = Annotated[float, Field(ge=0, le=1e12)]
Hours = Annotated[float, Field(ge=0, le=1e6)]
Weight = Annotated[float, Field(ge=0, le=100)]
Lambda = Annotated[float, Field(gt=0, lt=1)]


class Table(Model):
    """A table of a protocol file."""

    model_config = ConfigDict(frozen=True)


class PlannedRun(Table):
    """The configuration that every candidate shares. Names are those of the training flags."""

    label: Name
    variant: FreshVariant
    tier: Tier
    sensor_tier: SensorTier
    updates: Count
    seed: Seed
    batch_envs: Size
    rollout_length: Size
    minibatch_size: Annotated[int, Field(ge=1, le=2**30)]
    epochs: Annotated[int, Field(ge=1, le=1000)]
    seed_start: Seed
    log_std_init: Annotated[float, Field(ge=-20, le=5)]
    mixed_lambda: Lambda | None = None

    @model_validator(mode="after")
    def _whole_minibatches(self) -> Self:
        batch_size = self.batch_envs * self.rollout_length
        if batch_size % self.minibatch_size:
            allowed = f"it must divide batch_envs x rollout_length = {batch_size}"
            raise InputError("minibatch_size", self.minibatch_size, allowed)
        _check_lambda(self)
        return self

    @property
    def env_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.updates * self.batch_envs * self.rollout_length


@with_config(Table.model_config)
class _Knobs(TypedDict, total=False):
    lr: Annotated[float, Field(gt=0, le=10)]
    gamma: Rate
    gae_lambda: Rate
    clip_range: Annotated[float, Field(gt=0, le=100)]
    entropy_coef: Weight
    value_coef: Weight
    max_grad_norm: Annotated[float, Field(gt=0, le=1e6)]


Knobs = Annotated[
    dict[str, float], GetPydanticSchema(lambda _, handler: handler.generate_schema(_Knobs))
]
"""Hyper-parameters: all of them at their defaults, or those that a candidate changes."""


class Candidate(Table):
    """One candidate: `change` holds its knobs."""

    order: Annotated[int, Field(ge=1, le=1000)]
    tag: Name
    change: Knobs
    why: Text
    if_it_fails: Text


class Evaluation(Table):
    """Seeds per evaluation set, and the set that informs and does not vote."""

    seeds: Size
    third_seed_start: Seed


class SuccessFloor(Table):
    """Stage 1: success rate on the set at `seed_start` of at least `threshold`."""

    seed_start: Seed
    threshold: Rate


class TrainingDynamics(Table):
    """Stage 2: the last `window` history rows."""

    window: Rows
    entropy_below: Figure
    log_std_rise_at_most: Figure
    value_loss_at_most: Loss


class SeedShift(Table):
    """Stage 3: success on the set at `seed_start` against stage 1's."""

    seed_start: Seed
    difference_at_most: Rate


class Stages(Table):
    """The acceptance stages, in their order."""

    success_floor: SuccessFloor
    training_dynamics: TrainingDynamics
    seed_shift: SeedShift


class FailureModes(Table):
    """The table of failure modes (rules: `failure_modes.classify`)."""

    bootstrap_alignment_below: Alignment
    critic_window_divisor: Count
    critic_window_at_least: Rows
    critic_log_std_rise_at_least: Figure
    critic_value_loss_at_least: Loss
    critic_reward_rows: Count
    critic_reward_fall_at_least: Figure
    collapse_alignment_at_least: Alignment
    collapse_log_std_at_most: Figure
    under_budget_alignment_gain_at_least: Annotated[float, Field(ge=-2, le=2)]
    healthy_success_at_least: Rate


class Prediction(Table):
    """`candidate` (a tag, or "first") clears `stage`."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")]
    candidate: Name
    stage: Annotated[int, Field(ge=1, le=3)]
    prediction: Text
    falsified_if: Text
    then: Text


class BatchRun(Table):
    """A run that follows an adoption."""

    label: Name
    variant: FreshVariant
    mixed_lambda: Lambda | None = None

    @model_validator(mode="after")
    def _lambda_where_mixed(self) -> Self:
        _check_lambda(self)
        return self


def _check_lambda(run: PlannedRun | BatchRun) -> None:
    mixes = run.variant in _MIXED
    if mixes != (run.mixed_lambda is not None):
        value = "(missing)" if mixes else run.mixed_lambda
        rule = "needs it" if mixes else "mixes nothing: leave it out"
        raise InputError("mixed_lambda", value, f"variant {run.variant} {rule}")


class Rejection(Table):
    """What the rejection of all candidates at `tier` says."""

    finding: Text
    code_changes: Array[Text]
    tier: Tier | None = None


class Compute(Table):
    """Hours stated before the run: after 1, 2, ... candidates; for the batch on top."""

    candidate_hours: Array[Hours]
    batch_hours: Hours


class Segment(Table):
    """One segment of Path A, as published."""

    segment: Name
    env_steps: Steps
    success_rate: Rate
    mean_terminal_alignment: Alignment
    mean_steps: Hours
    entropy: Figure
    log_std: Figure


class PathA(Table):
    """Default hyper-parameters at `tier`, and the best state seen."""

    best: Name
    segments: Array[Segment]
    tier: Tier | None = None

    @model_validator(mode="after")
    def _best_is_there(self) -> Self:
        segments = [segment.segment for segment in self.segments]
        if self.best not in segments:
            raise InputError("best", self.best, f"choose one of {segments}")
        return self


class ProgrammeRun(Table):
    """What the programme found for one run at `tier`, to be compared with."""

    run: Name
    env_steps: Steps
    success_rate: Rate
    mean_terminal_alignment: Alignment
    remark: Text
    tier: Tier | None = None


class Content(Table):
    """The fields of a protocol file. What decides is required; what is told beside it is not."""

    name: Name
    run: PlannedRun
    hparams: Knobs
    candidates: Annotated[Array[Candidate], Field(min_length=1)]
    evaluation: Evaluation
    stages: Stages
    failure_modes: FailureModes
    predictions: Array[Prediction]
    batch: Array[BatchRun]
    rejection: Rejection | None = None
    compute: Compute | None = None
    path_a: PathA | None = None
    programme: Array[ProgrammeRun] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        self.check_updates(self.run.updates, "run.updates")
        labels = [("run.label", self.run.label)]
        labels += [(f"batch[{index}].label", run.label) for index, run in enumerate(self.batch)]
        _check_distinct(labels)
        _check_candidates(self)
        _check_seed_sets(self)
        _check_predictions(self)
        if self.compute and len(self.compute.candidate_hours) != len(self.candidates):
            hours = list(self.compute.candidate_hours)
            allowed = f"give one number per candidate: {len(self.candidates)}"
            raise InputError("compute.candidate_hours", hours, allowed)
        return self

    def check_updates(self, updates: int, where: str) -> None:
        """Refuse fewer updates than stage 2 looks at; `where` names them in the message."""
        window = self.stages.training_dynamics.window
        if updates < window:
            raise InputError(where, updates, f"give at least {window}, the window of stage 2")


def _check_distinct(pairs: Sequence[tuple[str, object]]) -> None:
    seen: set[object] = set()
    for where, value in pairs:
        if value in seen:
            raise InputError(where, value, "it is there twice")
        seen.add(value)


def _check_candidates(content: Content) -> None:
    for knob in _Knobs.__annotations__:
        if knob not in content.hparams:
            raise InputError(f"hparams.{knob}", "(missing)", "the field is required")
    named = [(f"candidates[{index}]", item) for index, item in enumerate(content.candidates)]
    _check_distinct([(f"{where}.order", candidate.order) for where, candidate in named])
    _check_distinct([(f"{where}.tag", candidate.tag) for where, candidate in named])
    for where, candidate in named:
        if not candidate.change:
            raise InputError(f"{where}.change", {}, "a candidate changes at least one knob")
        for knob, value in candidate.change.items():
            if value == content.hparams[knob]:
                raise InputError(f"{where}.change.{knob}", value, "that is the default: no change")


def _check_seed_sets(content: Content) -> None:
    """The evaluation sets must not share seeds, and seeds must fit 32 bits."""
    stages, count = content.stages, content.evaluation.seeds
    sets = [
        ("stages.success_floor.seed_start", stages.success_floor.seed_start, count),
        ("stages.seed_shift.seed_start", stages.seed_shift.seed_start, count),
        ("evaluation.third_seed_start", content.evaluation.third_seed_start, count),
    ]
    for index, (where, start, _) in enumerate(sets):
        if any(abs(start - other) < count for _, other, _ in sets[:index]):
            raise InputError(where, start, "its seeds are partly another set's")
    for where, start, size in [
        *sets,
        ("run.seed_start", content.run.seed_start, content.run.batch_envs),
    ]:
        if start + size > SEED_LIMIT:
            raise InputError(where, start, f"give at most {SEED_LIMIT - size}")


def _check_predictions(content: Content) -> None:
    tags = [candidate.tag for candidate in content.candidates]
    named = [(f"predictions[{index}]", item) for index, item in enumerate(content.predictions)]
    _check_distinct([(f"{where}.id", prediction.id) for where, prediction in named])
    for where, prediction in named:
        if prediction.candidate not in [*tags, "first"]:
            allowed = f"choose a tag of {tags}, or first"
            raise InputError(f"{where}.candidate", prediction.candidate, allowed)
