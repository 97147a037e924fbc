"""The compiled programs of one shape of run, shared by all its chunks, candidates and variants."""

import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import RunConfig, TaskConfig, TrainConfig
from pathb_jax.config_checks import validated
from pathb_jax.learn import training
from pathb_jax.learn.hparams import TracedHparams, options, traced
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.learn.training import Chunk, Span, TrainState
from pathb_jax.system import backend

_JAX_NAMES = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
"""JAX's names of `TrainConfig.matmul_precision`."""

_init = jax.jit(training.init, static_argnums=(0, 1))
_continue_from = jax.jit(training.continue_from, static_argnums=(0, 1))
train_chunk = jax.jit(training.train_chunk, static_argnums=(0, 1), donate_argnums=2)


def chunk_arguments(config: TrainConfig, options: TracedHparams) -> tuple[Any, ...]:
    """Return what `train_chunk` is lowered with for runs of these shapes: the state is abstract.

    Args:
        config: shapes of the run.
        options: which options are on, as `hparams.options` says.
    """
    env = make_env(config)
    params = task_params(_example(config), env)
    shape = state_shape(config)
    zeros = jax.tree.map(lambda _: jnp.zeros((), float), options)
    return config, env, shape, zeros, params, _span(0, 0), np.int32(0)


class Program:
    """Compiled training for one `TrainConfig` and one choice of options.

    Training is compiled ahead of time: calling it with other shapes or types is an error, never
    a silent second compilation. `compile_seconds` says what that took.

    Args:
        config: shapes of the run.
        options: which options are on, as `hparams.options` says.
        device: where it runs.
    """

    def __init__(self, config: TrainConfig, options: TracedHparams, device: Any) -> None:
        self.config = config
        self.env = make_env(config)
        started = time.perf_counter()
        with jax.default_device(device):
            self.compiled = lower(config, options).compile(backend.compiler_options())
        self.compile_seconds = time.perf_counter() - started

    def init(self, config: RunConfig, env_params: Any) -> TrainState:
        """Fresh state of a run."""
        return _init(
            self.config,
            self.env,
            env_params,
            traced(config),
            np.uint32(config.schedule.seed),
            jnp.asarray(config.schedule.log_std_init, float),
        )

    def continue_from(self, config: RunConfig, env_params: Any, loaded: TrainState) -> TrainState:
        """State of a new run that starts from an old one's parameters and statistics."""
        return _continue_from(
            self.config,
            self.env,
            env_params,
            traced(config),
            np.uint32(config.schedule.seed),
            loaded,
            config.output.reset_optimizer,
        )

    def train(
        self,
        state: TrainState,
        hparams: TracedHparams,
        env_params: Any,
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


def lower(config: TrainConfig, options: TracedHparams) -> Any:
    """Lower the training chunk with the products' precision that the configuration asks for."""
    with jax.default_matmul_precision(_JAX_NAMES[config.matmul_precision]):
        return train_chunk.lower(*chunk_arguments(config, options))


class Together:
    """Compiled training of several runs as one program, vmapped over them.

    A batched matrix product rounds differently from one alone, so that a run's bits are not those
    of the run alone.

    Args:
        config: shapes of all runs.
        options: as for `Program`.
        runs: how many.
        device: where they run.
    """

    def __init__(self, config: TrainConfig, options: TracedHparams, runs: int, device: Any) -> None:
        self.runs = runs
        env = make_env(config)
        chunk = functools.partial(training.train_chunk, config, env)
        _, _, *arguments = chunk_arguments(config, options)
        stacked = jax.tree.map(lambda x: jnp.stack([jnp.zeros(x.shape, x.dtype)] * runs), arguments)
        started = time.perf_counter()
        precision = jax.default_matmul_precision(_JAX_NAMES[config.matmul_precision])
        with precision, jax.default_device(device):
            lowered = jax.jit(jax.vmap(chunk), donate_argnums=0).lower(*stacked)
            self._compiled = lowered.compile(backend.compiler_options())
        self.compile_seconds = time.perf_counter() - started

    def train(
        self,
        states: Sequence[TrainState],
        hparams: Sequence[TracedHparams],
        env_params: Sequence[Any],
        updates: Sequence[int],
        spans: Sequence[tuple[int, int]],
    ) -> tuple[list[TrainState], list[Chunk]]:
        """Run `updates[k]` updates (none is fine) of each run, as `Program.train` does of one."""
        given = [
            stack_trees(states),
            stack_trees(hparams),
            stack_trees(env_params),
            stack_trees([_span(*span) for span in spans]),
            np.asarray(updates, np.int32),
        ]
        state, chunk = self._compiled(*given)
        return unstack_tree(state, self.runs), unstack_tree(chunk, self.runs)


def stack_trees(trees: Sequence[Any]) -> Any:
    """Stack trees of the same structure along a new axis 0."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack_tree(tree: Any, count: int) -> list[Any]:
    """Return the `count` trees that `stack_trees` stacked."""
    return [jax.tree.map(lambda x, k=k: x[k], tree) for k in range(count)]


def program(config: RunConfig) -> Program:
    """Return the compiled programs for a validated run on this thread's default device.

    They are compiled at most once per process and device.
    """
    return _program(config.train, options(config), backend.current_device())


def together(config: RunConfig, runs: int) -> Together:
    """Return the compiled program for so many runs like this one, as `program` does for one."""
    return _together(config.train, options(config), runs, backend.current_device())


@functools.cache
def _program(config: TrainConfig, options: TracedHparams, device: Any) -> Program:
    return Program(config, options, device)


@functools.cache
def _together(config: TrainConfig, options: TracedHparams, runs: int, device: Any) -> Together:
    return Together(config, options, runs, device)


@functools.cache
def state_shape(config: TrainConfig) -> TrainState:
    """Shapes and types of the training state for these shapes of run, without computing."""
    env, example = make_env(config), _example(config)
    return jax.eval_shape(
        functools.partial(training.init, config, env),
        task_params(example, env),
        traced(example),
        np.uint32(0),
        jnp.zeros((), float),
    )


def _example(config: TrainConfig) -> RunConfig:
    """Some run of these shapes: all variants have the same types."""
    task = TaskConfig("mixed_ppo_phase3_lambda_0_9")
    if config.env is not None:
        task = TaskConfig(success_return=0.0)
    return validated(RunConfig(task, train=config))


def _span(first_update: int, updates: int) -> Span:
    return Span(np.int32(first_update), np.int32(updates))
