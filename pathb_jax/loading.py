"""Taking up a checkpoint: to go on from it, or only to evaluate it."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax import memory
from pathb_jax.config import TIERS, RunConfig, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.learn.program import state_shape
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.learn.training import TrainState
from pathb_jax.outcome import run_files, write_set
from pathb_jax.store import checkpoints
from pathb_jax.store.artifacts import HISTORY_COLUMNS
from pathb_jax.store.checkpoints import CheckpointError


class Loaded(NamedTuple):
    """A checkpoint's content."""

    path: Path
    state: TrainState
    history: np.ndarray
    """`[updates of its run, len(HISTORY_COLUMNS)]`"""
    train_config: TrainConfig
    """Shapes of its run."""
    meta: dict[str, Any]
    """`config`, `update`, `env_steps`, `history_rows`, `evaluations` of its run at that moment."""


def load(step_folder: Path, config: TrainConfig | None, flag: str) -> Loaded:
    """Restore one step's folder.

    Args:
        step_folder: as `checkpoints.resolve_checkpoint` returns it.
        config: shapes the state must fit, if any: batch-envs and the like may differ, tiers may
            not.
        flag: what an error message blames.

    Raises:
        InputError: it is of another tier or sensor tier, or damaged.
    """
    try:
        meta = checkpoints.read_meta(step_folder)
        saved = TrainConfig(**meta["config"]["train"])
        for name in ("tier", "sensor_tier"):
            theirs, ours = getattr(saved, name), getattr(config or saved, name)
            if theirs != ours:
                allowed = f"its {name.replace('_', ' ')} is {theirs}, this run's is {ours}"
                raise InputError(flag, str(step_folder), allowed)
        history = jax.ShapeDtypeStruct((meta["history_rows"], len(HISTORY_COLUMNS)), np.float64)
        template = {"state": state_shape(saved), "history": history}
        tree = checkpoints.restore(step_folder, template)
    except CheckpointError as error:
        raise InputError(flag, str(step_folder), str(error)) from None
    except (KeyError, TypeError) as error:
        allowed = f"its metadata lacks what this program writes ({error})"
        raise InputError(flag, str(step_folder), allowed) from None
    return Loaded(
        step_folder, jax.tree.map(jnp.asarray, tree["state"]), tree["history"], saved, meta
    )


def load_parent(config: RunConfig) -> Loaded:
    """Load what `--load-checkpoint` names."""
    assert config.output.load_checkpoint is not None
    step_folder = checkpoints.resolve_checkpoint(config.output.load_checkpoint)
    return load(step_folder, config.train, "--load-checkpoint")


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write the suffixed files.

    Returns:
        One summary per set.

    Raises:
        InputError: the checkpoint does not fit.
    """
    memory.check_evaluation(config.evaluation.eval_seeds, TIERS[config.train.tier].width)
    loaded = load_parent(config)
    env = make_env(config.train)
    results = evaluate_policy(
        config.train,
        env,
        task_params(config, env),
        loaded.state.params,
        loaded.state.normalizer,
        config.evaluation.eval_seed_start,
        config.evaluation.eval_seeds,
    )
    files, env_steps = run_files(config), loaded.meta["env_steps"]
    return [
        write_set(config, files, result, str(loaded.path), env_steps, first=False)
        for result in results
    ]
