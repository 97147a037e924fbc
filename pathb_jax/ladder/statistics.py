"""How sure a ladder can be with so few seeds: exact binomial statements, numbers in and out.

Every seed of a set is taken as one independent trial with the set's success probability.
SciPy takes seconds to import, so it is imported where it is used.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from pathb_jax.ladder.acceptance import decimal, successes_needed, within

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


def success_floor_flip(successes: int, seeds: int, threshold: float) -> float:
    """Return the probability that stage 1 would say the opposite on other seeds.

    That is: if the true success probability is the observed rate, how often a fresh set of as
    many seeds falls on the other side of `threshold`.

    Example:
        >>> round(success_floor_flip(13, 32, 0.40), 2)  # as few as pass
        0.43
    """
    from scipy.stats import binom

    needed = successes_needed(threshold, seeds)
    tail = binom.cdf if successes >= needed else binom.sf
    return float(tail(needed - 1, seeds, successes / seeds))


def seed_shift_flip(first: tuple[int, int], second: tuple[int, int], difference: float) -> float:
    """Return the probability that stage 3 would say the opposite on other seeds.

    That is: if the true success probabilities of both sets are the observed rates, how often two
    fresh sets, of as many seeds each, fall on the other side of `difference`.

    Args:
        first: (successes, seeds) of stage 1's set.
        second: the same of stage 3's.
        difference: the largest difference of rates that passes.
    """
    from scipy.stats import binom

    (_, n1), (_, n2) = first, second
    passing = rates_within(n1, binom(n1, _rate(first)), n2, binom(n2, _rate(second)), difference)
    return as_probability(1 - passing if within(first, second, difference) else passing)


def seed_shift_false_alarm(
    first: tuple[int, int], second: tuple[int, int], difference: float
) -> float:
    """Return the probability that stage 3 fails though both sets have one success probability.

    That probability is taken to be the pooled rate of the two sets. It says how often a candidate
    that is not at all specific to its seeds is rejected by chance alone.
    """
    from scipy.stats import binom

    (_, n1), (_, n2) = first, second
    pooled = (first[0] + second[0]) / (n1 + n2)
    return as_probability(
        1 - rates_within(n1, binom(n1, pooled), n2, binom(n2, pooled), difference)
    )


def rates_within(n1: int, first: Any, n2: int, second: Any, difference: float) -> float:
    """Return P(|K2/n2 - K1/n1| <= difference) for independent counts K1, K2.

    Args:
        n1: seeds of the first set.
        first: SciPy's (frozen) distribution of K1 on 0..n1.
        n2: seeds of the second.
        second: of K2 on 0..n2.
        difference: the largest difference of rates that counts.
    """
    allowed = decimal(difference)
    counts = np.arange(n1 + 1)
    rates = [Fraction(count, n1) for count in range(n1 + 1)]
    low = np.array([math.ceil((rate - allowed) * n2) for rate in rates])
    high = np.array([math.floor((rate + allowed) * n2) for rate in rates])
    inside = second.cdf(high) - second.cdf(low - 1)
    return float(np.dot(first.pmf(counts), inside))


def _rate(count: tuple[int, int]) -> float:
    return count[0] / count[1]


def as_probability(value: float) -> float:
    """Return `value` without the rounding that summing left beyond [0, 1]."""
    return min(1.0, max(0.0, value))
