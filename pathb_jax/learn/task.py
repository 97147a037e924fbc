"""From a run's configuration to the environment and its parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.fields import RewardMode, SignatureShape
from envs.shadow_field import EnvParams, MesaShadowField, bind
from envs.start_states import start_states
from pathb_jax.config import VARIANTS, RunConfig, TrainConfig


def make_env(config: TrainConfig) -> MesaShadowField:
    """Return the environment a run trains on: its sensor tier, nothing optional."""
    return MesaShadowField(config.sensor_tier)


def task_params(config: RunConfig, env: MesaShadowField) -> EnvParams:
    """Return the task's numbers, bound to the training starts `[N, 2]`, as strong-typed arrays.

    `mixed_lambda` is taken from the hyper-parameters; `config` must be validated.
    """
    task, variant = config.task, VARIANTS[config.task.variant]
    shape = task.signature_shape or "integrated"
    params = env.default_params.replace(
        basin_bonus=task.false_basin_beta,
        reward_mode=RewardMode[variant.mode.upper()],
        mixed_lambda=config.hparams.mixed_lambda,
        reward_channel_scale=task.reward_channel_scale,
        signature_shape=SignatureShape[shape.upper()],
        signature_threshold=task.signature_threshold,
        compose_delta=task.reward_compose_form == "delta",
    )
    seeds = config.schedule.seed_start + np.arange(config.train.batch_envs)
    return strong_typed(bind(params, *start_states(seeds)))


def strong_typed(tree: EnvParams) -> EnvParams:
    """Turn Python numbers into arrays: a weak type would compile a second program."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, int if isinstance(x, int) and not isinstance(x, bool) else None)
        if not isinstance(x, float)
        else jnp.asarray(x, float),
        tree,
    )
