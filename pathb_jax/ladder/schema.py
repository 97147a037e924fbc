"""The fields of a protocol file, their limits, and what has to hold across fields.

What the numbers mean is in docs/spec/ladder.md.
"""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pathb_jax.config import OWN_REWARD, SEED_LIMIT, VARIANTS, SensorTier, Tier
from pathb_jax.errors import InputError
from pathb_jax.ladder.knobs import OF_THE_RUN, REQUIRED, Change, Knob, Knobs, trainer_default
from pathb_jax.ladder.limits import (
    Alignment,
    Count,
    Epochs,
    Figure,
    Hours,
    Lambda,
    LogStd,
    Loss,
    Minibatch,
    Name,
    Rate,
    Rows,
    Seed,
    Size,
    Steps,
    Table,
    Text,
)
from pathb_jax.ladder.stages import ReturnFloor, Stages, SuccessFloor, TrainingDynamics
from pathb_jax.store.models import Array

_FRESH = [name for name, variant in VARIANTS.items() if not variant.curriculum]
_MIXED = [name for name, variant in VARIANTS.items() if variant.family == "L-Mixed"]

MOST_VOTING = 1000


def _fresh(variant: str) -> str:
    if variant not in _FRESH:
        raise ValueError(f"choose one of {', '.join(_FRESH)}")
    return variant


FreshVariant = Annotated[str, AfterValidator(_fresh)]


class PlannedRun(Table):
    """The configuration that every candidate shares. Names are those of the training flags.

    With `env`, another environment than the shadow field, `variant`, `sensor_tier` and
    `mixed_lambda` are left out, and `success_return` is required.
    """

    label: Name
    variant: FreshVariant = OWN_REWARD
    tier: Tier
    sensor_tier: SensorTier = "local-probe-field"
    env: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    success_return: Figure | None = None
    updates: Count
    seed: Seed
    batch_envs: Size
    rollout_length: Size
    minibatch_size: Minibatch
    epochs: Epochs
    seed_start: Seed
    log_std_init: LogStd
    mixed_lambda: Lambda | None = None

    @model_validator(mode="after")
    def _whole_minibatches(self) -> Self:
        batch_size = self.batch_envs * self.rollout_length
        if batch_size % self.minibatch_size:
            allowed = f"it must divide batch_envs x rollout_length = {batch_size}"
            raise InputError("minibatch_size", self.minibatch_size, allowed)
        _check_world(self)
        _check_lambda(self)
        return self

    @property
    def env_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.updates * self.batch_envs * self.rollout_length


class Candidate(Table):
    """One candidate: `change` holds its knobs; a baseline changes none."""

    order: Annotated[int, Field(ge=1, le=1000)]
    tag: Name
    change: Change
    why: Text
    if_it_fails: Text
    baseline: bool = False


class Evaluation(Table):
    """Seeds per evaluation set, and a set that informs and does not vote."""

    seeds: Size
    third_seed_start: Seed | None = None


class Voting(Table):
    """How many training seeds of a candidate vote, and how many have to pass all stages."""

    training_seeds: Annotated[int, Field(ge=1, le=MOST_VOTING)]
    pass_at_least: Annotated[int, Field(ge=1, le=MOST_VOTING)]

    @model_validator(mode="after")
    def _can_pass(self) -> Self:
        if self.pass_at_least > self.training_seeds:
            allowed = f"give at most training_seeds = {self.training_seeds}"
            raise InputError("pass_at_least", self.pass_at_least, allowed)
        return self


class FailureModes(Table):
    """The table of failure modes (rules: `failure_modes.classify`).

    What is about alignment is the shadow field's: a protocol of another environment leaves it out.
    """

    bootstrap_alignment_below: Alignment | None = None
    critic_window_divisor: Count
    critic_window_at_least: Rows
    critic_log_std_rise_at_least: Figure
    critic_value_loss_at_least: Loss
    critic_reward_rows: Count
    critic_reward_fall_at_least: Figure
    collapse_alignment_at_least: Alignment | None = None
    collapse_log_std_at_most: Figure | None = None
    under_budget_alignment_gain_at_least: Annotated[float, Field(ge=-2, le=2)] | None = None
    healthy_success_at_least: Rate


class Prediction(Table):
    """`candidate` (a tag, or "first") clears `stage`."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")]
    candidate: Name
    stage: Annotated[int, Field(ge=1, le=1000)]
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


def _check_world(run: PlannedRun) -> None:
    """Hold what the shadow field needs and what another environment needs apart."""
    own = run.env is not None
    given = run.model_fields_set
    for name in ("variant", "sensor_tier"):
        if own and getattr(run, name) != PlannedRun.model_fields[name].default:
            allowed = "it is the shadow field's; leave it out with env"
            raise InputError(name, getattr(run, name), allowed)
        if not own and name not in given:
            raise InputError(name, "(missing)", "the field is required")
    if own and run.success_return is None:
        allowed = "say from which return on an episode of env is a success"
        raise InputError("success_return", "(missing)", allowed)
    if not own and run.success_return is not None:
        raise InputError("success_return", run.success_return, "it goes with env")


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
    voting: Voting = Field(default_factory=lambda: Voting(training_seeds=1, pass_at_least=1))
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
        _check_measure(self)
        _check_seed_sets(self)
        _check_predictions(self)
        if self.compute and len(self.compute.candidate_hours) != len(self.candidates):
            hours = list(self.compute.candidate_hours)
            allowed = f"give one number per candidate: {len(self.candidates)}"
            raise InputError("compute.candidate_hours", hours, allowed)
        return self

    def check_updates(self, updates: int, where: str) -> None:
        """Refuse fewer updates than a stage looks at; `where` names them in the message."""
        for number, stage in enumerate(self.stages, start=1):
            if isinstance(stage, TrainingDynamics) and updates < stage.window:
                allowed = f"give at least {stage.window}, the window of stage {number}"
                raise InputError(where, updates, allowed)

    def default_of(self, knob: str) -> Knob | None:
        """Return what a knob is where a candidate does not change it; None: off."""
        if knob in OF_THE_RUN:
            return getattr(self.run, knob)
        return self.hparams.get(knob, trainer_default(knob))


def _check_distinct(pairs: Sequence[tuple[str, object]]) -> None:
    seen: set[object] = set()
    for where, value in pairs:
        if value in seen:
            raise InputError(where, value, "it is there twice")
        seen.add(value)


def _check_candidates(content: Content) -> None:
    for knob in REQUIRED:
        if knob not in content.hparams:
            raise InputError(f"hparams.{knob}", "(missing)", "the field is required")
    named = [(f"candidates[{index}]", item) for index, item in enumerate(content.candidates)]
    _check_distinct([(f"{where}.order", candidate.order) for where, candidate in named])
    _check_distinct([(f"{where}.tag", candidate.tag) for where, candidate in named])
    batch_size = content.run.batch_envs * content.run.rollout_length
    for where, candidate in named:
        if candidate.baseline and candidate.change:
            raise InputError(f"{where}.change", candidate.change, "a baseline changes nothing")
        if not candidate.baseline and not candidate.change:
            allowed = "a candidate changes at least one knob, or says baseline = true"
            raise InputError(f"{where}.change", {}, allowed)
        for knob, value in candidate.change.items():
            if value == content.default_of(knob):
                raise InputError(f"{where}.change.{knob}", value, "that is the default: no change")
        minibatch = candidate.change.get("minibatch_size", content.run.minibatch_size)
        if batch_size % int(minibatch):
            allowed = f"it must divide batch_envs x rollout_length = {batch_size}"
            raise InputError(f"{where}.change.minibatch_size", minibatch, allowed)


def _check_measure(content: Content) -> None:
    """Refuse what an environment's episodes do not tell."""
    stages, own = content.stages, content.run.env is not None
    for index, stage in enumerate(stages):
        if isinstance(stage, ReturnFloor) and not own:
            allowed = "the shadow field's stages look at success; return_floor goes with run.env"
            raise InputError(f"{stages.where(index)}.kind", stage.kind, allowed)
    for name in FailureModes.model_fields:
        value, of_field = getattr(content.failure_modes, name), name in _ALIGNED
        if own and of_field and value is not None:
            allowed = "episodes of run.env have no alignment; leave it out"
            raise InputError(f"failure_modes.{name}", value, allowed)
        if value is None and not own:
            raise InputError(f"failure_modes.{name}", "(missing)", "the field is required")
    if own and content.batch:
        allowed = "a batch is of variants of the shadow field; give batch = [] with run.env"
        raise InputError("batch", f"{len(content.batch)} runs", allowed)


_ALIGNED = (
    "bootstrap_alignment_below",
    "collapse_alignment_at_least",
    "collapse_log_std_at_most",
    "under_budget_alignment_gain_at_least",
)
"""Fields of `FailureModes` whose rules look at alignment."""


def _check_seed_sets(content: Content) -> None:
    """Evaluation sets share no seeds unless they are the same one; seeds must fit 32 bits."""
    stages, size = content.stages, content.evaluation.seeds
    floor = stages.success_floor
    sets = [(stages.where(stages.index(floor)), floor.seed_start)]
    for index, stage in enumerate(stages):
        if isinstance(stage, TrainingDynamics) or stage is floor:
            continue
        sets.append((stages.where(index), stage.seed_start))
        compares = not isinstance(stage, SuccessFloor | ReturnFloor)
        if compares and stage.seed_start == floor.seed_start:
            where = f"{stages.where(index)}.seed_start"
            raise InputError(where, stage.seed_start, "its seeds are partly another set's")
    named = [(f"{where}.seed_start", start) for where, start in sets]
    if (third := content.evaluation.third_seed_start) is not None:
        if third in [start for _, start in named]:
            where = "evaluation.third_seed_start"
            raise InputError(where, third, "its seeds are partly another set's")
        named.append(("evaluation.third_seed_start", third))
    for index, (where, start) in enumerate(named):
        if any(0 < abs(start - other) < size for _, other in named[:index]):
            raise InputError(where, start, "its seeds are partly another set's")
    sized = [(where, start, size) for where, start in named]
    run, voting = content.run, content.voting.training_seeds
    sized.append(("run.seed_start", run.seed_start, run.batch_envs))
    sized.append(("run.seed", run.seed, voting))
    for where, start, count in sized:
        if start + count > SEED_LIMIT:
            raise InputError(where, start, f"give at most {SEED_LIMIT - count}")


def _check_predictions(content: Content) -> None:
    tags = [candidate.tag for candidate in content.candidates]
    named = [(f"predictions[{index}]", item) for index, item in enumerate(content.predictions)]
    _check_distinct([(f"{where}.id", prediction.id) for where, prediction in named])
    for where, prediction in named:
        if prediction.candidate not in [*tags, "first"]:
            allowed = f"choose a tag of {tags}, or first"
            raise InputError(f"{where}.candidate", prediction.candidate, allowed)
        if prediction.stage > len(content.stages):
            allowed = f"there are {len(content.stages)} stages"
            raise InputError(f"{where}.stage", prediction.stage, allowed)
