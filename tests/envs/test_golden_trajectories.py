"""Every golden trajectory, in float32 and in float64."""

import functools

import jax
import numpy as np
import pytest
import trajectories as golden

TOLERANCES = {32: 2e-5, 64: 1e-12}
PATH_TOLERANCE = {32: 1e-5, 64: 1e-12}


@functools.cache
def replayed(bits: int) -> dict:
    with jax.enable_x64(bits == 64):
        return {k: v for group in golden.groups() for k, v in golden.run_group(group).items()}


def test_there_are_all_trajectories():
    assert len(golden.TRAJECTORIES) == 69 == len(replayed(32))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("entry", golden.TRAJECTORIES, ids=lambda entry: entry["name"])
def test_trajectory(entry, bits):
    name = entry["name"]
    result = replayed(bits)[name]
    for quantity in ("position", "goal", "observation", "reward"):
        expected = golden.golden_arrays()[f"{name}_{quantity}"]
        assert result[quantity].shape == expected.shape, quantity
        assert result[quantity].dtype == np.dtype(f"float{bits}")
        np.testing.assert_allclose(
            result[quantity], expected, rtol=0, atol=TOLERANCES[bits], err_msg=quantity
        )


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("entry", golden.TRAJECTORIES, ids=lambda entry: entry["name"])
def test_episode_metrics(entry, bits):
    name = entry["name"]
    found, expected = replayed(bits)[name]["metrics"], dict(entry["metrics"])
    for exact in ("outcome", "steps", "saturation_count", "clipped_count"):
        assert found[exact] == expected.pop(exact), exact
    np.testing.assert_allclose(
        found["path_length"], expected.pop("path_length"), rtol=PATH_TOLERANCE[bits], atol=1e-12
    )
    assert set(expected) == {
        "terminal_alignment",
        "terminal_distance",
        "path_efficiency",
        "regime_retention",
    }
    for quantity, value in expected.items():
        assert found[quantity] == pytest.approx(value, rel=0, abs=TOLERANCES[bits]), quantity
