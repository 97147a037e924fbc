"""How sure a ladder can be with so few seeds: exact binomial statements, numbers in and out.

Every seed of a set is taken as one independent trial with the set's success probability.
SciPy takes seconds to import, so it is imported where it is used.
"""

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from pathb_jax.ladder.exact import decimal

CONFIDENCE = 0.95
"""Level of every interval that is printed (docs/spec/ladder.md: an exact 95 % interval)."""


def clopper_pearson(
    successes: int, seeds: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a success probability.

    Example:
        >>> [round(end, 3) for end in clopper_pearson(17, 32)]
        [0.347, 0.709]

    Raises:
        ValueError: not 0 <= successes <= seeds, or no seed.
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, seeds).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def rates_within(n1: int, first: Any, n2: int, second: Any, difference: float) -> float:
    """Return P(|K2/n2 - K1/n1| <= difference) for independent counts K1, K2.

    Args:
        n1: seeds of the first set.
        first: SciPy's (frozen) distribution of K1 on 0..n1.
        n2: seeds of the second.
        second: of K2 on 0..n2.
        difference: the largest difference of rates that counts.
    """
    low, high = _within(n1, n2, difference)
    inside = second.cdf(high) - second.cdf(low - 1)
    return float(np.dot(first.pmf(np.arange(n1 + 1)), inside))


@functools.lru_cache(maxsize=64)
def _within(n1: int, n2: int, difference: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, for every count of n1, the least and largest of n2 whose rate is near enough."""
    allowed = decimal(difference)
    rates = [Fraction(count, n1) for count in range(n1 + 1)]
    low = np.array([math.ceil((rate - allowed) * n2) for rate in rates])
    high = np.array([math.floor((rate + allowed) * n2) for rate in rates])
    return low, high


def as_probability(value: float) -> float:
    """Return `value` without the rounding that summing left beyond [0, 1]."""
    return min(1.0, max(0.0, value))
