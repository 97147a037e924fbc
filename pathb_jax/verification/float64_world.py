"""The task in NumPy float64, a bank of episodes at a time, for replaying policy files.

Written from docs/spec/environment.md and from the reading rule of
``mesa-policy-json-v1``; it shares no code with `pathb_jax.envs`, which it is to check. It knows
what a run of this project can be evaluated on: no probes, no edits, and no sensor noise, which is
JAX's own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

HALF_WIDTH, DT, ACTION_MAX = 5.0, 0.05, 1.0
SIGNATURE_SIGMA, SUCCESS_RADIUS, REGIME_RADIUS = 1.5, 0.2, 0.5
SUCCESS_DWELL, HORIZON, PROBE_OFFSET = 10, 200, 0.1
BASIN = np.array([-2.5, -2.5])
DELAY = 3
"""Steps that the delayed tier's samples are old."""
SATURATED = 0.99

TIERS = ("local-probe-field", "privileged-field", "delayed-field")
"""Sensor tiers without noise: what can be replayed."""

Policy = Callable[[np.ndarray], np.ndarray]
"""Observations `[N, D]` to actions `[N, 2]`."""


class Disturbance(NamedTuple):
    """Uniform noise of these half-widths, from a generator of this seed: what rounding does."""

    seed: int
    action: float
    position: float


UNDISTURBED = Disturbance(0, 0.0, 0.0)


def start_and_goal(seed: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the start and the goal that an integer seed stands for."""
    stream = (seed * 1000003 % 2**32) ^ _fnv1a32(b"initial-conditions")
    for attempt in range(1000):
        a, b, c, d = (_uniform(stream, 4 * attempt + k) for k in (1, 2, 3, 4))
        start = _polar(math.sqrt(4 + 12 * a), 2 * math.pi * b)
        goal = _polar(3 * math.sqrt(c), 2 * math.pi * d)
        if math.dist(start, goal) > 1:
            return start, goal
    raise ValueError(f"seed {seed} has no start")


def _polar(radius: float, angle: float) -> tuple[float, float]:
    return radius * math.cos(angle), radius * math.sin(angle)


def _fnv1a32(text: bytes) -> int:
    value = 2166136261
    for byte in text:
        value = (value ^ byte) * 16777619 % 2**32
    return value


def _uniform(stream: int, k: int) -> float:
    """Return the k-th output (from 1) of mulberry32 seeded with `stream`."""
    z = (stream + k * 0x6D2B79F5) % 2**32
    z = (z ^ z >> 15) * (z | 1) % 2**32
    z ^= (z + (z ^ z >> 7) * (z | 61)) % 2**32
    return (z ^ z >> 14) / 2**32


def policy_of(content: Mapping[str, Any]) -> Policy:
    """Return what a policy file's content does, by the format's reading rule."""
    mean = np.array(content["normalization"]["obs_mean"], np.float64)
    std = np.maximum(np.array(content["normalization"]["obs_std"], np.float64), 1e-8)
    layers = [
        (np.array(layer["weight"], np.float64).T, np.array(layer["bias"], np.float64))
        for layer in content["layers"]
    ]
    scale = float(content["action_scale"])

    def act(observation: np.ndarray) -> np.ndarray:
        x = (observation - mean) / std
        for weight, bias in layers:
            x = np.tanh(x @ weight + bias)
        return scale * x

    return act


def signature(position: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the bump around the goal, `[..., 2]` to `[...]`."""
    squared = np.sum((position - goal) ** 2, axis=-1)
    return np.exp(-squared / (2 * SIGNATURE_SIGMA**2))


def observe(position: np.ndarray, goal: np.ndarray, samples: np.ndarray, tier: str) -> np.ndarray:
    """Return the observations `[N, D]` of a sensor tier; `samples` as they are read."""
    if tier != "privileged-field":
        return np.concatenate([position, samples], axis=1)
    value = signature(position, goal)[:, None]
    gradient = value * (goal - position) / SIGNATURE_SIGMA**2
    return np.concatenate([position, goal, value, gradient], axis=1)


def measure(position: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the four sensors' samples `[N, 4]`."""
    e = PROBE_OFFSET
    offsets = np.array([[e, 0.0], [-e, 0.0], [0.0, e], [0.0, -e]])
    points = np.clip(position[:, None] + offsets, -HALF_WIDTH, HALF_WIDTH)
    return np.clip(signature(points, goal[:, None]), 0.0, 1.0)


def play(
    policy: Policy,
    seeds: Sequence[int],
    tier: str = TIERS[0],
    disturbance: Disturbance = UNDISTURBED,
) -> dict[str, np.ndarray]:
    """Play one episode per seed to its end.

    Starts and goals are rounded to float32, as the evaluator is given them.

    Returns:
        The columns of an evaluation's rows, by their names there, `[N]` each. `terminalOutcome`
        is True for a success.
    """
    ends = [start_and_goal(seed) for seed in seeds]
    start = np.array([end[0] for end in ends], np.float32).astype(np.float64)
    goal = np.array([end[1] for end in ends], np.float32).astype(np.float64)
    noise = np.random.default_rng(disturbance.seed)
    shape, count = start.shape, len(seeds)
    x, measured = start.copy(), [measure(start, goal)]
    playing, success = np.ones(count, bool), np.zeros(count, bool)
    steps, streak, saturated, clipped, near = (np.zeros(count, int) for _ in range(5))
    length = np.zeros(count)
    while playing.any():
        samples = measured[max(len(measured) - 1 - DELAY, 0) if tier == "delayed-field" else -1]
        action = policy(observe(x, goal, samples, tier))
        action = action + disturbance.action * noise.uniform(-1, 1, shape)
        norm = np.linalg.norm(action, axis=1)
        action = action * (ACTION_MAX / np.maximum(norm, ACTION_MAX))[:, None]
        free = x + DT * action + disturbance.position * noise.uniform(-1, 1, shape)
        moved = np.where(playing[:, None], np.clip(free, -HALF_WIDTH, HALF_WIDTH), x)
        saturated += playing & (np.minimum(norm, ACTION_MAX) >= SATURATED * ACTION_MAX)
        clipped += playing & np.any(np.abs(free) > HALF_WIDTH, axis=1)
        length += np.linalg.norm(moved - x, axis=1)
        x, steps = moved, steps + playing
        distance = np.linalg.norm(x - goal, axis=1)
        near += playing & (distance < REGIME_RADIUS)
        streak = np.where(playing, np.where(distance < SUCCESS_RADIUS, streak + 1, 0), streak)
        success = streak >= SUCCESS_DWELL
        playing = ~success & (steps < HORIZON)
        measured.append(measure(x, goal))
    direct = np.linalg.norm(x - start, axis=1)
    return {
        "seed": np.array(seeds),
        "terminalOutcome": success,
        "steps": steps,
        "terminalAlignment": signature(x, goal),
        "terminalDistance": distance,
        "pathEfficiency": np.divide(direct, length, out=np.zeros(count), where=length > 0),
        "saturationCount": saturated,
        "pathLength": length,
        "clippedCount": clipped,
        "regimeRetention": near / steps,
        "terminalBasinDistance": np.linalg.norm(x - BASIN, axis=1),
        "terminalX": x[:, 0],
        "terminalY": x[:, 1],
    }
