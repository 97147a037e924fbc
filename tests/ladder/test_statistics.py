"""Exact binomial statements against brute force and their defining equations."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from pathb_jax.ladder.exact import within
from pathb_jax.ladder.statistics import clopper_pearson, rates_within


def pmf(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def shift_passes(n1: int, p1: float, n2: int, p2: float, allowed: float) -> float:
    pairs = itertools.product(enumerate(pmf(n1, p1)), enumerate(pmf(n2, p2)))
    return math.fsum(a * b for (i, a), (j, b) in pairs if within((i, n1), (j, n2), allowed))


@pytest.mark.parametrize(("k", "n"), [(0, 32), (7, 32), (17, 32), (32, 32), (36, 64), (1, 1)])
def test_interval_is_defined_by_its_tails(k: int, n: int) -> None:
    low, high = clopper_pearson(k, n)
    assert low == 0 if k == 0 else sum(pmf(n, low)[k:]) == pytest.approx(0.025)
    assert high == 1 if k == n else sum(pmf(n, high)[: k + 1]) == pytest.approx(0.025)


def test_interval_of_the_programme() -> None:
    assert clopper_pearson(7, 32) == pytest.approx((0.0928, 0.3997), abs=1e-4)


@pytest.mark.parametrize(("k", "n"), [(-1, 32), (33, 32), (0, 0)])
def test_interval_of_what_is_no_count(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        clopper_pearson(k, n)


# SciPy overflows at probabilities near the least float; rates are fractions of counts.
probabilities = st.floats(0, 1).map(lambda p: round(p, 9))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10), probabilities, probabilities)
def test_rates_within_against_brute_force(
    n1: int, n2: int, tenths: int, p1: float, p2: float
) -> None:
    allowed = tenths / 10
    passing = rates_within(n1, binom(n1, p1), n2, binom(n2, p2), allowed)
    assert passing == pytest.approx(shift_passes(n1, p1, n2, p2, allowed), abs=1e-9)


def test_rates_of_many_seeds() -> None:
    assert 0 < rates_within(4096, binom(4096, 0.5), 4096, binom(4096, 0.55), 0.1) < 1
