"""From a run's configuration to the environment and its parameters."""

import enum
from typing import Any

import numpy as np

from pathb_jax.config import VARIANTS, RunConfig, TrainConfig
from pathb_jax.envs.fields import RewardMode, SignatureShape
from pathb_jax.envs.shadow_field import EnvParams, MesaShadowField, bind
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import strong_typed


def make_env(config: TrainConfig) -> MesaShadowField:
    """Return the environment a run trains on: its sensor tier, nothing optional."""
    return MesaShadowField(config.sensor_tier)


def task_params(config: RunConfig, env: MesaShadowField) -> EnvParams:
    """Return the task's numbers as arrays, bound to the training starts `[N, 2]`.

    `mixed_lambda` is taken from the hyper-parameters; `config` must be validated. With fresh
    training starts the parameters stay unbound.
    """
    if config.train.train_starts == "fresh":
        return strong_typed(_numbers(config, env))
    seeds = config.schedule.seed_start + np.arange(config.train.batch_envs)
    return bind(_numbers(config, env), *start_states(seeds))


def env_config(config: RunConfig) -> dict[str, Any]:
    """Return the task's numbers as plain JSON values, without the starts."""
    params = _numbers(config, make_env(config.train))
    return {name: _plain(value) for name, value in vars(params).items() if value is not None}


def _numbers(config: RunConfig, env: MesaShadowField) -> EnvParams:
    task, variant = config.task, VARIANTS[config.task.variant]
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
