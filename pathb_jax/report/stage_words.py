"""The rules of a protocol's stages, in words."""

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.stages import (
    EquivalenceStage,
    ReturnFloor,
    SeedShift,
    Stage,
    SuccessFloor,
)
from pathb_jax.report.note_words import number


def looks_at(stage: Stage, plan: Protocol) -> str:
    """Return what a stage looks at."""
    first, seeds = plan.stages.success_floor.seed_start, plan.evaluation.seeds
    if isinstance(stage, SuccessFloor | ReturnFloor):
        return f"the {seeds} seeds from {stage.seed_start}"
    if isinstance(stage, SeedShift | EquivalenceStage):
        return f"the {seeds} seeds from {first} and from {stage.seed_start}"
    return f"the last {stage.window} rows of the history"


def passes_when(stage: Stage) -> str:
    """Return when a stage passes."""
    if isinstance(stage, SuccessFloor):
        return f"success rate at least {number(stage.threshold)}"
    if isinstance(stage, ReturnFloor):
        return f"mean return at least {number(stage.threshold)}"
    if isinstance(stage, SeedShift):
        return f"success rates differ by at most {number(stage.difference_at_most)}"
    if isinstance(stage, EquivalenceStage):
        return (
            f"two one-sided tests at {stage.alpha:g} say that the success rates differ by less "
            f"than {number(stage.margin)}"
        )
    return (
        f"entropy of the last below {number(stage.entropy_below)}, log_std rose by at most "
        f"{number(stage.log_std_rise_at_most)} from the first to the last, value_loss at most "
        f"{number(stage.value_loss_at_most)} in all"
    )
