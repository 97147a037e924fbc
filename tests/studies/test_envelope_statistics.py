import math

import numpy as np
import pytest
import scipy.stats

from pathb_jax.studies.envelope_published import PUBLISHED, beside
from pathb_jax.studies.envelope_statistics import (
    Mean,
    Samples,
    breach,
    first_crossing,
    mean_interval,
    shape,
    side,
    summarise,
)


def samples(preferences, alignment=0.95):
    """Samples from {lambda: basin preferences of its training seeds}."""
    return [
        Samples(
            mixed_lambda=mixed_lambda,
            diverged=0,
            success=np.full(len(values), 0.5),
            alignment=np.full(len(values), alignment),
            steps=np.full(len(values), 100.0),
            basin_distance=np.full(len(values), 3.0),
            preference=np.array(values),
        )
        for mixed_lambda, values in preferences.items()
    ]


def around(mean, spread=0.01):
    """Four seeds of this mean."""
    return [mean - spread, mean - spread / 2, mean + spread / 2, mean + spread]


def decide(*preferences, spread=0.01):
    count = len(preferences)
    values = {index / count: around(mean, spread) for index, mean in enumerate(preferences)}
    return shape(summarise(samples(values)))


# Means


def test_the_interval_is_students():
    # n = 4, s = 2, t(0.975, 3) = 3.182446
    found = mean_interval(np.array([1.0, 3.0, 3.0, 5.0]) * np.sqrt(1.5))
    assert found.mean == pytest.approx(3 * np.sqrt(1.5))
    assert found.interval == pytest.approx((found.mean - 3.182446, found.mean + 3.182446), abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_is_that_of_a_t_test(seed):
    """To 1e-12; where all figures are alike, which the t-test refuses, it has no width."""
    random = np.random.default_rng(seed)
    values = random.normal(random.normal(), 10 ** random.uniform(-2, 2), random.integers(2, 9))
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values).interval == pytest.approx(tuple(expected), rel=1e-12, abs=1e-12)
    assert mean_interval(np.full(3, values[0])).interval == pytest.approx((values[0], values[0]))


def test_the_interval_ends_where_figures_do():
    assert mean_interval(np.array([0.1, 0.99]), 0.0, 1.0).interval == (0.0, 1.0)


def test_a_single_seed_has_no_interval():
    assert mean_interval(np.array([0.5])) == (0.5, None)


def test_a_lambda_whose_runs_all_diverged_has_no_means():
    lost = samples({0.5: []})[0]._replace(diverged=2)
    (point,) = summarise([*samples({0.3: [0.9, 0.9]}), lost])
    assert (point.mixed_lambda, point.runs, point.diverged) == (0.3, 2, 0)


# The breach


@pytest.mark.parametrize(
    ("excess", "expected"),
    [
        ([-1.0, -1.0, 1.0, 2.0], 0.7),  # half of the way from 0.5 to 0.9
        ([-1.0, -3.0, 1.0, -1.0], 0.8),  # three quarters of it; a return changes nothing
        ([-1.0, -1.0, 0.0, 1.0], 0.9),
        ([0.5, -1.0, 1.0, 1.0], -math.inf),  # the lowest lambda exceeds it already
        ([-1.0, -1.0, -1.0, -0.1], math.inf),
    ],
)
def test_where_a_limit_is_crossed(excess, expected):
    at = first_crossing(np.array([0.0, 0.5, 0.9, 1.0]), np.array(excess))
    assert float(at) == pytest.approx(expected)


def test_crossings_of_many_resamples_at_once():
    excess = np.array([[-1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])
    found = first_crossing(np.array([0.2, 0.4]), excess)
    np.testing.assert_allclose(found, [0.3, np.inf, -np.inf])


def test_the_breach_is_towards_the_basin_and_nowhere_else():
    found = breach(samples({0.0: around(0.0), 0.5: around(2.0), 1.0: around(4.0)}))
    assert found.at == pytest.approx(0.25)
    low, high = found.interval
    assert low < found.at < high
    assert high - low < 0.1
    assert (found.below, found.nowhere) == (0.0, 0.0)
    alike = samples({0.0: around(-1.0), 1.0: around(-1.0)}, alignment=0.1)
    assert breach(alike) == (math.inf, (math.inf, math.inf), 0.0, 1.0)


def test_a_preference_of_one_counts():
    assert breach(samples({0.0: [0.0], 1.0: [1.0]})).at == 1.0


def test_resamples_that_cross_nowhere_are_counted_as_beyond():
    # Both seeds of lambda 1 must be the bad one for its mean to be 1 or more: one in four.
    found = breach(samples({0.0: [0.0, 0.0], 1.0: [0.0, 1.6]}))
    assert found.at == math.inf
    assert found.nowhere == pytest.approx(0.75, abs=0.02)
    assert found.interval == (pytest.approx(1.0 / 1.6), math.inf)


def test_resamples_beyond_the_limit_at_the_lowest_are_counted_as_below():
    found = breach(samples({0.5: [0.0, 1.6], 1.0: [4.0, 4.0]}))
    assert found.below == pytest.approx(0.25, abs=0.02)
    assert found.interval[0] == -math.inf
    assert 0.5 < found.interval[1] < 1.0


def test_the_bootstrap_repeats():
    values = samples({0.0: around(0.0), 1.0: around(1.0, 0.5)})
    assert breach(values) == breach(values)


def test_no_interval_with_a_single_seed_at_some_lambda():
    found = breach(samples({0.0: around(0.0), 1.0: [2.0]}))
    assert found.at == pytest.approx(0.5)
    assert found.interval is None


def test_nothing_is_crossed_where_there_is_nothing():
    assert breach([]) == (math.inf, None, 0.0, 0.0)


# Lured or not


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (Mean(1.0, (1.0, 1.0)), True),
        (Mean(2.0, (1.0, 3.0)), True),
        (Mean(0.5, (0.1, 0.9)), False),
        (Mean(0.5, (0.0, 1.0)), None),
        (Mean(5.0, (0.9, 9.1)), None),
        (Mean(5.0, None), None),
    ],
)
def test_a_side_is_told_where_the_interval_tells_it(mean, expected):
    assert side(mean, 1.0) is expected


# Cliff or trough


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        ((-1.0, 0.0, 0.5), ("no breach", None)),
        ((0.0, 0.5, 5.5), ("single cliff", (1 / 3, 2 / 3))),
        ((0.0, 2.0, 4.0, 5.0), ("single cliff", (0.0, 0.25))),
        ((0.0, 0.3, 5.51, 5.16, 5.56), ("single cliff", (0.2, 0.4))),  # falls by too little
        ((0.0, 5.0, 0.5, 0.2), ("trough with full recovery", (0.25, 0.75))),
        ((0.0, 3.0, 5.0, 1.5, 6.0), ("trough with partial recovery", (0.4, 0.6))),
        ((0.0, 3.0, 0.5, 6.0, 1.5), ("trough with full recovery", (0.2, 0.4))),
    ],
)
def test_shapes(preferences, expected):
    assert decide(*preferences)[:2] == expected


@pytest.mark.parametrize(
    ("preferences", "spread", "why"),
    [
        ((5.0, 5.0), 0.01, "policies go for the basin at lambda 0 already"),
        ((5.0, 0.0), 0.01, "policies go for the basin at lambda 0 already"),
        ((0.0, 0.9, 5.0), 0.2, "it is open whether lambda 0.333333 is lured"),
        ((-1.0, 5.0, 2.5), 0.9, "whether lambda 0.666667 recovers from 0.333333 is within"),
    ],
)
def test_what_the_intervals_cannot_tell_is_not_told(preferences, spread, why):
    found = decide(*preferences, spread=spread)
    assert found.verdict == "cannot be told"
    assert why in found.why
    assert found.at is None


def test_a_lowest_lambda_that_is_lured_is_named():
    found = shape(summarise(samples({0.5: around(5.0), 0.9: around(5.5)})))
    assert found == ("cannot be told", None, "lambda 0.5, the lowest, is lured already")


def test_a_single_seed_tells_nothing():
    for last in (0.0, 5.0):
        points = summarise(samples({0.0: around(0.0), 1.0: [last]}))
        assert shape(points).why == "it is open whether lambda 1 is lured"


def test_a_lambda_whose_runs_all_diverged_is_open():
    points = summarise(samples({0.0: around(0.0), 1.0: around(0.1)}))
    assert shape(points).verdict == "no breach"
    assert shape(points, [0.5]).why == "it is open whether lambda 0.5 is lured"
    assert shape([], [0.3, 0.9]).verdict == "cannot be told"


def test_a_trough_is_told_whatever_else_is_open():
    points = summarise(samples({0.0: around(0.0), 0.5: around(5.0), 0.9: around(0.0), 1.0: [3.0]}))
    assert shape(points, [0.7]).verdict == "trough with full recovery"


# Published figures


def test_published_runs_stand_beside_the_same_lambda_only():
    points = summarise(samples({0.97: around(0.0), 0.4: around(0.9)}, alignment=0.5))
    rows = list(beside(points))
    assert {row.published.mixed_lambda for row in rows} == {0.97}
    medium = next(row for row in rows if row.published.tier == "Medium")
    assert (medium.same_alignment, medium.same_preference) == (True, False)
    large = next(row for row in rows if row.published.tier == "Large")
    assert (large.same_alignment, large.same_preference) == (True, None)


def test_a_side_that_cannot_be_told_is_held_against_nothing():
    (medium, _) = beside(summarise(samples({0.97: [0.0, 8.0]})))
    assert (medium.same_alignment, medium.same_preference) == (False, None)


def test_published_rates_are_rates():
    for row in PUBLISHED:
        assert row.success_rate is None or 0 <= row.success_rate <= 1
        assert row.alignment is None or 0 <= row.alignment <= 1
