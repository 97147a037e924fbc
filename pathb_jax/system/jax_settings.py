"""JAX's own settings: which of them are not as JAX has them by itself."""

import functools
import json
import os
import subprocess
import sys
from typing import Any

_ELSEWHERE = (
    # where it computes: the device report tells what came of it
    "jax_platforms",
    "jax_platform_name",
    "jax_default_device",
    "jax_num_cpu_devices",
    "jax_cuda_visible_devices",
    "jax_rocm_visible_devices",
    # the cache of compiled programs
    "jax_enable_compilation_cache",
    "jax_compilation_cache_*",
    "jax_persistent_cache_*",
    "jax_raise_persistent_cache_errors",
    # what is written for people, and what is refused: a run that ends has the same numbers
    "jax_log_compiles",
    "jax_logging_level",
    "jax_debug_log_modules",
    "jax_explain_cache_misses",
    "jax_traceback_filtering",
    "jax_dump_ir_*",
    "jax_numpy_rank_promotion",
)
"""Settings that change neither a program nor its numbers. `*` stands for any end of a name."""

_ASK = """
import json, jax
print(json.dumps({name: repr(value) for name, value in jax.config.values.items()}))
"""


def changed_settings() -> dict[str, Any]:
    """Return every setting that is not JAX's default, from whatever source, but for _ELSEWHERE.

    `jax_default_matmul_precision` is not there where it is what the program itself asks for.
    """
    import jax

    defaults = _defaults()
    changed = {
        name: _plain(value)
        for name, value in jax.config.values.items()
        if repr(value) != defaults.get(name) and not _is_elsewhere(name)
    }
    # select_backend sets it. Without, as where this is used as a library, a CPU does the same.
    if changed.get("jax_default_matmul_precision") == "float32":
        del changed["jax_default_matmul_precision"]
    return changed


def _is_elsewhere(name: str) -> bool:
    return any(
        name.startswith(known[:-1]) if known.endswith("*") else name == known
        for known in _ELSEWHERE
    )


def _plain(value: Any) -> Any:
    return value if type(value) in (bool, int, float, str, type(None)) else str(value)


@functools.cache
def _defaults() -> dict[str, str]:
    """Ask JAX, in a process without its environment variables, how it is by itself.

    JAX mixes the variables into the settings as it is imported, and keeps the defaults nowhere.
    """
    import jax

    variables = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in jax.config.values and not name.startswith("JAX_")
    }
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _ASK],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,  # a Ctrl-C is for the command, which may go on
    )
    defaults: dict[str, str] = json.loads(done.stdout)
    return defaults
