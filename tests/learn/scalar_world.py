"""The task on the default sensor tier, one point at a time, in plain Python floats.

Written from docs/spec/environment.md for replaying a trainer's rollout.
"""

import math
from typing import NamedTuple


class Numbers(NamedTuple):
    """Constants of the task, and what a run is rewarded with."""

    mode: str = "mixed_phase3"
    mixed_lambda: float = 0.9
    signature_shape: str = "integrated"
    horizon: int = 200
    half_width: float = 5.0
    dt: float = 0.05
    action_max: float = 1.0
    signature_sigma: float = 1.5
    success_radius: float = 0.2
    success_dwell: int = 10
    probe_offset: float = 0.1
    control_cost: float = 0.05
    basin_bonus: float = 2.0
    basin_sigma: float = 1.5
    basin_center: tuple[float, float] = (-2.5, -2.5)


class Step(NamedTuple):
    """What a step pays, and whether it ended the episode."""

    reward: float
    terminated: bool
    truncated: bool


class World:
    """One environment bound to a start and a goal. It does not reset by itself."""

    def __init__(self, start: list[float], goal: list[float], numbers: Numbers) -> None:
        self.start, self.goal, self.numbers = start, goal, numbers
        self.reset()

    def reset(self) -> None:
        self.x, self.y = self.start
        self.time = self.streak = 0

    def _bump(self, x: float, y: float, center: tuple[float, ...], sigma: float) -> float:
        squared = (x - center[0]) ** 2 + (y - center[1]) ** 2
        return math.exp(-squared / (2.0 * sigma**2))

    def _signature(self, x: float, y: float) -> float:
        return self._bump(x, y, tuple(self.goal), self.numbers.signature_sigma)

    def _inside(self, x: float) -> float:
        return min(max(x, -self.numbers.half_width), self.numbers.half_width)

    def observe(self) -> list[float]:
        e = self.numbers.probe_offset
        x, y = self.x, self.y
        points = [(x + e, y), (x - e, y), (x, y + e), (x, y - e)]
        return [x, y, *(self._signature(self._inside(a), self._inside(b)) for a, b in points)]

    def step(self, action: tuple[float, float]) -> Step:
        n = self.numbers
        ax, ay = action
        norm = math.hypot(ax, ay)
        if norm > n.action_max:
            ax, ay = ax * n.action_max / norm, ay * n.action_max / norm
        self.x = self._inside(self.x + n.dt * ax)
        self.y = self._inside(self.y + n.dt * ay)
        self.time += 1
        distance = math.hypot(self.x - self.goal[0], self.y - self.goal[1])
        self.streak = self.streak + 1 if distance < n.success_radius else 0
        terminated, truncated = self.streak >= n.success_dwell, self.time >= n.horizon
        phase3 = (
            -distance
            - n.control_cost * (ax**2 + ay**2)
            + n.basin_bonus * self._bump(self.x, self.y, n.basin_center, n.basin_sigma)
        )
        signature = self._signature(self.x, self.y)
        if n.signature_shape == "terminal" and not (terminated or truncated):
            signature = 0.0
        weight = {"signature": 0.0, "phase3": 1.0, "mixed_phase3": n.mixed_lambda}[n.mode]
        return Step((1.0 - weight) * signature + weight * phase3, terminated, truncated)
