"""A whole protocol file, and what has to hold across its tables."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from pathb_jax.config import SEED_LIMIT
from pathb_jax.errors import InputError
from pathb_jax.ladder.knobs import OF_THE_RUN, REQUIRED, Knob, Knobs, trainer_default
from pathb_jax.ladder.limits import Name, Table
from pathb_jax.ladder.schema import (
    BatchRun,
    Candidate,
    Compute,
    Evaluation,
    FailureModes,
    PathA,
    PlannedRun,
    Prediction,
    ProgrammeRun,
    Rejection,
    Voting,
)
from pathb_jax.ladder.stages import ReturnFloor, Stages, SuccessFloor, TrainingDynamics
from pathb_jax.store.models import Array


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
