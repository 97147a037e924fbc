"""A trained policy in NumPy alone: `python examples/act_numpy.py RUN/policies/*.policy.json`.

This is all that a robot, a browser or another language has to do with a policy file.
"""

import json
import sys
from pathlib import Path

import numpy as np


class NumpyPolicy:
    """Acts with the policy's mean: observations `[..., D]` to actions `[..., A]`."""

    def __init__(self, path: Path) -> None:
        told = json.loads(path.read_text())
        assert told["format"] == "mesa-policy-json-v1"
        self.layers = [(np.array(x["weight"]), np.array(x["bias"])) for x in told["layers"]]
        self.mean = np.array(told["normalization"]["obs_mean"])
        self.std = np.maximum(np.array(told["normalization"]["obs_std"]), 1e-8)
        self.scale = told["action_scale"]
        # Of another environment than the shadow field: its box of actions.
        self.box = [told["metadata"].get(name) for name in ("action_low", "action_high")]

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Act: normalise, a tanh after every layer, and a norm of 1 at most, or within the box."""
        hidden = (np.asarray(observation) - self.mean) / self.std
        for weight, bias in self.layers:
            hidden = np.tanh(hidden @ weight.T + bias)
        action = self.scale * hidden
        if self.box[0] is not None:
            low, high = np.array(self.box)
            return low + (np.clip(action, -1, 1) + 1) / 2 * (high - low)
        return action / np.maximum(np.linalg.norm(action, axis=-1, keepdims=True), 1.0)


if __name__ == "__main__":
    policy = NumpyPolicy(Path(sys.argv[1]))
    print(policy(np.zeros(len(policy.mean))))
