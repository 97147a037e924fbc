import math

import pytest
from compare import ratio
from harness import paired_ratio


def test_a_constant_factor_is_found_exactly_whatever_the_rounds_differ_by():
    found = paired_ratio([2.0, 20.0, 6.0], [1.0, 10.0, 3.0])
    assert found == pytest.approx((2.0, 2.0, 2.0))


def test_the_paired_interval_is_students():
    # Logarithms of the ratios: 0 and log 4; their mean is log 2, their standard error log 2.
    found = paired_ratio([3.0, 4.0], [3.0, 1.0])
    half = 12.7062047 * math.log(2.0)  # t of one degree of freedom at 0.975
    assert found == pytest.approx((2.0, 2.0 * math.exp(-half), 2.0 * math.exp(half)), rel=1e-6)


def test_rounds_are_paired_in_their_order():
    ours, theirs = [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]
    assert paired_ratio(ours, theirs) == pytest.approx((1.0, 1.0, 1.0))
    found = paired_ratio(ours, theirs[::-1])
    assert found.value == pytest.approx(1.0)
    assert found.low < 0.5 < 2.0 < found.high


def test_swapping_the_subjects_inverts_ratio_and_interval():
    ours, theirs = [5.0, 7.0, 6.0], [2.0, 3.0, 4.0]
    there, back = paired_ratio(ours, theirs), paired_ratio(theirs, ours)
    assert back == pytest.approx((1 / there.value, 1 / there.high, 1 / there.low))


def test_one_round_says_nothing_about_noise():
    assert paired_ratio([6.0], [3.0]) == pytest.approx((2.0, 0.0, math.inf))


def test_rounds_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([1.0, 2.0], [1.0])


def test_the_unpaired_ratio_is_after_over_before():
    assert ratio([1.0, 1.0], [3.0, 3.0]) == pytest.approx((3.0, 3.0, 3.0))
    assert ratio([4.0], [1.0]) == pytest.approx((0.25, 0.0, math.inf))


def test_the_unpaired_interval_is_welchs():
    # Logarithms log 2 apart on either side: variances (log 2)^2 / 2, 2 degrees of freedom.
    root = math.sqrt(2.0)
    found = ratio([1 / root, root], [3 / root, 3 * root])
    half = 4.30265273 * math.log(2.0) / root  # t of two degrees of freedom
    assert found == pytest.approx((3.0, 3.0 * math.exp(-half), 3.0 * math.exp(half)), rel=1e-6)
