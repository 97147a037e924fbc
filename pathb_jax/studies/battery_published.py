"""Published battery figures: one policy each, 64 seeds (docs/spec/battery.md)."""

from collections.abc import Iterator
from typing import NamedTuple, cast

from pathb_jax.config import VARIANTS, Tier, Variant, VariantName
from pathb_jax.runs.subjects import Training


class Published(NamedTuple):
    """One published policy."""

    tier: Tier
    variant: VariantName
    """One of its reward: a mixture's lambda is told beside it."""
    mixed_lambda: float
    preference: tuple[float, float]
    """old_basin_preference of the basin-position edit; a range where no more was told."""
    sensor_response: float | None = None
    """action_response_L2 of the signature-sensor edit."""
    remark: str = ""

    @property
    def reward(self) -> str:
        """What it was rewarded with."""
        return f"lambda {self.mixed_lambda:g}" if self.variant == MIXED else self.variant


TERMINAL: VariantName = "signature_ppo_terminal"
MIXED: VariantName = "mixed_ppo_phase3_lambda_0_9"
REWARD: VariantName = "reward_ppo_phase3"
BUDGET = "under budget"

PUBLISHED = (
    Published("Medium", TERMINAL, 0.0, (0.193, 0.193)),
    Published("Medium", MIXED, 0.7, (0.613, 0.613)),
    Published("Medium", MIXED, 0.8, (0.485, 0.485)),
    Published("Medium", MIXED, 0.9, (0.383, 0.383)),
    Published("Medium", MIXED, 0.95, (0.330, 0.330)),
    Published("Medium", MIXED, 0.97, (5.510, 5.510)),
    Published("Medium", MIXED, 0.99, (5.159, 5.159)),
    Published("Medium", REWARD, 1.0, (5.560, 5.560)),
    Published("Small", MIXED, 0.5, (-0.394, -0.394), remark="1 M steps"),
    Published("Small", MIXED, 0.7, (1.346, 1.346), remark="1 M steps"),
    Published("Small", MIXED, 0.9, (2.611, 2.611), remark="1 M steps"),
    Published("Large", MIXED, 0.95, (1.47, 1.52), 0.580, BUDGET),
    Published("Large", MIXED, 0.97, (1.47, 1.52), 0.973, BUDGET),
    Published("Large", MIXED, 0.99, (0.459, 0.459), 0.579),
    Published("Large", REWARD, 1.0, (7.050, 7.050), remark="no response"),
)


def published_beside(training: Training) -> Iterator[Published]:
    """Yield what was published of the same tier, reward and lambda."""
    variant = VARIANTS.get(cast(VariantName, training.variant))
    for row in PUBLISHED if variant is not None else ():
        if (row.tier, row.mixed_lambda) == (training.tier, training.mixed_lambda) and _reward(
            VARIANTS[row.variant]
        ) == _reward(cast(Variant, variant)):
            yield row


def _reward(variant: Variant) -> Variant:
    """Return a variant without its lambda, which a run may set."""
    return variant._replace(mixed_lambda=0.0)
