"""The manifest of a run, read: what later steps rest on is there and of its kind."""

from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.store.artifacts import RunFiles
from pathb_jax.store.json_files import read_json

CONFIG_GROUPS = ("task", "train", "hparams", "schedule", "evaluation", "output")


def read_manifest(files: RunFiles) -> dict[str, Any]:
    """Read a run's manifest.

    Raises:
        InputError: there is none, or it is not one: a part that others rest on is missing.
    """
    manifest = read_json(files.manifest)
    what = _not_a_manifest(manifest)
    if what is not None:
        raise InputError(str(files.manifest), what, "it has to be a run's manifest")
    return manifest


def _not_a_manifest(manifest: Any) -> str | None:
    if not isinstance(manifest, dict):
        return "another file"
    kinds: dict[str, Any] = {
        **{"status": str, "config": dict, "update": int, "first_update": int, "env_steps": int},
        **{"train_seconds": (int, float), "diverged": (dict, type(None))},
    }
    for name, kind in kinds.items():
        if not isinstance(manifest.get(name), kind) or name not in manifest:
            return f"{name} {str(manifest.get(name))[:60]}"
    if not all(isinstance(manifest["config"].get(group), dict) for group in CONFIG_GROUPS):
        return "another config"
    starts = manifest["config"]["evaluation"].get("eval_seed_start")
    if not (isinstance(starts, list) and starts and all(type(start) is int for start in starts)):
        return f"config.evaluation.eval_seed_start {str(starts)[:60]}"
    changes = manifest.get("environment_changes", [])
    if not (isinstance(changes, list) and all(map(_is_change, changes))):
        return f"environment_changes {str(changes)[:60]}"
    if (manifest["status"] == "diverged") != (manifest["diverged"] is not None):
        return f"status {manifest['status'][:60]}, diverged {str(manifest['diverged'])[:60]}"
    return None


def _is_change(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and type(entry.get("resumed_after_update")) is int
        and isinstance(changes := entry.get("changes"), list)
        and all(isinstance(change, str) for change in changes)
    )
