"""How sure a stage on the mean return is, against simulated sets."""

import numpy as np
import pytest
from scipy import stats

from pathb_jax.judging.rates import mean_flip, mean_interval


def test_the_interval_is_students() -> None:
    values = np.array([-3.0, -1.0, 0.5, 2.0, 9.0])
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("threshold", [-0.2, 0.0, 0.3])
def test_the_predictive_chance_is_how_often_fresh_means_turn(threshold: float) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.05, 1.0, 40)
    mean, spread, count = values.mean(), values.std(ddof=1), len(values)
    # Posterior of mean and deviation under the flat prior, then a fresh set's mean.
    draws = 200_000
    variance = spread**2 * (count - 1) / random.chisquare(count - 1, draws)
    fresh = random.normal(random.normal(mean, np.sqrt(variance / count)), np.sqrt(variance / count))
    turns = (fresh < threshold) if mean >= threshold else (fresh >= threshold)
    assert mean_flip(values, threshold) == pytest.approx(turns.mean(), abs=0.005)


def test_returns_that_are_all_equal_turn_nothing() -> None:
    assert mean_flip(np.full(5, 2.0), 2.0) == 0.0
    assert mean_flip(np.full(5, 2.0), 3.0) == 0.0
