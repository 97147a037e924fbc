"""Where a study's run came from, as its row in the study's table says it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathb_jax.runs.manifest import RunManifest

PROVENANCE = ("env_steps_per_second", "commit", "jax", "device_kind")
"""Columns in which two rows of the same run may differ without contradicting each other."""


def provenance(manifest: "RunManifest") -> dict[str, Any]:
    """Return commit, JAX version and device kind from a run's manifest."""
    return {
        "commit": (manifest.source["commit"] or "unknown")[:12],
        "jax": manifest.backend["versions"]["jax"],
        "device_kind": manifest.backend["device_kind"],
    }
