"""Integer seeds to starts and goals, bit-exact on every machine (NumPy, on the host).

A seed names the same episode everywhere: training banks, evaluation sets and other people's
programs. That is why this module works in unsigned 32-bit integers and float64 and never runs on
the accelerator: float32 trigonometry there changes the last bit of two starts in three.

Source: docs/spec/environment.md, "Start of an episode".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

START_RADII = (2.0, 4.0)
"""Inner and outer radius of the annulus that starts are uniform over."""
GOAL_RADIUS = 3.0
"""Radius of the disk that goals are uniform over."""
MIN_SEPARATION = 1.0
"""An attempt counts only if start and goal are farther apart than this."""
MAX_ATTEMPTS = 1000

_U32 = np.uint32
_GOLDEN_STEP = 0x6D2B79F5
_UNIFORMS_PER_ATTEMPT = 4

# NumPy's vectorised sine and cosine differ between processors in the last bit; libm's do not.
_cos = np.frompyfunc(math.cos, 1, 1)
_sin = np.frompyfunc(math.sin, 1, 1)


class StartStates(NamedTuple):
    """Starts and goals of a bank of seeds: two float64 arrays of shape `[*seeds.shape, 2]`."""

    start: NDArray[np.float64]
    goal: NDArray[np.float64]


def start_states(seeds: Any) -> StartStates:
    """Return the start and goal that each integer seed stands for.

    Args:
        seeds: an int, a (nested) sequence of ints or an integer array of any shape, each in
            `[0, 2**32)`.

    Returns:
        Float64 `start` and `goal` of shape `[*seeds.shape, 2]`, equal bit by bit on every machine.

    Raises:
        ValueError: a seed is negative, not an integer, or does not fit into 32 bits.

    Example:
        >>> start_states(0).start.tolist()
        [-0.7560792068849203, 2.7589486398289504]
    """
    bank = _checked_seeds(seeds)
    streams = stream(bank.ravel().astype(_U32))
    start = np.empty((streams.size, 2))
    goal = np.empty((streams.size, 2))
    pending = np.arange(streams.size)
    for attempt in range(MAX_ATTEMPTS):
        if pending.size == 0:
            break
        start[pending], goal[pending] = _attempt(streams[pending], attempt)
        separation = np.sqrt(((start[pending] - goal[pending]) ** 2).sum(axis=-1))
        pending = pending[separation <= MIN_SEPARATION]
    return StartStates(start.reshape(*bank.shape, 2), goal.reshape(*bank.shape, 2))


def stream(seeds: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the 32-bit generator state of each seed: `(seed * 1000003) xor fnv1a32(name)`."""
    return seeds * _U32(1000003) ^ _U32(_fnv1a32(b"initial-conditions"))


def uniforms(streams: NDArray[np.uint32], index: int) -> NDArray[np.float64]:
    """Return the `index`-th mulberry32 output (from 1) of each stream, in `[0, 1)`.

    Mulberry32 is counter-based: no earlier output is needed.
    """
    z = streams + _U32(index * _GOLDEN_STEP & 0xFFFFFFFF)
    z = (z ^ z >> _U32(15)) * (z | _U32(1))
    z = z ^ (z + (z ^ z >> _U32(7)) * (z | _U32(61)))
    return (z ^ z >> _U32(14)).astype(np.float64) / 2.0**32


def _attempt(
    streams: NDArray[np.uint32], attempt: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return start and goal `[n, 2]` of one attempt (from 0), accepted or not."""
    first = attempt * _UNIFORMS_PER_ATTEMPT + 1
    a, b, c, d = (uniforms(streams, first + k) for k in range(_UNIFORMS_PER_ATTEMPT))
    inner, outer = START_RADII
    start = _polar(np.sqrt(inner**2 + (outer**2 - inner**2) * a), 2.0 * math.pi * b)
    goal = _polar(GOAL_RADIUS * np.sqrt(c), 2.0 * math.pi * d)
    return start, goal


def _polar(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    directions = np.stack([_cos(angle), _sin(angle)], axis=-1).astype(np.float64)
    return radius[:, None] * directions


def _fnv1a32(text: bytes) -> int:
    """Return the standard 32-bit FNV-1a hash."""
    value = 2166136261
    for byte in text:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def _checked_seeds(seeds: Any) -> NDArray[np.int64]:
    bank = np.asarray(seeds)
    if bank.size == 0:
        return bank.astype(np.int64)
    if bank.dtype == object and all(type(seed) is int for seed in bank.flat):
        raise ValueError("seeds must lie in [0, 2**32): at least one does not fit")
    if not np.issubdtype(bank.dtype, np.integer):
        raise ValueError(f"seeds must be integers, not {bank.dtype}")
    low, high = int(bank.min()), int(bank.max())
    if low < 0 or high >= 2**32:
        raise ValueError(f"seeds must lie in [0, 2**32): got {low if low < 0 else high}")
    return bank.astype(np.int64)
