"""The compiled programs of one shape of run, shared by all its chunks, candidates and variants."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from envs.shadow_field import EnvParams
from pathb_jax.config import Hparams, RunConfig, TaskConfig, TrainConfig
from pathb_jax.learn import training
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.learn.training import Chunk, TrainState

_init = jax.jit(training.init, static_argnums=(0, 1))
_continue_from = jax.jit(training.continue_from, static_argnums=(0, 1))
_train_chunk = jax.jit(training.train_chunk, static_argnums=(0, 1), donate_argnums=2)


def traced(hparams: Hparams) -> Hparams:
    """Return the hyper-parameters as strong-typed scalars; `mixed_lambda` must be a number."""
    return jax.tree.map(lambda value: jnp.asarray(value, float), hparams)


class Program:
    """Compiled training for one `TrainConfig`.

    Training is compiled ahead of time: calling it with other shapes or types is an error, never
    a silent second compilation. `compile_seconds` says what that took.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.env = make_env(config)
        started = time.perf_counter()
        example = RunConfig(TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=config).validated()
        self._compiled = _train_chunk.lower(
            config,
            self.env,
            self.state_shape(),
            traced(example.hparams),
            task_params(example, self.env),
            jnp.zeros((), jnp.int32),
        ).compile()
        self.compile_seconds = time.perf_counter() - started

    def state_shape(self) -> TrainState:
        """Shapes and types of the training state: the template of a checkpoint."""
        return state_shape(self.config)

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
        self, state: TrainState, hparams: Hparams, env_params: EnvParams, updates: int
    ) -> tuple[TrainState, Chunk]:
        """Run up to `updates` updates (at most CHUNK_CAPACITY). `state` is donated."""
        if not 0 < updates <= training.CHUNK_CAPACITY:
            raise ValueError(f"updates: {updates}; give 1..{training.CHUNK_CAPACITY}")
        return self._compiled(state, hparams, env_params, np.int32(updates))


def state_shape(config: TrainConfig) -> TrainState:
    """Shapes and types of the training state for these shapes of run, without computing."""
    env = make_env(config)
    example = RunConfig(TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=config).validated()
    return jax.eval_shape(
        functools.partial(training.init, config, env),
        task_params(example, env),
        traced(example.hparams),
        np.uint32(0),
        jnp.zeros((), float),
    )


@functools.cache
def program(config: TrainConfig) -> Program:
    """Return the compiled programs for `config`, compiling them at most once per process."""
    return Program(config)
