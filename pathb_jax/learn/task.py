"""From a run's configuration to the environment and its parameters."""

import enum
from typing import Any

import jax.numpy as jnp
import numpy as np

from pathb_jax.config import RunConfig, TrainConfig, variant_of
from pathb_jax.envs.fields import RewardMode, SignatureShape
from pathb_jax.envs.own_world import OwnParams, own_world
from pathb_jax.envs.shadow_field import EnvParams, MesaShadowField, bind
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import strong_typed
from pathb_jax.envs.worlds import World


def make_env(config: TrainConfig) -> World:
    """Return the environment a run trains on: its sensor tier, nothing optional; or its own.

    Raises:
        InputError: as `OwnWorld`.
    """
    return MesaShadowField(config.sensor_tier) if config.env is None else own_world(config.env)


def task_params(config: RunConfig, env: Any) -> Any:
    """Return the task's numbers as arrays, bound to the training starts: a bank of N.

    `mixed_lambda` is taken from the hyper-parameters; `config` must be validated. With fresh
    training starts the parameters stay unbound.
    """
    seeds = config.schedule.seed_start + np.arange(config.train.batch_envs)
    fixed = config.train.train_starts == "fixed"
    if not isinstance(env, MesaShadowField):
        unbound = OwnParams(env.params, jnp.asarray(config.task.success_return, float))
        return env.at_seeds(unbound, seeds) if fixed else unbound
    numbers = _numbers(config, env)
    return bind(numbers, *start_states(seeds)) if fixed else strong_typed(numbers)


def env_config(config: RunConfig) -> dict[str, Any]:
    """Return the task's numbers as plain JSON values, without the starts."""
    env = make_env(config.train)
    if not isinstance(env, MesaShadowField):
        return {**env.description, "success_return": config.task.success_return}
    params = _numbers(config, env)
    return {name: _plain(value) for name, value in vars(params).items() if value is not None}


def _numbers(config: RunConfig, env: MesaShadowField) -> EnvParams:
    task, variant = config.task, variant_of(config.task.variant)
    # A shape is needed even where the signature is not rewarded; any will do.
    shape = task.signature_shape or "integrated"
    return env.default_params.replace(
        basin_bonus=task.false_basin_beta,
        reward_mode=RewardMode[variant.mode.upper()],
        mixed_lambda=config.hparams.mixed_lambda,
        reward_channel_scale=task.reward_channel_scale,
        signature_shape=SignatureShape[shape.upper()],
        signature_threshold=task.signature_threshold,
        compose_delta=task.reward_compose_form == "delta",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name.lower()
    return list(value) if isinstance(value, tuple) else value
