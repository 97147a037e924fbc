"""A set's recorded rows against the same policy played in the float64 world."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.verification.float64_world import UNDISTURBED, Disturbance, Policy, play

TOLERANCE = 1e-4
"""Largest difference of a position, distance, alignment or share that needs no second look.

In float32 a step rounds a position by some 3e-7 and a network's action by some 1e-6, which 200
steps in a smooth field add up to a few 1e-6: the largest difference seen in 576 episodes of trained
Small policies was 5e-6.
"""
DISTURBANCES = [Disturbance(seed, 1e-5, 1e-6) for seed in range(8)]
"""For episodes that differ by more: where the end of an episode hangs on rounding (a distance
that grazes the success radius), noise ten times as large as rounding moves it as well."""
COUNTS = ("saturationCount", "clippedCount")
"""Steps beyond a threshold: one more or less is rounding where a step lies at it."""


class Replay(NamedTuple):
    """What a replay found: rows that the policy does not give, and rows that hang on rounding."""

    problems: list[str]
    borderline: int


Player = Callable[[Sequence[int], Disturbance], Mapping[str, np.ndarray]]
"""Seeds, and what disturbs their episodes, to columns of rows."""


def replay(rows: Mapping[str, Sequence[Any]], policy: Policy, tier: str) -> Replay:
    """Play the rows' seeds and compare.

    Args:
        rows: columns of the evaluation, numbers but for `terminalOutcome`, True for a success.
        policy: what acts.
        tier: the sensor tier, one of `float64_world.TIERS`.
    """
    return compare(rows, lambda seeds, noise: play(policy, seeds, tier, noise))


def compare(rows: Mapping[str, Sequence[Any]], again_of: Player) -> Replay:
    """Play the rows' seeds again, those that differ also disturbed, and compare.

    Args:
        rows: columns; those that the player gives too are compared.
        again_of: what plays.
    """
    recorded = {name: np.array(column) for name, column in rows.items()}
    seeds = [int(seed) for seed in rows["seed"]]
    played = again_of(seeds, UNDISTURBED)
    names = [name for name in played if name in recorded]
    doubtful = np.flatnonzero(np.any([_far(recorded[n], played[n]) for n in names], axis=0))
    if not doubtful.size:
        return Replay([], 0)
    again = [again_of([seeds[i] for i in doubtful], noise) for noise in DISTURBANCES]
    problems = []
    for position, index in enumerate(doubtful):
        for name in names:
            around = np.array([run[name][position] for run in again] + [played[name][index]])
            if not _among(name, recorded[name][index], around):
                given = played[name][index]
                what = f"{recorded[name][index]} is told, the policy gives {given}"
                problems.append(f"seed {seeds[index]}, {name}: {what}")
                break
    return Replay(problems, len(doubtful) - len(problems))


def _far(recorded: np.ndarray, played: np.ndarray) -> np.ndarray:
    if recorded.dtype.kind == "f":
        return ~(np.isnan(recorded) & np.isnan(played)) & ~(np.abs(recorded - played) <= TOLERANCE)
    return recorded != played


def _among(name: str, cell: Any, around: np.ndarray) -> bool:
    """Say whether a cell is among what disturbed episodes give, or about as far from them."""
    if around.dtype.kind == "b":
        return bool(cell in around)
    if np.isnan(around).any():  # a pair whose length hangs on rounding may have no response
        return bool(np.isnan(cell)) or _among(name, cell, around[~np.isnan(around)])
    low, high = float(around.min()), float(around.max())
    margin = high - low
    if around.dtype.kind == "f":
        margin += TOLERANCE
    if name in COUNTS:
        margin += 1
    if name == "regimeRetention":
        margin += 1 / 100
    return bool(low - margin <= cell <= high + margin)
