"""What training seeds say together: interquartile means, and how easily their vote turns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pathb_jax.judging.rates import JEFFREYS
from pathb_jax.ladder.statistics import as_probability


class Interquartile(NamedTuple):
    """The mean of the middle half, with its bootstrap interval."""

    mean: float
    interval: tuple[float, float]


def interquartile_mean(
    scores: Sequence[Sequence[float]] | np.ndarray,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interquartile:
    """Return the interquartile mean over runs and tasks, with a stratified bootstrap interval.

    Runs are resampled with replacement within each task (Agarwal et al., NeurIPS 2021); the mean is
    of the middle half of all scores, by SciPy's 25 % trimmed mean.

    Args:
        scores: one row per task, one score per training seed; rows may differ in length.
        confidence: of the percentile interval.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ValueError: there is no score.
    """
    from scipy.stats import trim_mean

    rows = [np.asarray(row, float) for row in scores if len(row)]
    if not rows:
        raise ValueError("no score")
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [row[generator.integers(0, len(row), (resamples, len(row)))] for row in rows], axis=1
    )
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(trim_mean(drawn, 0.25, axis=1), [tail, 100 - tail])
    return Interquartile(float(trim_mean(np.concatenate(rows), 0.25)), (float(low), float(high)))


def floor_votes_flip(clears: Sequence[bool], flips: Sequence[float], needed: int) -> float:
    """Return the probability that fresh evaluation sets turn the votes on a success floor.

    Args:
        clears: whether each training seed clears it.
        flips: the probability that a fresh set turns that, each by itself.
        needed: how many have to clear it.
    """
    counts = np.ones(1)  # probability of so many clearing it
    for clear, flip in zip(clears, flips, strict=True):
        chance = 1 - flip if clear else flip
        counts = np.convolve(counts, [1 - chance, chance])
    other = counts[:needed] if sum(clears) >= needed else counts[needed:]
    return as_probability(float(other.sum()))


def next_seed_disagrees(passed: int, seeds: int, voted: bool) -> float:
    """Return the posterior-predictive odds that one more training seed gives another verdict.

    Args:
        passed: training seeds that passed all stages.
        seeds: training seeds there are.
        voted: whether the seed that votes passed.

    >>> next_seed_disagrees(0, 1, False)
    0.25
    """
    passes = (passed + JEFFREYS) / (seeds + 2 * JEFFREYS)
    return 1 - passes if voted else passes
