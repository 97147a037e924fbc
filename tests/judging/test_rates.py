"""Published values, exact sums over all outcomes, and Monte-Carlo coverage."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pathb_jax.judging import rates
from pathb_jax.ladder.equivalence import equivalence, newcombe

SEEDS = 32


def test_newcombe_agrees_with_published_intervals():
    # Newcombe 1998, Table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/20 and 10/10 - 0/10.
    published = {
        ((48, 80), (56, 70)): (0.0524, 0.3339),
        ((3, 10), (9, 10)): (0.1705, 0.8090),
        ((0, 20), (10, 10)): (0.6791, 1.0000),
        ((0, 10), (10, 10)): (0.6075, 1.0000),
    }
    for (first, second), interval in published.items():
        assert newcombe(first, second, 0.95) == pytest.approx(interval, abs=5e-5)


def test_stage_3_fails_equal_policies_as_often_as_is_known():
    assert rates.shift_error(32, 0.45, 0.45, 0.10) == pytest.approx(0.38, abs=5e-3)
    assert rates.shift_error(256, 0.45, 0.45, 0.10) == pytest.approx(0.023, abs=5e-4)


def test_an_error_is_the_sum_over_all_outcomes():
    probability = stats.binom.pmf(np.arange(9), 8, 0.3)
    other = stats.binom.pmf(np.arange(9), 8, 0.6)
    near = sum(
        probability[k] * other[m]
        for k, m in itertools.product(range(9), repeat=2)
        if abs(m - k) <= 2
    )
    assert rates.shift_error(8, 0.3, 0.6, 0.25) == pytest.approx(near, abs=1e-12)
    assert rates.shift_error(8, 0.3, 0.3, 0.25) == pytest.approx(
        sum(
            probability[k] * probability[m]
            for k, m in itertools.product(range(9), repeat=2)
            if abs(m - k) > 2
        ),
        abs=1e-12,
    )


def test_none_of_32_does_not_mean_never():
    chance = rates.floor_flip((0, SEEDS), 0.40)
    assert 0 < chance < 1e-3
    assert rates.floor_flip((13, SEEDS), 0.40) == pytest.approx(0.5, abs=0.1)
    assert rates.floor_flip((12, SEEDS), 0.40) > 0.3
    assert rates.floor_flip((SEEDS, SEEDS), 0.40) < 1e-6


@pytest.mark.parametrize("count", [(3, 16), (8, 16), (16, 16)])
def test_predictive_odds_by_simulation(count):
    generator = np.random.default_rng(1)
    draws = 200_000
    p = generator.beta(count[0] + 0.5, count[1] - count[0] + 0.5, draws)
    fresh = generator.binomial(count[1], p)
    passes = fresh / count[1] >= 0.4
    opposite = 1 - passes.mean() if count[0] / count[1] >= 0.4 else passes.mean()
    assert rates.floor_flip(count, 0.4) == pytest.approx(opposite, abs=5e-3)

    second = (7, 16)
    q = generator.beta(second[0] + 0.5, second[1] - second[0] + 0.5, draws)
    apart = np.abs(generator.binomial(16, q) - fresh) > 1
    says_apart = abs(second[0] - count[0]) > 1
    opposite = 1 - apart.mean() if says_apart else apart.mean()
    assert rates.shift_flip(count, second, 0.1) == pytest.approx(opposite, abs=5e-3)


def test_error_curves():
    curve = rates.floor_errors(SEEDS, 0.40)
    below = curve.probability < 0.40
    assert (np.diff(curve.wrong[below]) >= 0).all()  # nearest the threshold it is worst
    assert (np.diff(curve.wrong[~below]) <= 0).all()
    at_half = curve.wrong[50]
    assert at_half == pytest.approx(stats.binom.cdf(12, SEEDS, 0.5))
    shifts = rates.shift_false_fails(SEEDS, 0.10, points=11)
    assert shifts.wrong[[0, -1]].tolist() == [0, 0]
    assert shifts.wrong.argmax() == 5


def test_seeds_needed():
    needed = rates.seeds_needed(0.45, 0.10)
    assert needed == 256
    assert rates.shift_error(128, 0.45, 0.45, 0.10) > 0.05
    assert rates.seeds_needed(0.45, 0.001, most=64) is None


def test_equivalence_needs_more_seeds_than_32():
    assert not equivalence((16, 32), (16, 32), 0.10).equivalent
    found = equivalence((512, 1024), (520, 1024), 0.10)
    assert found.equivalent
    assert found.difference == pytest.approx(8 / 1024)
    assert not equivalence((512, 1024), (620, 1024), 0.10).equivalent


@pytest.mark.parametrize(("first", "second"), [((30, 64), (33, 64)), ((10, 64), (30, 64))])
def test_equivalence_odds_by_simulation(first, second):
    """Fresh sets at rates drawn from both posteriors; an equal policy at the pooled rate."""
    generator, draws, margin, alpha = np.random.default_rng(4), 4000, 0.25, 0.05
    judged = equivalence(first, second, margin, alpha).equivalent

    def fails(one, two):
        pairs = zip(one, two, strict=True)
        found = [equivalence((int(k), 64), (int(m), 64), margin, alpha) for k, m in pairs]
        return 1 - np.mean([each.equivalent for each in found])

    drawn = [generator.beta(k + 0.5, n - k + 0.5, draws) for k, n in (first, second)]
    failed = fails(*(generator.binomial(64, rate) for rate in drawn))
    simulated = failed if judged else 1 - failed
    assert rates.equivalence_flip(first, second, margin, alpha) == pytest.approx(
        simulated, abs=0.03
    )
    pooled = (first[0] + second[0]) / 128
    alike = fails(*(generator.binomial(64, pooled, draws) for _ in range(2)))
    assert rates.equivalence_error(64, pooled, margin, alpha) == pytest.approx(alike, abs=0.03)


@pytest.mark.parametrize("apart", [0.10, 0.15])
def test_equivalence_seldom_accepts_what_differs_by_the_margin(apart):
    """Level of the test by simulation: at most 5 %, up to three standard errors."""
    generator = np.random.default_rng(2)
    draws, seeds = 2000, 256
    first = generator.binomial(seeds, 0.45, draws)
    second = generator.binomial(seeds, 0.45 + apart, draws)
    accepted = np.mean(
        [
            equivalence((int(k), seeds), (int(m), seeds), 0.10).equivalent
            for k, m in zip(first, second, strict=True)
        ]
    )
    assert accepted <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_newcombe_covers():
    generator = np.random.default_rng(3)
    draws = 2000
    first, second = generator.binomial(32, 0.3, draws), generator.binomial(32, 0.55, draws)
    covered = 0
    for k, m in zip(first, second, strict=True):
        low, high = newcombe((int(k), 32), (int(m), 32), 0.95)
        covered += low <= 0.25 <= high
    assert covered / draws >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws) - 0.005


def test_paired_comparison():
    first = [True] * 9 + [False] * 11
    second = [False] * 8 + [True] * 3 + [False] * 9
    found = rates.paired(first, second)
    assert (found.only_first, found.only_second) == (8, 2)
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(2, 10, 0.5))
    assert rates.paired(first, first).p_value == 1.0
    with pytest.raises(ValueError, match="20 seeds against 2"):
        rates.paired(first, [True, False])
