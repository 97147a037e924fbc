"""Where a study's run came from, as its row in the study's CSV file says it."""

from collections.abc import Mapping
from typing import Any


def provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return commit, JAX version and device kind from a run's manifest."""
    return {
        "commit": (manifest["source"]["commit"] or "unknown")[:12],
        "jax": manifest["backend"]["versions"]["jax"],
        "device_kind": manifest["backend"]["device_kind"],
    }
