"""Policy files at the edge of what can be read: the right figures, or one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import bad_input_line

from pathb_jax.cli import evaluate
from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.evaluation.policies import policy_file_data
from pathb_jax.store.policy_file import PolicyFile, layer_shapes, read_policy, write_policy

ENV = MesaShadowField("local-probe-field")


def written(path: Path, **changes: Any) -> PolicyFile:
    random = np.random.default_rng(0)
    shapes = layer_shapes(ENV.obs_dim, 2, 4, 2)
    actor: dict[str, Any] = {
        "family": "L-Mixed",
        "variant": "mixed_ppo_phase3_lambda_0_9",
        "tier": "Small",
        "layers": [(random.standard_normal(s), random.standard_normal(s[0])) for s in shapes],
        "obs_mean": random.standard_normal(ENV.obs_dim),
        "obs_std": np.ones(ENV.obs_dim),
        "hidden_size": 4,
        "depth": 2,
        "action_scale": 1.0,
        "metadata": {"sensor_tier": "local-probe-field"},
    }
    write_policy(path, **{**actor, **changes})
    return read_policy(path)


def in_float64(policy: PolicyFile, observation: np.ndarray) -> np.ndarray:
    """Return the action by the file's reading rule, the norm limited by the world."""
    mean, std = policy.normalization.obs_mean, policy.normalization.obs_std
    x = (observation - mean.astype(float)) / np.maximum(std, 1e-8)
    for layer in policy.layers:
        x = np.tanh(layer.weight.astype(float) @ x + layer.bias)
    return policy.action_scale * x


@pytest.mark.parametrize("std", [0.0, 1e-30, 1e-8, 1e-3])
def test_a_spread_of_nothing_reads_as_the_rule_says(std: float, tmp_path: Path) -> None:
    """o = (obs - mean) / max(std, 1e-8): readable, and the same in both readers."""
    spread = np.ones(ENV.obs_dim)
    spread[::2] = std
    policy = written(tmp_path / "p.policy.json", obs_std=spread)
    actor, data = policy_file_data(policy)
    np.testing.assert_array_equal(data.obs_std[::2], max(np.float32(std), np.float32(1e-8)))
    act = actor.controller(ENV, ENV.default_params, data).act
    for seed in range(20):
        observation = np.random.default_rng(seed).standard_normal(ENV.obs_dim).astype(np.float32)
        _, action = act((), observation, None, 0)  # type: ignore[arg-type]
        np.testing.assert_allclose(action, in_float64(policy, observation), atol=2e-6)


def test_numbers_that_lead_to_what_is_not_finite(tmp_path: Path, capsys: Any) -> None:
    """Infinity (mean of 3e38 over 1e-8) times a weight of 0: an alignment of nan was printed."""
    path = tmp_path / "p.policy.json"
    layers = [(np.zeros(s), np.zeros(s[0])) for s in layer_shapes(ENV.obs_dim, 2, 4, 2)]
    mean, std = np.full(ENV.obs_dim, 3e38), np.zeros(ENV.obs_dim)
    written(path, layers=layers, obs_mean=mean, obs_std=std)
    words = ["--policy", str(path), "--eval-seeds", "2"]
    for more in ([], ["--json", str(tmp_path / "o.json")], ["--csv", str(tmp_path / "o.csv")]):
        line = bad_input_line(evaluate.main, [*words, *more], capsys, tmp_path)
        assert "--policy" in line
        assert "finite" in line
