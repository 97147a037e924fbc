"""A trained policy's file, read and replayed with nothing of the project's own."""

import json
from pathlib import Path

import numpy as np
import pytest
from scalar_world import Numbers, World

from pathb_jax.cli.train import main as train
from pathb_jax.store.artifacts import read_json

SEEDS = 32


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Small run long enough that some seeds succeed and some do not."""
    out = tmp_path_factory.mktemp("trained")
    train(
        f"--variant signature_ppo_terminal --updates 122 --eval-seeds {SEEDS} "
        f"--success-floor 0 --out {out}".split()
    )
    return out


def act(policy: dict, observation: list[float]) -> np.ndarray:
    """The reading rule of mesa-policy-json-v1, in float64."""
    statistics = policy["normalization"]
    x = (np.array(observation) - statistics["obs_mean"]) / np.maximum(statistics["obs_std"], 1e-8)
    for layer in policy["layers"]:
        x = np.tanh(np.array(layer["weight"]) @ x + np.array(layer["bias"]))
    action = policy["action_scale"] * x
    return action / max(np.linalg.norm(action), 1.0)


def replay(policy: dict, start: list[float], goal: list[float]) -> tuple[bool, float]:
    """Play one episode; return success and the signature at its end."""
    world = World(start, goal, Numbers())
    while True:
        step = world.step(tuple(act(policy, world.observe())))
        if step.terminated or step.truncated:
            squared = (world.x - goal[0]) ** 2 + (world.y - goal[1]) ** 2
            return step.terminated, float(np.exp(-squared / (2 * 1.5**2)))


@pytest.mark.slow
def test_replay_agrees_with_the_evaluation_summary(trained: Path):
    from envs.start_states import start_states

    policy = json.loads(next(trained.glob("policies/*.json")).read_text())
    assert policy["format"] == "mesa-policy-json-v1"
    for suffix, first in (("", 10000), ("_seed_20000", 20000)):
        summary = read_json(next(trained.glob(f"logs/*_evaluation{suffix}_summary.json")))
        states = start_states(first + np.arange(SEEDS))
        played = [
            replay(policy, start, goal)
            for start, goal in zip(states.start.tolist(), states.goal.tolist(), strict=True)
        ]
        successes = sum(success for success, _ in played)
        assert 0 < summary["success_count"] < SEEDS, "too easy or too hard to tell anything"
        assert abs(successes - summary["success_count"]) <= 1
        alignment = np.mean([alignment for _, alignment in played])
        assert alignment == pytest.approx(summary["mean_terminal_alignment"], abs=0.005)
