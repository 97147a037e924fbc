"""Rows of studies' tables, as a finished run leaves them."""

from typing import Any

from pathb_jax.studies.anchors import AnchorRun
from pathb_jax.studies.envelope_table import EnvelopeRun

_BUILT: dict[str, Any] = {"commit": "abc", "jax": "0.10.2", "device_kind": "cpu"}


def anchor_run(**changes: Any) -> AnchorRun:
    return AnchorRun(
        **{
            "anchor": "small-terminal-1M",
            "training_seed": 0,
            "successes": 3,
            "seeds": 64,
            "mean_terminal_alignment": 0.5,
            "mean_steps": 190.0,
            "env_steps": 1,
            "env_steps_per_second": 1.0,
            **_BUILT,
            **changes,
        }
    )


def envelope_run(**changes: Any) -> EnvelopeRun:
    return EnvelopeRun(
        **{
            "settings": "--tier Small",
            "mixed_lambda": 0.9,
            "training_seed": 0,
            "diverged": 0,
            "successes": 3,
            "seeds": 4,
            "mean_terminal_alignment": 0.95,
            "mean_steps": 150.0,
            "mean_basin_distance": 3.5,
            "basin_preference": 0.25,
            "env_steps": 16384,
            "env_steps_per_second": 1e5,
            **_BUILT,
            **changes,
        }
    )
