"""A run's policy file, by its manifest and its last checkpoint."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pathb_jax.verification.findings import MISSING
from pathb_jax.verification.raw_files import POLICY_LIMIT, json_of
from pathb_jax.verification.told_run import DIFFERS, ToldRun


def check_policy(run: ToldRun, arrays: Mapping[str, np.ndarray] | None) -> Mapping[str, Any]:
    """Compare the policy file with the last checkpoint; return its content.

    Args:
        run: the run.
        arrays: what the checkpoint holds, by name; None: there is none to compare with.

    Raises:
        UnreadableError: the file is missing or broken.
    """
    path, findings, config = run.files.policy, run.findings, run.config
    policy: Mapping[str, Any] = json_of(path, POLICY_LIMIT)
    metadata = policy["metadata"]
    expected = {
        "update": run.manifest["update"],
        "env_steps": run.manifest["env_steps"],
        "seed": config["schedule"]["seed"],
        "run_label": config["output"]["run_label"],
        "sensor_tier": run.tier,
        "mixed_lambda": config["hparams"]["mixed_lambda"],
    }
    for name, value in expected.items():
        findings.same(run.at(path, f"metadata.{name}"), metadata.get(name, MISSING), value)
    expected = {
        "tier": config["train"]["tier"],
        "variant": config["task"]["variant"],
        "format": "mesa-policy-json-v1",
        "activation": "tanh",
        "action_scale": 1.0,
        "parameter_count": sum(np.size(p) for layer in policy["layers"] for p in layer.values()),
        "depth": len(policy["layers"]) - 1,
    }
    for name, value in expected.items():
        findings.same(run.at(path, name), policy.get(name, MISSING), value)
    if arrays is not None:
        _compare_weights(run, policy, arrays)
    return policy


def _compare_weights(
    run: ToldRun, policy: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    normalization, std = policy["normalization"], arrays["state.normalizer.var"]
    pairs = {
        "metadata.log_std": (policy["metadata"]["log_std"], arrays["state.params.log_std"]),
        "obs_mean": (normalization["obs_mean"], arrays["state.normalizer.mean"]),
        "obs_std": (normalization["obs_std"], np.sqrt(np.maximum(std, np.float32(1e-8)))),
    }
    for index, layer in enumerate(policy["layers"]):
        stem = f"state.params.actor.Dense_{index}"
        pairs[f"layers[{index}].weight"] = layer["weight"], arrays[f"{stem}.kernel"].T
        pairs[f"layers[{index}].bias"] = layer["bias"], arrays[f"{stem}.bias"]
    for name, (recorded, true) in pairs.items():
        numbers = np.array(recorded, np.float64)
        tolerance = 1e-6 if name == "obs_std" else 0.0  # a root; the others are copies
        same = numbers.shape == true.shape and np.allclose(numbers, true, tolerance, 0.0)
        run.findings.figure(run.at(run.files.policy, name), same, DIFFERS)
