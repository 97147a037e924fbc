"""Exponents and memory, where the answer is known."""

import numpy as np
import pytest
from scaling import CLEAR_REFS, Flags, exponent, peak_memory, reset_peak_memory
from scipy.stats import linregress

from pathb_jax.errors import InputError


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_that_power(power):
    sizes = [2.0, 8.0, 64.0]
    fitted = exponent(sizes, [[3.0 * size**power] * 2 for size in sizes])
    assert fitted.value == pytest.approx(power, abs=1e-9)
    assert fitted.error == pytest.approx(0.0, abs=1e-6)


def test_scatter_gives_a_standard_error():
    sizes = [1.0, 10.0, 100.0, 1000.0]
    costs = [[1.3], [9.0], [115.0], [900.0]]
    fitted = exponent(sizes, costs)
    textbook = linregress(np.log(sizes), np.log([value for (value,) in costs]))
    assert fitted.value == pytest.approx(textbook.slope)
    assert fitted.error == pytest.approx(textbook.stderr)


def test_two_values_have_no_standard_error():
    assert exponent([1.0, 2.0], [[3.0], [6.0]]) == (pytest.approx(1.0), None)


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="only Linux forgets a peak")
def test_a_peak_is_seen_and_forgotten():
    reset_peak_memory()
    before = peak_memory()
    held = bytearray(64 * 2**20)
    assert peak_memory() > before + 60
    del held
    reset_peak_memory()
    assert peak_memory() < before + 30


@pytest.mark.parametrize(
    "flags", [Flags(parts=()), Flags(tiers=("Small",)), Flags(seconds=0.0), Flags(rounds=0)]
)
def test_nothing_to_fit_is_refused(flags):
    with pytest.raises(InputError):
        flags.check()
