"""Small things to train: configurations, environments, states, and what an update learns from."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick import quick_jit

from pathb_jax import config as c
from pathb_jax.config_checks import validated
from pathb_jax.learn import rollout, training, update
from pathb_jax.learn.hparams import TracedHparams, traced
from pathb_jax.learn.task import make_env, task_params

TINY_TIERS = {
    "1x3": c.NetworkSize(depth=1, width=3),
    "2x8": c.NetworkSize(depth=2, width=8),
    "3x5": c.NetworkSize(depth=3, width=5),
}
SHAPES = {
    "tier": "2x8",
    "batch_envs": 4,
    "rollout_length": 16,
    "minibatch_size": 16,
    "epochs": 2,
}
VARIANT: c.VariantName = "mixed_ppo_phase3_lambda_0_9"

train_chunk = quick_jit(training.train_chunk, static_argnums=(0, 1))
init = quick_jit(training.init, static_argnums=(0, 1))
collect = quick_jit(rollout.collect, static_argnums=(0, 3, 6, 7))


class Setup(NamedTuple):
    """Arguments of the functions in `training`, but for the state."""

    config: c.TrainConfig
    env: Any
    env_params: Any
    hparams: TracedHparams

    def init(self, seed: int = 0, log_std_init: float = -0.5) -> training.TrainState:
        # Nothing else matters to a fresh state: setups share the program.
        shapes = c.TrainConfig(tier=self.config.tier, batch_envs=self.config.batch_envs)
        return init(
            shapes,
            self.env,
            self.env_params,
            traced_hparams(),
            np.uint32(seed),
            jnp.asarray(log_std_init, float),
        )

    def collect(self, state: training.TrainState, key: jax.Array) -> Any:
        """One rollout with a key of its own: the carry after it, and what it kept."""
        return collect(
            self.env,
            self.env_params,
            state.params,
            TINY_TIERS[self.config.tier],
            (state.env_state, state.obs, state.normalizer),
            key,
            self.config.rollout_length,
            self.config.truncation == "bootstrap",
        )

    def update(
        self, state: training.TrainState, span: training.Span | None = None
    ) -> tuple[training.TrainState, dict[str, Any]]:
        """One update: the next state, and its row of metrics by name."""
        state, chunk = self.chunk(state, 1, span)
        return state, {name: column[0] for name, column in chunk.metrics.items()}

    def chunk(
        self, state: training.TrainState, updates: int, span: training.Span | None = None
    ) -> tuple[training.TrainState, training.Chunk]:
        """Up to `updates` updates: the state, and the chunk on the host."""
        span = make_span(0, 0) if span is None else span
        state, chunk = train_chunk(
            self.config,
            self.env,
            state,
            self.hparams,
            self.env_params,
            span,
            np.int32(updates),
        )
        return state, jax.device_get(chunk)

    def replace(self, **changes: Any) -> "Setup":
        """Change hyper-parameters and shapes by name."""
        names = {field.name for field in dataclasses.fields(c.TrainConfig)}
        shapes = {name: value for name, value in changes.items() if name in names}
        numbers: dict[str, Any] = {name: _number(changes[name]) for name in changes.keys() - names}
        return self._replace(
            config=dataclasses.replace(self.config, **shapes),
            hparams=self.hparams._replace(**numbers),
        )


def traced_hparams(**hparams: float) -> TracedHparams:
    """Return hyper-parameters as the program gets them; the default ones where none are given."""
    return traced(c.RunConfig(c.TaskConfig(VARIANT), hparams=c.Hparams(**hparams)))


def _number(value: float | None) -> jax.Array | None:
    return None if value is None else jnp.asarray(value, float)


def make_span(first_update: int, updates: int) -> training.Span:
    return training.Span(np.int32(first_update), np.int32(updates))


def run_config(
    variant: c.VariantName = VARIANT, seed_start: int = 20000, **flags: Any
) -> c.RunConfig:
    """Return the validated configuration of a small run; shapes and hyper-parameters by name."""
    names = [field.name for field in dataclasses.fields(c.Hparams)]
    hparams = {name: flags.pop(name) for name in names if name in flags}
    return validated(
        c.RunConfig(
            c.TaskConfig(variant),
            train=c.TrainConfig(**{**SHAPES, **flags}),
            hparams=c.Hparams(**hparams),
            schedule=c.ScheduleConfig(seed_start=seed_start),
        )
    )


def shadow_field(world: dict[str, Any] | None = None, **flags: Any) -> Setup:
    """Return a small run on the real task, numbers of the task changed as `world` says."""
    config = run_config(**flags)
    env = make_env(config.train)
    env_params = task_params(config, env)
    changed = {
        name: jnp.asarray(value, getattr(env_params, name).dtype)
        for name, value in (world or {}).items()
    }
    return Setup(config.train, env, env_params.replace(**changed), traced(config))


def on_stub(env: Any, env_params: Any, **flags: Any) -> Setup:
    """Return a small run on a stub environment."""
    config = run_config(**flags)
    return Setup(config.train, env, env_params, traced(config))


class Learned(NamedTuple):
    """What one update handed to its epochs."""

    batch: update.Batch
    """`[T * N, ...]`, time first."""
    hparams: TracedHparams
    """Of this update, after schedules."""
    key: jax.Array


def learned_from(setup: Setup, state: training.TrainState, span: Any = None) -> Learned:
    """Run one update and return what it handed to its epochs."""
    span = make_span(0, 0) if span is None else span
    real = update.run_epochs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(update, "run_epochs", _catching(real))
        learn = _learning(setup.config, setup.env)
        return jax.device_get(learn(state, setup.hparams, setup.env_params, span))


_caught: list[Learned] = []


def _catching(real: Any) -> Any:
    def run_epochs(*arguments: Any) -> Any:
        _caught.append(Learned(*arguments[4:]))  # batch, hparams, key
        return real(*arguments)

    return run_epochs


@functools.cache
def _learning(config: c.TrainConfig, env: Any) -> Any:
    """Return the update as a function that returns what it handed to its epochs."""

    @quick_jit
    def learn(state: Any, hparams: Any, env_params: Any, span: Any) -> Any:
        training.train_update(config, env, state, hparams, env_params, span)
        return _caught.pop()

    return learn


def in_time(flat: np.ndarray, config: c.TrainConfig) -> np.ndarray:
    """`[T * N, ...]` to `[T, N, ...]`."""
    return np.asarray(flat).reshape((config.rollout_length, config.batch_envs, *flat.shape[1:]))


def largest_difference(first: Any, second: Any) -> float:
    """Largest absolute difference between two trees' leaves."""
    differences = jax.tree.map(
        lambda a, b: np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))),
        jax.device_get(first),
        jax.device_get(second),
    )
    return float(max(jax.tree.leaves(differences)))
