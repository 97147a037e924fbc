"""The kinds of acceptance stages, and a protocol's list of them.

A protocol file has them as three tables `[stages.KIND]`, or as an array `[[stages]]` of any length
whose items name their `kind`. In the program they are one tuple.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from pathb_jax.errors import InputError
from pathb_jax.ladder.limits import Figure, Loss, Rate, Rows, Seed, Table
from pathb_jax.store.models import parse, shown

MOST = 20
"""Stages of a protocol."""


class SuccessFloor(Table):
    """Success rate on the set at `seed_start` of at least `threshold`."""

    kind: ClassVar[str] = "success_floor"
    seed_start: Seed
    threshold: Rate


class ReturnFloor(Table):
    """Mean return on the set at `seed_start` of at least `threshold`; with `run.env` alone."""

    kind: ClassVar[str] = "return_floor"
    seed_start: Seed
    threshold: Figure


class TrainingDynamics(Table):
    """The last `window` history rows."""

    kind: ClassVar[str] = "training_dynamics"
    window: Rows
    entropy_below: Figure
    log_std_rise_at_most: Figure
    value_loss_at_most: Loss


class SeedShift(Table):
    """Success on the set at `seed_start` against that on the first success floor's."""

    kind: ClassVar[str] = "seed_shift"
    seed_start: Seed
    difference_at_most: Rate


class EquivalenceStage(Table):
    """Two one-sided tests at `alpha` that the same two rates differ by less than `margin`."""

    kind: ClassVar[str] = "equivalence"
    seed_start: Seed
    margin: Annotated[float, Field(gt=0, le=1)]
    alpha: Annotated[float, Field(gt=0, lt=0.5)]


Stage = SuccessFloor | ReturnFloor | TrainingDynamics | SeedShift | EquivalenceStage
KINDS: dict[str, type[Stage]] = {kind.kind: kind for kind in get_args(Stage)}


class StageTables(Table):
    """The three stages as tables, in their order."""

    success_floor: SuccessFloor
    training_dynamics: TrainingDynamics
    seed_shift: SeedShift


class Stages(tuple[Stage, ...]):
    """A protocol's stages, in their order; at least one success floor among them."""

    as_tables: bool

    def __new__(cls, stages: Iterable[Stage], as_tables: bool = False) -> Self:
        """Make them from stages; `as_tables`: the file has them as three tables."""
        made = super().__new__(cls, stages)
        made.as_tables = as_tables
        return made

    @property
    def success_floor(self) -> SuccessFloor:
        """The first success floor: looked at along the run too, and by the failure modes."""
        return next(stage for stage in self if isinstance(stage, SuccessFloor))

    @property
    def training_dynamics(self) -> TrainingDynamics | None:
        """The first stage of its kind, if there is one."""
        return next((stage for stage in self if isinstance(stage, TrainingDynamics)), None)

    @property
    def seed_shift(self) -> SeedShift | None:
        """The first stage of its kind, if there is one."""
        return next((stage for stage in self if isinstance(stage, SeedShift)), None)

    @property
    def seed_starts(self) -> list[int]:
        """First seeds of the sets that the stages look at, the first success floor's first."""
        starts = [self.success_floor.seed_start]
        starts += [stage.seed_start for stage in self if not isinstance(stage, TrainingDynamics)]
        return list(dict.fromkeys(starts))

    def where(self, index: int) -> str:
        """Return the name of a stage in the file, "stages.seed_shift" or "stages[2]"."""
        return f"stages.{self[index].kind}" if self.as_tables else f"stages[{index}]"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Read both forms; write the one that was read."""
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(_written)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Say nothing: `_read` names what is wrong."""
        return {}


def _read(raw: object) -> Stages:
    if isinstance(raw, Stages):
        return raw
    if not isinstance(raw, list):
        tables = parse(StageTables, raw, "")
        return Stages([stage for _, stage in tables], as_tables=True)
    if not 1 <= len(raw) <= MOST:
        raise InputError("", f"{len(raw)} stages", f"give 1 to {MOST}")
    stages = Stages([_read_one(item, f"[{index}]") for index, item in enumerate(raw)])
    if not any(isinstance(stage, SuccessFloor) for stage in stages):
        kinds = [stage.kind for stage in stages]
        raise InputError("", kinds, "give at least one success_floor")
    return stages


def _read_one(raw: object, where: str) -> Stage:
    if not isinstance(raw, dict):
        raise InputError(where, shown(raw), "a table is required")
    kind = raw.get("kind", "(missing)")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{where}.kind", shown(kind), f"choose one of {', '.join(KINDS)}")
    fields = {name: value for name, value in raw.items() if name != "kind"}
    return parse(KINDS[kind], fields, f"{where}.")


def _written(stages: Stages) -> dict[str, Any] | tuple[dict[str, Any], ...]:
    if stages.as_tables:
        return {stage.kind: dict(stage) for stage in stages}
    return tuple({"kind": stage.kind, **dict(stage)} for stage in stages)
