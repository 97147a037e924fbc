"""The tables of a protocol file: their fields, with limits, and what holds within one.

What the numbers mean is in docs/spec/ladder.md. What holds across tables: `content`.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pathb_jax.config import OWN_REWARD, VARIANTS, SensorTier, Tier
from pathb_jax.errors import InputError
from pathb_jax.ladder.knobs import Change
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
