"""The compiled programs of one shape of run, shared by all its chunks, candidates and variants."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.shadow_field import EnvParams
from pathb_jax import backend
from pathb_jax.config import Hparams, RunConfig, TaskConfig, TrainConfig
from pathb_jax.learn import training
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.learn.training import Chunk, Span, TrainState

_JAX_NAMES = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
"""JAX's names of `TrainConfig.matmul_precision`."""

_init = jax.jit(training.init, static_argnums=(0, 1))
_continue_from = jax.jit(training.continue_from, static_argnums=(0, 1))
train_chunk = jax.jit(training.train_chunk, static_argnums=(0, 1), donate_argnums=2)


def traced(hparams: Hparams) -> Hparams:
    """Return the hyper-parameters as strong-typed scalars; options that are off stay None."""
    return jax.tree.map(lambda value: jnp.asarray(value, float), hparams)


def chunk_arguments(config: TrainConfig, hparams: Hparams) -> tuple[Any, ...]:
    """Return what `train_chunk` is lowered with for runs of these shapes: the state is abstract.

    Args:
        config: shapes of the run.
        hparams: hyper-parameters of a validated configuration; only which of them are None
            matters.
    """
    env = make_env(config)
    params = task_params(_example(config), env)
    shape = state_shape(config)
    return config, env, shape, traced(hparams), params, _span(0, 0), np.int32(0)


class Program:
    """Compiled training for one `TrainConfig` and one choice of options.

    Training is compiled ahead of time: calling it with other shapes or types is an error, never
    a silent second compilation. `compile_seconds` says what that took.

    Args:
        config: shapes of the run.
        hparams: hyper-parameters of a validated configuration; only which of them are None
            matters.
        device: where it runs.
    """

    def __init__(self, config: TrainConfig, hparams: Hparams, device: Any) -> None:
        self.config = config
        self.env = make_env(config)
        started = time.perf_counter()
        precision = jax.default_matmul_precision(_JAX_NAMES[config.matmul_precision])
        with precision, jax.default_device(device):
            self.compiled = train_chunk.lower(*chunk_arguments(config, hparams)).compile()
        self.compile_seconds = time.perf_counter() - started

    def init(self, config: RunConfig, env_params: EnvParams) -> TrainState:
        """Fresh state of a run."""
        return _init(
            self.config,
            self.env,
            env_params,
            traced(config.hparams),
            np.uint32(config.schedule.seed),
            jnp.asarray(config.schedule.log_std_init, float),
        )

    def continue_from(
        self, config: RunConfig, env_params: EnvParams, loaded: TrainState
    ) -> TrainState:
        """State of a new run that starts from an old one's parameters and statistics."""
        return _continue_from(
            self.config,
            self.env,
            env_params,
            traced(config.hparams),
            np.uint32(config.schedule.seed),
            loaded,
            config.output.reset_optimizer,
        )

    def train(
        self,
        state: TrainState,
        hparams: Hparams,
        env_params: EnvParams,
        updates: int,
        span: tuple[int, int] = (0, 0),
    ) -> tuple[TrainState, Chunk]:
        """Run up to `updates` updates (at most CHUNK_CAPACITY). `state` is donated.

        Args:
            state: where to begin.
            hparams: as `traced` returns them.
            env_params: as `task_params` returns them.
            updates: how many.
            span: the whole run's first update index and number of updates, for schedules.
        """
        if not 0 < updates <= training.CHUNK_CAPACITY:
            raise ValueError(f"updates: {updates}; give 1..{training.CHUNK_CAPACITY}")
        return self.compiled(state, hparams, env_params, _span(*span), np.int32(updates))


def program(config: RunConfig) -> Program:
    """Return the compiled programs for a validated run on this thread's default device.

    They are compiled at most once per process and device.
    """
    used = Hparams(*(None if value is None else 0.0 for value in config.hparams))  # type: ignore[arg-type]
    return _program(config.train, used, backend.current_device())


@functools.cache
def _program(config: TrainConfig, hparams: Hparams, device: Any) -> Program:
    return Program(config, hparams, device)


@functools.cache
def state_shape(config: TrainConfig) -> TrainState:
    """Shapes and types of the training state for these shapes of run, without computing."""
    env, example = make_env(config), _example(config)
    return jax.eval_shape(
        functools.partial(training.init, config, env),
        task_params(example, env),
        traced(example.hparams),
        np.uint32(0),
        jnp.zeros((), float),
    )


def _example(config: TrainConfig) -> RunConfig:
    """Some run of these shapes: all variants have the same types."""
    return RunConfig(TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=config).validated()


def _span(first_update: int, updates: int) -> Span:
    return Span(np.int32(first_update), np.int32(updates))
