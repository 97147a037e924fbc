"""Figures compared as the decimal numbers that a reader of the files sees, exactly."""

import math
from collections.abc import Sequence
from fractions import Fraction


def successes_needed(threshold: float, seeds: int) -> int:
    """Return the least number of successes of `seeds` whose rate is at least `threshold`.

    Exact: the threshold is taken as the decimal number that the protocol file states.
    """
    return math.ceil(decimal(threshold) * seeds)


def decimal(number: float) -> Fraction:
    """Return the shortest decimal number that reads as `number`, exactly: 0.1 is 1/10."""
    return Fraction(repr(float(number)))


def within(first: tuple[int, int], second: tuple[int, int], allowed: float) -> bool:
    """Say whether two success rates, as (successes, seeds), differ by `allowed` at most.

    For sets of n seeds each this is |k2 - k1| <= floor(allowed n), exactly.
    """
    return abs(Fraction(*second) - Fraction(*first)) <= decimal(allowed)


def finite(value: float | None) -> float | None:
    """Return `value`, None where it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def difference(late: float | None, early: float | None) -> float | None:
    """Return `late - early` of the decimal numbers they show as, None where one is not finite.

    0.35 - 0.3 is 0.05 here, so that a threshold of 0.05 means what a reader of the file expects.
    """
    if late is None or early is None or not math.isfinite(late - early):
        return None
    return float(decimal(late) - decimal(early))


def largest(values: Sequence[float]) -> float | None:
    """Return the largest value, None where there is none or one is not finite."""
    return max(values) if values and all(map(math.isfinite, values)) else None
