"""Exact binomial statements against brute force and their defining equations."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.ladder.acceptance import successes_needed, within
from pathb_jax.ladder.statistics import (
    clopper_pearson,
    seed_shift_false_alarm,
    seed_shift_flip,
    success_floor_flip,
)


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


@pytest.mark.parametrize("k", [0, 7, 12, 13, 17, 32])
def test_success_floor_flip(k: int) -> None:
    needed = successes_needed(0.4, 32)
    masses = pmf(32, k / 32)
    expected = sum(masses[:needed]) if k >= needed else sum(masses[needed:])
    assert success_floor_flip(k, 32, 0.4) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10), st.data())
def test_seed_shift_against_brute_force(n1: int, n2: int, tenths: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, n1)), n1
    second = data.draw(st.integers(0, n2)), n2
    allowed = tenths / 10
    passes = shift_passes(n1, first[0] / n1, n2, second[0] / n2, allowed)
    expected = 1 - passes if within(first, second, allowed) else passes
    assert seed_shift_flip(first, second, allowed) == pytest.approx(expected, abs=1e-9)
    pooled = (first[0] + second[0]) / (n1 + n2)
    alarm = 1 - shift_passes(n1, pooled, n2, pooled, allowed)
    assert seed_shift_false_alarm(first, second, allowed) == pytest.approx(alarm, abs=1e-9)


def test_certain_outcomes_do_not_flip() -> None:
    assert success_floor_flip(32, 32, 0.4) == success_floor_flip(0, 32, 0.4) == 0
    assert seed_shift_flip((32, 32), (32, 32), 0.1) == pytest.approx(0)
    assert seed_shift_false_alarm((0, 32), (0, 32), 0.1) == pytest.approx(0)


def test_many_seeds() -> None:
    assert 0 < seed_shift_flip((2000, 4096), (2300, 4096), 0.1) < 1
