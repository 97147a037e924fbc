"""Where a study's run came from, as its row in the study's table says it."""

from collections.abc import Mapping
from typing import Any

PROVENANCE = ("env_steps_per_second", "commit", "jax", "device_kind")
"""Columns in which two rows of the same run may differ without contradicting each other."""


def provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return commit, JAX version and device kind from a run's manifest."""
    return {
        "commit": (manifest["source"]["commit"] or "unknown")[:12],
        "jax": manifest["backend"]["versions"]["jax"],
        "device_kind": manifest["backend"]["device_kind"],
    }
