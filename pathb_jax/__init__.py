"""pathb_jax: vectorised PPO in JAX with a pre-registered stability ladder.

Public names are imported when first used, so that `import pathb_jax` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathb_jax.api import Evaluation as Evaluation
    from pathb_jax.api import evaluate as evaluate
    from pathb_jax.api import evaluate_only as evaluate_only
    from pathb_jax.api import intervene as intervene
    from pathb_jax.api import judge as judge
    from pathb_jax.api import load_policy as load_policy
    from pathb_jax.api import make_config as make_config
    from pathb_jax.api import run_ladder as run_ladder
    from pathb_jax.api import train as train
    from pathb_jax.config import Hparams as Hparams
    from pathb_jax.config import RunConfig as RunConfig
    from pathb_jax.config import TaskConfig as TaskConfig
    from pathb_jax.config import TrainConfig as TrainConfig
    from pathb_jax.errors import InputError as InputError
    from pathb_jax.evaluation.acting import Policy as Policy
    from pathb_jax.ladder.protocol import load_protocol as load_protocol
    from pathb_jax.runs.observer import Observer as Observer
    from pathb_jax.runs.outcome import RunOutcome as RunOutcome

_PUBLIC = {
    "Evaluation": "pathb_jax.api",
    "Hparams": "pathb_jax.config",
    "InputError": "pathb_jax.errors",
    "Observer": "pathb_jax.runs.observer",
    "Policy": "pathb_jax.evaluation.acting",
    "RunConfig": "pathb_jax.config",
    "RunOutcome": "pathb_jax.runs.outcome",
    "TaskConfig": "pathb_jax.config",
    "TrainConfig": "pathb_jax.config",
    "evaluate": "pathb_jax.api",
    "evaluate_only": "pathb_jax.api",
    "intervene": "pathb_jax.api",
    "judge": "pathb_jax.api",
    "load_policy": "pathb_jax.api",
    "load_protocol": "pathb_jax.ladder.protocol",
    "make_config": "pathb_jax.api",
    "run_ladder": "pathb_jax.api",
    "train": "pathb_jax.api",
}

__all__ = sorted(_PUBLIC)  # what is in it is tested


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
