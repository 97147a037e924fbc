"""Two one-sided tests of whether two success rates are equivalent: numbers in and out.

SciPy takes seconds to import, so it is imported where it is used.
"""

import math
from typing import NamedTuple

Count = tuple[int, int]
"""(successes, seeds) of an evaluation set, at least one seed."""


class Equivalence(NamedTuple):
    """Two one-sided tests of whether two rates differ by less than a margin."""

    difference: float
    """Second rate less the first."""
    interval: tuple[float, float]
    """Newcombe's hybrid score interval at 1 - 2 alpha; inside the margin both tests reject."""
    equivalent: bool


def equivalence(first: Count, second: Count, margin: float, alpha: float = 0.05) -> Equivalence:
    """Test whether two independent rates differ by less than a margin, by two one-sided tests.

    Both tests reject at level `alpha` where the interval of the difference at 1 - 2 alpha lies
    inside (-margin, margin). The interval is Newcombe's method 10 (Statistics in Medicine 17,
    1998): the Wilson intervals of the two rates, combined.

    Args:
        first: the set of stage 1.
        second: the shifted set.
        margin: differences of this size or more are not equivalent.
        alpha: level of each of the two tests.
    """
    low, high = newcombe(first, second, 1 - 2 * alpha)
    difference = second[0] / second[1] - first[0] / first[1]
    return Equivalence(difference, (low, high), -margin < low and high < margin)


def newcombe(first: Count, second: Count, confidence: float) -> tuple[float, float]:
    """Return Newcombe's hybrid score interval of the second rate less the first.

    Args:
        first: one set.
        second: the other, independent of it.
        confidence: level of the two-sided interval.
    """
    rate1, low1, high1 = _wilson(first, confidence)
    rate2, low2, high2 = _wilson(second, confidence)
    difference = rate2 - rate1
    return (
        difference - math.hypot(rate2 - low2, high1 - rate1),
        difference + math.hypot(high2 - rate2, rate1 - low1),
    )


def _wilson(count: Count, confidence: float) -> tuple[float, float, float]:
    from scipy.stats import binomtest

    interval = binomtest(*count).proportion_ci(confidence, method="wilson")
    return count[0] / count[1], float(interval.low), float(interval.high)
