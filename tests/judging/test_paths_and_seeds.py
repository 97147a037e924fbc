"""The path along a run, and other training seeds."""

import numpy as np
import pytest
from scipy import stats

from pathb_jax.judging.paths import along_the_run
from pathb_jax.judging.training_seeds import interquartile_mean, next_seed_disagrees


def test_a_path_that_swings():
    counts = [(0, 64), (34, 64), (0, 64), (43, 64), (20, 64), (26, 64)]
    found = along_the_run([50, 100, 150, 200, 250, 300], counts, 0.40)
    assert (found.last, found.best, found.best_update) == ((26, 64), (43, 64), 200)
    assert (found.late, found.late_above) == (2, 1)  # 26 of 64 is 0.406, 20 of 64 is 0.3125
    assert along_the_run([], [], 0.40) is None


def test_the_interquartile_mean_is_the_middle_half():
    scores = [[0, 1, 2, 3], [4, 5, 6, 70]]
    assert interquartile_mean(scores).mean == pytest.approx(np.mean([2, 3, 4, 5]))
    low, high = interquartile_mean(scores).interval
    assert low < 3.5 < high
    assert interquartile_mean(scores) == interquartile_mean(scores)
    with pytest.raises(ValueError, match="no score"):
        interquartile_mean([[]])


def test_resampling_is_within_each_task():
    """Two tasks without any spread have no interval, however far apart they are."""
    assert interquartile_mean([[0.0] * 4, [1.0] * 4]).interval == (0.5, 0.5)


def test_the_interval_covers_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    draws, seeds = 400, 12
    covered = 0
    for index in range(draws):
        sample = generator.normal(0, 1, (1, seeds))
        low, high = interquartile_mean(sample, resamples=400, seed=index).interval
        covered += low <= 0 <= high  # symmetric: the interquartile mean is 0
    assert covered / draws >= 0.88  # percentile intervals of 12 values fall short of 0.95


@pytest.mark.parametrize(("passed", "seeds", "voted"), [(0, 1, False), (3, 4, True), (5, 5, True)])
def test_one_more_seed_by_the_posterior(passed, seeds, voted):
    passes = stats.betabinom.pmf(1, 1, passed + 0.5, seeds - passed + 0.5)
    expected = 1 - passes if voted else passes
    assert next_seed_disagrees(passed, seeds, voted) == pytest.approx(expected)
