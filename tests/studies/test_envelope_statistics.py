import math

import numpy as np
import pytest

from pathb_jax.studies.envelope_published import PUBLISHED, beside
from pathb_jax.studies.envelope_statistics import (
    Samples,
    first_crossing,
    mean_interval,
    shape,
    summarise,
    thresholds,
)


def samples(alignments, preferences=None):
    """Samples from {lambda: alignments of its training seeds}."""
    return [
        Samples(
            mixed_lambda=mixed_lambda,
            diverged=0,
            success=np.clip(values, 0, 1),
            alignment=np.array(values),
            steps=np.full(len(values), 100.0),
            basin_distance=np.full(len(values), 3.0),
            preference=np.array((preferences or {}).get(mixed_lambda, [0.0] * len(values))),
        )
        for mixed_lambda, values in alignments.items()
    ]


def around(mean, spread=0.01):
    """Four seeds of this mean."""
    return [mean - spread, mean - spread / 2, mean + spread / 2, mean + spread]


def decide(*means, spread=0.01):
    values = {index / len(means): around(mean, spread) for index, mean in enumerate(means)}
    return shape(summarise(samples(values)))


# Means


def test_the_interval_is_students():
    # n = 4, s = 2, t(0.975, 3) = 3.182446
    found = mean_interval(np.array([1.0, 3.0, 3.0, 5.0]) * np.sqrt(1.5))
    assert found.mean == pytest.approx(3 * np.sqrt(1.5))
    assert found.interval == pytest.approx((found.mean - 3.182446, found.mean + 3.182446), abs=1e-5)


def test_the_interval_ends_where_figures_do():
    assert mean_interval(np.array([0.1, 0.99]), 0.0, 1.0).interval == (0.0, 1.0)


def test_a_single_seed_has_no_interval():
    assert mean_interval(np.array([0.5])) == (0.5, None)


def test_a_lambda_whose_runs_all_diverged_has_no_means():
    lost = samples({0.5: []})[0]._replace(diverged=2)
    (point,) = summarise([*samples({0.3: [0.9, 0.9]}), lost])
    assert (point.mixed_lambda, point.runs, point.diverged) == (0.3, 2, 0)


# Thresholds


@pytest.mark.parametrize(
    ("excess", "expected"),
    [
        ([-1.0, -1.0, 1.0, 2.0], 0.7),  # half of the way from 0.5 to 0.9
        ([-1.0, -3.0, 1.0, -1.0], 0.8),  # three quarters of it; a return changes nothing
        ([-1.0, -1.0, 0.0, 1.0], 0.9),
        ([0.5, -1.0, 1.0, 1.0], 0.0),  # the lowest lambda exceeds it already
        ([-1.0, -1.0, -1.0, -0.1], math.inf),
    ],
)
def test_where_a_limit_is_crossed(excess, expected):
    excess = np.array(excess)
    at = first_crossing(np.array([0.0, 0.5, 0.9, 1.0]), excess, excess >= 0)
    assert float(at) == pytest.approx(expected)


def test_crossings_of_many_resamples_at_once():
    excess = np.array([[-1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])
    found = first_crossing(np.array([0.2, 0.4]), excess, excess > 0)
    np.testing.assert_allclose(found, [0.3, np.inf, 0.2])


def test_thresholds_of_alignment_preference_and_either():
    found = thresholds(
        samples(
            {0.0: around(1.0), 0.5: around(0.95), 1.0: around(0.85)},
            {0.0: around(0.0), 0.5: around(2.0), 1.0: around(4.0)},
        )
    )
    assert [one.at for one in found] == pytest.approx([0.75, 0.25, 0.25])
    for one in found:
        low, high = one.interval
        assert low < one.at < high
        assert high - low < 0.1
        assert one.uncrossed == 0.0


def test_an_alignment_of_exactly_the_floor_is_not_below_and_a_preference_of_one_counts():
    at_floor, at_limit, _ = thresholds(samples({0.0: [0.9], 1.0: [0.9]}, {1.0: [1.0]}))
    assert at_floor.at == math.inf
    assert at_limit.at == 1.0


def test_resamples_that_cross_nowhere_are_counted_as_beyond():
    # Both seeds of lambda 1 must be the bad one for its mean to be below 0.90: one in four.
    found = thresholds(samples({0.0: [1.0, 1.0], 1.0: [0.95, 0.86]}))[0]
    assert found.at == math.inf
    assert found.uncrossed == pytest.approx(0.75, abs=0.02)
    assert found.interval == (pytest.approx(0.1 / 0.14), math.inf)


def test_both_measures_are_resampled_together():
    # Seed by seed either alignment or preference is breached, at the same lambda.
    found = thresholds(samples({0.0: [1.0, 1.0], 1.0: [0.5, 1.0]}, {1.0: [0.0, 9.0]}))
    assert found[0].uncrossed == pytest.approx(0.25, abs=0.02)
    assert found[1].uncrossed == pytest.approx(0.25, abs=0.02)
    assert found[2].uncrossed == 0.0


def test_the_bootstrap_repeats():
    values = samples({0.0: around(1.0), 1.0: around(0.8, 0.1)})
    assert thresholds(values) == thresholds(values)


def test_no_interval_with_a_single_seed_at_some_lambda():
    found = thresholds(samples({0.0: around(1.0), 1.0: [0.8]}))[0]
    assert found.at == pytest.approx(0.5)
    assert (found.interval, found.uncrossed) == (None, None)


def test_nothing_is_crossed_where_there_is_nothing():
    assert [one.at for one in thresholds([])] == [math.inf] * 3


# Cliff or trough


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.99, 0.95, 0.92), ("no breach", None, None)),
        ((0.99, 0.95, 0.2), ("single cliff", None, None)),
        ((0.99, 0.6, 0.3, 0.1), ("single cliff", None, None)),
        ((0.99, 0.97, 0.276, 0.303, 0.267), ("single cliff", None, None)),  # rises by too little
        ((0.99, 0.5, 0.95, 0.98), ("trough with full recovery", 0.25, 0.75)),
        ((0.99, 0.6, 0.5, 0.88, 0.1), ("trough with partial recovery", 0.4, 0.6)),
        ((0.2, 0.95), ("trough with full recovery", 0.0, 0.5)),
    ],
)
def test_shapes(means, expected):
    assert decide(*means) == expected


def test_a_full_recovery_is_preferred_to_a_longer_but_partial_one():
    assert decide(0.99, 0.6, 0.91, 0.1, 0.85).verdict == "trough with full recovery"


def test_a_return_within_the_intervals_decides_nothing():
    assert decide(0.99, 0.6, 0.85, spread=0.3).verdict == "undecided"


def test_a_single_seed_decides_only_what_needs_no_comparison():
    one = {0.0: [0.99], 0.5: [0.5], 1.0: [0.2]}
    assert shape(summarise(samples(one))).verdict == "undecided"
    last = {0.0: [0.99], 0.5: [0.95], 1.0: [0.2]}
    assert shape(summarise(samples(last))).verdict == "single cliff"
    assert shape(summarise(samples({0.0: [0.99]}))).verdict == "no breach"


# Published figures


def test_published_runs_stand_beside_the_same_lambda_only():
    points = summarise(samples({0.97: around(0.5), 0.4: around(0.9)}, {0.97: around(0.0)}))
    rows = list(beside(points))
    assert {row.published.mixed_lambda for row in rows} == {0.97}
    medium = next(row for row in rows if row.published.tier == "Medium")
    assert (medium.same_alignment, medium.same_preference) == (True, False)
    large = next(row for row in rows if row.published.tier == "Large")
    assert (large.same_alignment, large.same_preference) == (True, None)


def test_published_rates_are_rates():
    for row in PUBLISHED:
        assert row.success_rate is None or 0 <= row.success_rate <= 1
        assert row.alignment is None or 0 <= row.alignment <= 1
