"""How sure the stages on success rates are: predictive odds, error curves, equivalence.

Every evaluation seed is taken as one independent trial with the set's success probability. SciPy
takes long to import, so it is imported where it is used.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.ladder.equivalence import Count as Count
from pathb_jax.ladder.exact import decimal, successes_needed, within
from pathb_jax.ladder.statistics import as_probability, rates_within

JEFFREYS = 0.5
"""Both parameters of the Beta prior of a success probability; the posterior of k of n is
Beta(k + 1/2, n - k + 1/2)."""


def floor_flip(count: Count, threshold: float) -> float:
    """Return the posterior-predictive probability that a fresh set says the opposite of stage 1.

    The success probability is not known: it has Jeffreys' posterior given the set, so that 0 of 32
    does not mean "never".

    Args:
        count: the set that was judged.
        threshold: least success rate that passes.
    """
    return count_flip(count, successes_needed(threshold, count[1]))


def count_flip(count: Count, needed: int) -> float:
    """Return the posterior-predictive probability that as many fresh ones say the opposite.

    Args:
        count: how many passed, and of how many: seeds of a set, or training seeds that vote.
        needed: how many have to pass.

    >>> round(count_flip((4, 5), 4), 3)
    0.362
    """
    fresh = _predictive(count)
    return float((fresh.cdf if count[0] >= needed else fresh.sf)(needed - 1))


def shift_flip(first: Count, second: Count, difference: float) -> float:
    """Return the posterior-predictive probability that fresh sets say the opposite of stage 3.

    Args:
        first: the set of stage 1.
        second: the shifted set.
        difference: largest difference of the two rates that passes.
    """
    passing = rates_within(first[1], _predictive(first), second[1], _predictive(second), difference)
    return as_probability(1 - passing if within(first, second, difference) else passing)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of independent figures, two at least."""
    from scipy.stats import t

    error = np.std(values, ddof=1) / np.sqrt(len(values))
    half = float(t.ppf(0.975, len(values) - 1) * error)
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def mean_flip(values: np.ndarray, threshold: float) -> float:
    """Return the predictive probability that the mean of fresh figures says the opposite.

    Student's, for as many figures of the same normal distribution, whose mean and deviation are not
    known (flat prior of the mean and of the deviation's logarithm).

    Args:
        values: those that were judged, two at least.
        threshold: least mean that passes.
    """
    from scipy.stats import t

    mean, count = float(np.mean(values)), len(values)
    scale = float(np.std(values, ddof=1)) * np.sqrt(2 / count)
    if scale == 0:
        return 0.0
    below = float(t.cdf((threshold - mean) / scale, count - 1))
    return below if mean >= threshold else 1 - below


class ErrorCurve(NamedTuple):
    """What a rule does over the true success probability."""

    probability: np.ndarray
    """True success probabilities, ascending."""
    wrong: np.ndarray
    """Probability of the wrong answer: a pass below the threshold, a fail at or above it."""


def floor_errors(seeds: int, threshold: float, points: int = 101) -> ErrorCurve:
    """Return how often stage 1 is wrong, over the true success probability.

    Args:
        seeds: of the set.
        threshold: least success rate that passes.
        points: how many probabilities from 0 to 1.
    """
    from scipy.stats import binom

    probability = np.linspace(0.0, 1.0, points)
    passes = binom.sf(successes_needed(threshold, seeds) - 1, seeds, probability)
    return ErrorCurve(probability, np.where(probability < threshold, passes, 1 - passes))


def shift_false_fails(seeds: int, difference: float, points: int = 101) -> ErrorCurve:
    """Return how often stage 3 fails a policy that is equally good on both sets.

    Args:
        seeds: of each of the two sets.
        difference: largest difference of the two rates that passes.
        points: how many probabilities from 0 to 1.
    """
    probability = np.linspace(0.0, 1.0, points)
    return ErrorCurve(
        probability,
        np.array([shift_error(seeds, p, p, difference) for p in probability.tolist()]),
    )


def shift_error(seeds: int, first: float, second: float, difference: float) -> float:
    """Return how often stage 3 is wrong about two true success probabilities.

    Args:
        seeds: of each of the two sets.
        first: true success probability on stage 1's set.
        second: on the shifted set.
        difference: largest difference that is to pass.

    >>> round(shift_error(32, 0.45, 0.45, 0.10), 2)
    0.38
    """
    from scipy.stats import binom

    passing = rates_within(seeds, binom(seeds, first), seeds, binom(seeds, second), difference)
    to_pass = abs(decimal(second) - decimal(first)) <= decimal(difference)
    return as_probability(1 - passing if to_pass else passing)


def seeds_needed(
    probability: float, difference: float, error: float = 0.05, most: int = 2**14
) -> int | None:
    """Return the least power of two of seeds at which stage 3 seldom fails an equal policy.

    Args:
        probability: the policy's success probability on both sets.
        difference: largest difference of the two rates that passes.
        error: how often it may fail.
        most: the largest set to consider.

    Returns:
        Seeds of each set, or None if `most` are too few.
    """
    sizes = [2**power for power in range(3, most.bit_length())]
    return next(
        (n for n in sizes if shift_error(n, probability, probability, difference) <= error), None
    )


def equivalence_flip(first: Count, second: Count, margin: float, alpha: float) -> float:
    """Return the posterior-predictive probability that fresh sets turn two one-sided tests.

    Args:
        first: the set of stage 1.
        second: the shifted set, of as many seeds.
        margin: differences of this size or more are not equivalent.
        alpha: level of each of the two tests.
    """
    counts, pairs = np.arange(first[1] + 1), equivalent_pairs(first[1], margin, alpha)
    other = ~pairs if pairs[first[0], second[0]] else pairs
    one, two = _predictive(first).pmf(counts), _predictive(second).pmf(counts)
    return as_probability(float(one @ other @ two))


def equivalence_error(seeds: int, probability: float, margin: float, alpha: float) -> float:
    """Return how often two one-sided tests fail a policy that is equally good on both sets.

    Args:
        seeds: of each of the two sets.
        probability: its success probability.
        margin: differences of this size or more are not equivalent.
        alpha: level of each of the two tests.
    """
    from scipy.stats import binom

    drawn = binom(seeds, probability).pmf(np.arange(seeds + 1))
    return as_probability(float(drawn @ ~equivalent_pairs(seeds, margin, alpha) @ drawn))


@functools.lru_cache(maxsize=8)
def equivalent_pairs(seeds: int, margin: float, alpha: float) -> np.ndarray:
    """Return which pairs of successes of so many seeds each are equivalent by both tests.

    Args:
        seeds: of each of the two sets.
        margin: differences of this size or more are not equivalent.
        alpha: level of each of the two tests.

    Returns:
        `[seeds + 1, seeds + 1]` bool, by the first set's successes and the other's.
    """
    from scipy.stats import binomtest

    intervals = [
        binomtest(count, seeds).proportion_ci(1 - 2 * alpha, method="wilson")
        for count in range(seeds + 1)
    ]
    rate = np.arange(seeds + 1) / seeds
    below = rate - np.array([interval.low for interval in intervals])
    above = np.array([interval.high for interval in intervals]) - rate
    difference = rate[None, :] - rate[:, None]
    low = difference - np.hypot(below[None, :], above[:, None])
    high = difference + np.hypot(above[None, :], below[:, None])
    return (-margin < low) & (high < margin)


class Paired(NamedTuple):
    """Two policies on the same seeds."""

    only_first: int
    """Seeds on which the first alone succeeds."""
    only_second: int
    p_value: float
    """Of McNemar's exact test that neither is better, two-sided."""


def paired(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> Paired:
    """Compare two policies on equal seeds by McNemar's exact test.

    Args:
        first: success per seed.
        second: success per seed, of the same seeds in the same order.

    Raises:
        ValueError: not the same number of seeds.
    """
    from scipy.stats import binomtest

    one, other = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != other.shape:
        raise ValueError(f"{one.size} seeds against {other.size}")
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return Paired(only_first, only_second, p_value)


def _predictive(count: Count) -> Any:
    """Return the distribution of a fresh set's successes given a judged one of as many seeds."""
    from scipy.stats import betabinom

    successes, seeds = count
    return betabinom(seeds, successes + JEFFREYS, seeds - successes + JEFFREYS)
