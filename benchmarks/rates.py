"""How fast this machine multiplies matrices and moves memory, through XLA and through NumPy.

A measurement repeats one piece of work for a while inside one call, so that the cost of calling
counts for nothing, and returns a rate. Each repetition depends on the one before: nothing can be
computed once for all of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import timed
from work import ADAM_ARRAYS, FLOAT_BYTES

GIGA = 1e9
_SHORT = 1024
PRODUCTS = {"forward": (1, 0), "input gradient": (1, 1), "weight gradient": (0, 0)}
"""The products of a layer, by the axes they contract: x w, y w^T and x^T y."""

Repeat = Callable[[int], Any]
"""Does a number of repetitions."""


def rate(repeat: Repeat, amount: float, seconds: float) -> Callable[[], float]:
    """Return a measurement: giga-units per second.

    Args:
        repeat: the work.
        amount: units of one repetition.
        seconds: how long a measurement takes, roughly.
    """

    def took(count: int) -> float:
        return timed(lambda: repeat(count))

    took(1)  # compiles
    count = 1
    while took(count) < seconds / 8:
        count *= 2
    count = max(1, round(count * seconds / took(count)))
    return lambda: count * amount / took(count) / GIGA


def matmul_rates(rows: int, width: int, seconds: float) -> dict[str, Callable[[], float]]:
    """Measurements of GFLOP/s of a hidden layer's three products, float32."""
    flops = 2.0 * rows * width * width
    measurements = {}
    for product, axes in PRODUCTS.items():
        left, right = _operands(rows, width, axes)
        measurements[f"{product}, XLA"] = rate(_xla_product(left, right, axes), flops, seconds)
        measurements[f"{product}, NumPy"] = rate(_numpy_product(left, right, axes), flops, seconds)
    return measurements


def bandwidths(length: int, seconds: float) -> dict[str, Callable[[], float]]:
    """Measurements of GB/s, arrays of `length` float32.

    As in STREAM every array read or written counts once, and Adam's with what it cannot avoid. The
    scale is in place; the add moves what the triad moves.
    """
    array = FLOAT_BYTES * length
    return {
        "scale, XLA": rate(_xla_scale(length), 2 * array, seconds),
        "copy, NumPy": rate(_numpy_copy(length), 2 * array, seconds),
        "triad, XLA": rate(_xla_triad(length), 9 * array, seconds),
        "add, NumPy": rate(_numpy_add(length), 3 * array, seconds),
        "Adam, XLA": rate(_adam(length), ADAM_ARRAYS * array, seconds),
    }


def kernel_seconds(seconds: float) -> Callable[[], float]:
    """Measure what one kernel of a compiled loop costs when it has next to nothing to do."""
    # An iteration runs three triads, advances the counter and compares it.
    measure = rate(_xla_triad(_SHORT), 5.0, seconds)
    return lambda: 1.0 / (GIGA * measure())


def _operands(rows: int, width: int, axes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Random matrices whose product has entries around 1, so that none ever overflows."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(rows, width)).astype(np.float32)
    other = (rows if axes == (0, 0) else width, width)
    return left, (rng.normal(size=other) / left.shape[axes[0]] ** 0.5).astype(np.float32)


def _xla_product(left: np.ndarray, right: np.ndarray, axes: tuple[int, int]) -> Repeat:
    shape = (left.shape[1 - axes[0]], right.shape[1 - axes[1]])

    @jax.jit
    def repeat(left: jax.Array, right: jax.Array, count: Any) -> Any:
        def body(_: Any, carry: Any) -> Any:
            left, _ = carry
            product = jax.lax.dot_general(left, right, (((axes[0],), (axes[1],)), ((), ())))
            # One entry of the next operand depends on this product: no loop-invariant work.
            return left.at[0, 0].set(product[0, 0]), product

        return jax.lax.fori_loop(0, count, body, (left, jnp.zeros(shape)))

    operands = jnp.asarray(left), jnp.asarray(right)
    return lambda count: repeat(*operands, np.int32(count))


def _numpy_product(left: np.ndarray, right: np.ndarray, axes: tuple[int, int]) -> Repeat:
    first = left if axes[0] == 1 else left.T
    second = right if axes[1] == 0 else right.T
    out = np.empty((first.shape[0], second.shape[1]), np.float32)

    def repeat(count: int) -> np.ndarray:
        for _ in range(count):
            np.matmul(first, second, out=out)
        return out

    return repeat


def _xla_loop(step: Callable[[Any], Any], start: Any) -> Repeat:
    """Go on with what the last call left, in its memory: fresh pages would cost their own time."""
    carry = start

    @functools.partial(jax.jit, donate_argnums=0)
    def steps(carry: Any, count: Any) -> Any:
        return jax.lax.fori_loop(0, count, lambda _, carry: step(carry), carry)

    def repeat(count: int) -> Any:
        nonlocal carry
        carry = steps(carry, np.int32(count))
        return carry

    return repeat


def _xla_scale(length: int) -> Repeat:
    return _xla_loop(lambda a: -a, jnp.ones(length))


def _xla_triad(length: int) -> Repeat:
    """Each of three arrays from the two others, in turn: three triads."""

    def step(carry: Any) -> Any:
        a, b, c = carry
        a = b + 0.5 * (c - b)
        b = c + 0.5 * (a - c)
        return a, b, a + 0.5 * (b - a)

    # Averages: nothing grows, nothing vanishes.
    return _xla_loop(step, tuple(jnp.full(length, x) for x in (1.0, 2.0, 3.0)))


def _numpy_copy(length: int) -> Repeat:
    a, b = np.ones(length, np.float32), np.zeros(length, np.float32)

    def repeat(count: int) -> None:
        for _ in range(count):
            np.copyto(b, a)

    return repeat


def _numpy_add(length: int) -> Repeat:
    a, b, c = (np.ones(length, np.float32) for _ in range(3))

    def repeat(count: int) -> None:
        for _ in range(count):
            np.add(a, b, out=c)

    return repeat


def _adam(length: int) -> Repeat:
    adam = optax.adam(1e-4)
    params = jnp.ones(length)

    def step(carry: Any) -> Any:
        params, state, gradient = carry
        # A factor that changes, or what depends on the gradient alone would be computed once.
        factor = jnp.where(state[0].count % 2 == 0, 1.0, -1.0)
        updates, state = adam.update(factor * gradient, state)
        return optax.apply_updates(params, updates), state, gradient

    return _xla_loop(step, (params, adam.init(params), jnp.full(length, 0.01)))
