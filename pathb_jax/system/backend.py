"""Where to compute: the device, its determinism, and its compiled programs."""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from typing import Any, Literal

import platformdirs

from pathb_jax.errors import InputError
from pathb_jax.system import compiled_programs

DETERMINISTIC = "--xla_gpu_deterministic_ops"
_VECTORS = {"avx512f": 512, "avx": 256, "sse2": 128, "asimd": 128}
"""Bits of a vector by the widest feature of a processor that Linux names."""
_EXTRAS = {
    "gpu": "install pathb-jax[cuda12] or pathb-jax[cuda13] on a machine with an NVIDIA GPU",
    "tpu": "install pathb-jax[tpu] on a machine with a TPU",
    "cpu": "JAX_PLATFORMS may exclude it",
}


def select_backend(
    backend: str, *, deterministic: bool = True, host_devices: int | None = None
) -> None:
    """Make `backend` (auto, cpu, gpu or tpu) the one that computes.

    Call it before JAX computes anything, which importing gymnax already does. Float32 products
    are computed in float32 everywhere: a GPU's default would be TF32. Compiled programs are kept
    in the user's cache folder, unless JAX_COMPILATION_CACHE_DIR names another one.

    Args:
        backend: where to compute.
        deterministic: whether a GPU is kept to operations that repeat bit for bit. This is an XLA
            flag, and like all of them stands in `device_report`.
        host_devices: devices to make of a CPU, so that as many runs can train side by side; the
            bits of a run do not depend on it. None: leave it as it is.

    Raises:
        InputError: JAX sees no such device, or starts with none of those that JAX_PLATFORMS
            names (there is no silent fallback), or it has started already without what was asked
            for.
    """
    import jax

    device = choose_device(backend, deterministic=deterministic, host_devices=host_devices)
    jax.config.update("jax_default_matmul_precision", "float32")
    if backend != "auto":
        jax.config.update("jax_default_device", device)


def choose_device(
    backend: str, *, deterministic: bool = True, host_devices: int | None = None
) -> Any:
    """Return the device of `select_backend`, None for JAX's own choice; change no JAX setting.

    Raises:
        InputError: as `select_backend`.
    """
    import jax

    if not _has_started():
        _set_deterministic(backend, deterministic)
    if host_devices is not None:
        # JAX refuses where it has started, as in a notebook: then there are as many as there are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", host_devices)
    _keep_compiled_programs()
    _start()
    device = None
    if backend != "auto":
        try:
            device = jax.devices(backend)[0]
        except RuntimeError:
            seen = ", ".join(sorted({d.platform for d in jax.devices()}))
            allowed = f"JAX sees only: {seen}; {_EXTRAS[backend]}"
            raise InputError("--backend", backend, allowed) from None
    _check_deterministic(device, deterministic)
    return device


def _start() -> None:
    """Start JAX."""
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        why = (str(error).splitlines() or ["it is built without that platform"])[0]
        raise InputError("JAX_PLATFORMS", platforms, f"JAX does not start with it: {why}") from None


def host_devices(parallel_runs: int | Literal["auto"], tier: str) -> int:
    """Return how many devices to make of a CPU for so many parallel runs.

    auto: one per core at Small. The matrix products of larger networks keep all cores busy by
    themselves, so that a second run beside the first gains nothing.
    """
    if parallel_runs == "auto":
        return available_cores() if tier == "Small" else 1
    return parallel_runs


def current_device() -> Any:
    """Return the JAX device that computes: this thread's default."""
    import jax

    (device,) = jax.numpy.zeros(()).devices()
    return device


def available_cores() -> int:
    """Return how many cores this process may use: XLA takes that many threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _set_deterministic(backend: str, deterministic: bool) -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if backend == "cpu" or not _accelerators() or DETERMINISTIC in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}={str(deterministic).lower()}".strip()


def _has_started() -> bool:
    """Whether JAX has computed something: XLA has read its flags by then."""
    import jax

    count = jax.config.values["jax_num_cpu_devices"]
    try:
        jax.config.update("jax_num_cpu_devices", count + 2)  # what it refuses from then on
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", count)
    return False


def _check_deterministic(device: Any, deterministic: bool) -> None:
    """Refuse if XLA's flag for a GPU, which it reads once, is not as asked for."""
    if not _accelerators() or (device or current_device()).platform != "gpu":
        return
    flags = re.findall(rf"{DETERMINISTIC}(?:=(\S*))?", os.environ.get("XLA_FLAGS", ""))
    in_force = bool(flags) and flags[-1].lower() not in ("false", "0")
    if in_force != deterministic:
        wanted = f"{DETERMINISTIC}={str(deterministic).lower()}"
        allowed = (
            f"XLA has started otherwise: let XLA_FLAGS say {wanted}, or ask in a process in which "
            "JAX has not computed anything yet (importing gymnax does)"
        )
        raise InputError("--deterministic", deterministic, allowed)


def _accelerators() -> Any:
    """Return JAX's plugins for accelerators: without one there is nothing but a CPU or a TPU."""
    return importlib.metadata.entry_points(group="jax_plugins")


def _keep_compiled_programs() -> None:
    """Give JAX a persistent cache, apart for each kind of processor: code is made for one."""
    import jax

    compiled_programs.verify()
    # JAX would keep none that compile in less than a second: half of what a start needs.
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    kind = hashlib.sha256(json.dumps(processor()).encode()).hexdigest()[:12]
    try:
        folder = platformdirs.user_cache_path("pathb-jax") / "compiled" / kind
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # no home, or one that cannot be written to: compile every time
    jax.config.update("jax_compilation_cache_dir", str(folder))


@functools.cache
def processor() -> dict[str, str]:
    """Return the processor's model and features, as far as the system tells them."""
    features = {"model name": platform.processor() or platform.machine()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "flags", "Features"):
                features[name.strip()] = value.strip()
    return features


def vector_bits() -> int | None:
    """Return how wide the processor's vectors are if the system tells; bits depend on it."""
    features = " ".join(processor().values()).split()
    return next((bits for name, bits in _VECTORS.items() if name in features), None)


def compiler_options() -> dict[str, Any]:
    """Return XLA's options for programs compiled for this thread's default device.

    XLA takes half of a 512-bit processor's vectors unless it is told to prefer them whole.
    """
    if current_device().platform != "cpu" or vector_bits() != 512:
        return {}
    return {"xla_cpu_prefer_vector_width": 512}
