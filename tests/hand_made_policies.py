"""Policies whose weights are chosen by hand, so that what they steer by is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pathb_jax.store.policy_file import write_policy

SAMPLES_GAIN, POSITION_GAIN = 200.0, 20.0


def follower(path: Path) -> Path:
    """Write a policy that climbs the field it samples, and looks at nothing else."""
    senses = np.zeros((2, 6))
    senses[0, 2:4] = senses[1, 4:6] = 1.0, -1.0
    return _written(path, senses, np.zeros(2), np.diag([SAMPLES_GAIN] * 2))


def homing(path: Path, place: Sequence[float] = (-2.5, -2.5)) -> Path:
    """Write a policy that goes to a place, whatever it samples."""
    senses = np.zeros((2, 6))
    senses[0, 0] = senses[1, 1] = -0.1
    return _written(path, senses, 0.1 * np.array(place), np.diag([POSITION_GAIN] * 2))


def open_loop(path: Path) -> Path:
    """Write a policy that always goes the same way: to the corner behind the false basin."""
    return _written(path, np.zeros((2, 6)), np.ones(2), -np.eye(2))


def _written(path: Path, senses: np.ndarray, bias: np.ndarray, gains: np.ndarray) -> Path:
    """Write tanh(gains @ tanh(senses @ observation + bias)), as Small runs of lambda 0.9 do."""
    write_policy(
        path,
        family="L-Mixed",
        variant="mixed_ppo_phase3_lambda_0_9",
        tier="Small",
        layers=[(senses, bias), (gains, np.zeros(2))],
        obs_mean=np.zeros(6),
        obs_std=np.ones(6),
        hidden_size=2,
        depth=1,
        action_scale=1.0,
        metadata={"sensor_tier": "local-probe-field", "mixed_lambda": 0.9},
    )
    return path
