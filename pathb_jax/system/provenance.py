"""What computed: device, versions, settings and program, as records keep it, and what differs."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

from pathb_jax.system import backend
from pathb_jax.system.jax_settings import changed_settings
from pathb_jax.system.source import source_version

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy", "orbax-checkpoint")


def device_report() -> dict[str, Any]:
    """Describe what computes: platform, device kind and count, package versions."""
    import jax

    device = backend.current_device()
    is_cpu = device.platform == "cpu"
    return {
        "platform": device.platform,
        "device_kind": device.device_kind,
        # A CPU is one device, whatever number of them JAX was told to make of it.
        "device_count": 1 if is_cpu else len(jax.devices(device.platform)),
        "cores": backend.available_cores() if is_cpu else None,
        "vector_bits": backend.vector_bits() if is_cpu else None,
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax_config": changed_settings(),
    }


def environment() -> dict[str, Any]:
    """Return what equal bits depend on: source and device report, nested."""
    return {"source": source_version(), "backend": device_report()}


def environment_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List what differs between two environments, as "name: old -> new".

    Whether it is the same program its digest says: the same sources may stand in another commit.
    """
    before, after = _flat(old), _flat(new)
    if before.get("source.program") == after.get("source.program") is not None:
        before, after = (
            {name: value for name, value in flat.items() if not name.startswith("source.")}
            for flat in (before, after)
        )
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def departures(environment: Mapping[str, Any]) -> list[str]:
    """List what an environment has that no protocol pinned: "name: pinned -> what it is".

    These are a program whose files differ from its commit's, settings of JAX, and flags of XLA.
    """
    report = environment["backend"]
    neutral = (f"{backend.DETERMINISTIC}=true", "--xla_force_host_platform_device_count")
    flags = [flag for flag in report.get("xla_flags", "").split() if not flag.startswith(neutral)]
    settings = report.get("jax_config", {}).items()
    lines = [f"{name}: default -> {value}" for name, value in settings]
    lines += [f"XLA_FLAGS: none -> {flag}" for flag in flags]
    if environment["source"].get("dirty"):
        lines.append("program: as committed -> with uncommitted changes")
    return lines


def utc_now() -> str:
    """Return the time, as all records have it: UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
