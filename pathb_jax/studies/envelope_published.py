"""Published figures that an envelope is held against: one run each, one row per run.

Source: docs/spec/trainer.md, "Anchor figures"; docs/spec/battery.md for the basin preferences,
which at Medium come without a budget.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pathb_jax.config import Tier
from pathb_jax.studies.envelope_statistics import (
    ALIGNMENT_FLOOR,
    PREFERENCE_LIMIT,
    Mean,
    Point,
    side,
)


class Published(NamedTuple):
    """One published run; None stands for what was not published."""

    run: str
    """Budget and hyper-parameters that are not the defaults, of success and alignment."""
    tier: Tier
    mixed_lambda: float
    success_rate: float | None
    alignment: float | None
    preference: float | None


PUBLISHED = (
    Published("1 M", "Small", 0.5, None, None, -0.394),
    Published("1 M", "Small", 0.7, None, None, 1.346),
    Published("1 M", "Small", 0.9, 2 / 64, 0.528, 2.611),
    Published("budget not told", "Medium", 0.7, None, None, 0.613),
    Published("budget not told", "Medium", 0.8, None, None, 0.485),
    Published("10 M", "Medium", 0.9, 36 / 64, 0.973, 0.383),
    Published("10 M", "Medium", 0.95, 43 / 64, 0.982, 0.330),
    Published("10 M", "Medium", 0.97, 2 / 64, 0.276, 5.510),
    Published("10 M", "Medium", 0.99, 3 / 64, 0.303, 5.159),
    Published("10 M", "Medium", 1.0, 0.0, 0.267, 5.560),
    Published("10 M", "Large", 0.9, 0.156, 0.621, None),
    Published("10 M, lr 1e-4", "Large", 0.9, 0.219, 0.832, None),
    Published("10 M, value_coef 0.25", "Large", 0.9, 0.531, 0.934, None),
    Published("10 M, value_coef 0.25", "Large", 0.95, 0.094, 0.599, None),
    Published("10 M, value_coef 0.25", "Large", 0.97, 0.031, 0.506, None),
    Published("10 M, value_coef 0.25", "Large", 0.99, 0.406, 0.885, None),
    Published("5 M, value_coef 0.25", "Large", 1.0, 0.0, 0.003, None),
)


class Beside(NamedTuple):
    """A published run and our figures at its lambda."""

    published: Published
    ours: Point
    same_alignment: bool | None
    """Whether both alignments lie on the same side of the floor; None: ours cannot be told, or
    none is published."""
    same_preference: bool | None
    """Whether both basin preferences lie on the same side of the limit; likewise."""


def beside(points: Sequence[Point]) -> Iterator[Beside]:
    """Yield every published run whose lambda is among the points."""
    ours = {point.mixed_lambda: point for point in points}
    for row in PUBLISHED:
        if (point := ours.get(row.mixed_lambda)) is None:
            continue
        yield Beside(
            row,
            point,
            _same_side(row.alignment, point.alignment, ALIGNMENT_FLOOR),
            _same_side(row.preference, point.preference, PREFERENCE_LIMIT),
        )


def _same_side(published: float | None, ours: Mean, limit: float) -> bool | None:
    beyond = side(ours, limit)
    return None if published is None or beyond is None else beyond == (published >= limit)
