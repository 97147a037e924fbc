"""What the roofline multiplies, and what it makes of rates."""

import jax
import numpy as np
import pytest
import rates
from rates import PRODUCTS, _numpy_product, _operands, _xla_product, bandwidths, rate
from roofline import limits
from work import UpdateWork


@pytest.mark.parametrize("axes", PRODUCTS.values())
def test_both_multiply_the_same(axes):
    left, right = _operands(6, 3, axes)
    first = left.T if axes[0] == 0 else left
    second = right.T if axes[1] == 1 else right
    with jax.default_matmul_precision("float32"):
        changed, product = _xla_product(left, right, axes)(1)
    np.testing.assert_allclose(product, first @ second, rtol=1e-5, atol=1e-6)
    assert changed[0, 0] == product[0, 0]
    np.testing.assert_array_equal(_numpy_product(left, right, axes)(1), first @ second)


def test_a_rate_counts_all_repetitions(monkeypatch):
    """By a clock on which a call takes 10 ms, and a repetition one more."""
    counts = []

    def timed(work):
        work()
        return 1e-2 + 1e-3 * counts[-1]

    monkeypatch.setattr(rates, "timed", timed)
    measure = rate(counts.append, 5e9, 0.4)
    assert counts == [1, 1, 2, 4, 8, 16, 32, 64, 64]  # compiled; doubled until 50 ms; once more
    assert measure() == pytest.approx(346 * 5 / (1e-2 + 0.346))
    assert counts[-1] == 346  # 64 take 74 ms, so these take about the 400 that were asked for


def test_bandwidths_are_positive():
    assert all(measure() > 0 for measure in bandwidths(64, 1e-4).values())


def test_the_limit_by_hand():
    work = UpdateWork(
        rollout_flops=10**9, learning_flops=3 * 10**9, parameters=10**6, gradient_steps=10
    )
    assert work.adam_bytes == 7 * 4 * 10**7
    figures = limits(work, matmul=[2.0, 4.0], memory=[0.28, 0.56], update=[6.0, 3.0])
    assert figures["limit: products"].values == [2.0, 1.0]
    assert figures["limit: Adam"].values == pytest.approx([1.0, 0.5])
    assert figures["limit of an update"].values == pytest.approx([3.0, 1.5])
    assert figures["fraction reached"].values == pytest.approx([0.5, 0.5])
