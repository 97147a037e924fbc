"""pathb_jax: vectorised PPO in JAX with a pre-registered stability ladder.

Public names are imported when first used, so that `import pathb_jax` stays quick.
"""

import importlib
from typing import Any

_PUBLIC = {
    "Hparams": "pathb_jax.config",
    "InputError": "pathb_jax.errors",
    "RunConfig": "pathb_jax.config",
    "TaskConfig": "pathb_jax.config",
    "TrainConfig": "pathb_jax.config",
    "evaluate_only": "pathb_jax.api",
    "intervene": "pathb_jax.api",
    "load_protocol": "pathb_jax.ladder.protocol",
    "run_ladder": "pathb_jax.api",
    "train": "pathb_jax.api",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
