"""The evaluator: all episodes of up to SET_CAPACITY seed sets in one compiled call.

Axes: `S` seed sets, `K` seeds per set. An episode is played once, without auto-reset; the loop
ends when the last one has ended.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import TIERS, TrainConfig
from pathb_jax.envs.controllers import Controller
from pathb_jax.envs.interventions import Probe, apply_probe
from pathb_jax.envs.shadow_field import EnvParams, EpisodeMetrics, MesaShadowField
from pathb_jax.envs.worlds import World
from pathb_jax.evaluation.policies import Actor, MeanPolicy, policy_data
from pathb_jax.learn import networks
from pathb_jax.learn.normalizer import NormalizerState
from pathb_jax.store.measures import ALIGNMENT, RETURN

SET_CAPACITY = 8
"""Seed sets one call takes. Fewer fill its first rows, so that the same program serves all."""

_EVALUATION_STREAM = 0xE7A10000
"""Folded into an episode's key; no training update ever reaches this index."""


class SetResult(NamedTuple):
    """The episodes of one seed set."""

    seed_start: int
    episodes: Any
    """NumPy leaves `[K]`: `EpisodeMetrics`, or `OwnMetrics` of another environment."""

    @property
    def seeds(self) -> int:
        """Number of episodes."""
        return len(self.episodes.success)

    @property
    def success_count(self) -> int:
        """Episodes that ended as a success."""
        return int(np.sum(self.episodes.success))

    @property
    def success_rate(self) -> float:
        """Successes over seeds."""
        return self.success_count / self.seeds

    @property
    def mean_terminal_alignment(self) -> float:
        """Mean signature at the last position."""
        return float(np.mean(self.episodes.terminal_alignment, dtype=np.float64))

    @property
    def mean_return(self) -> float:
        """Mean sum of rewards; the shadow field's episodes do not tell it."""
        return float(np.mean(self.episodes.episode_return, dtype=np.float64))

    @property
    def means(self) -> dict[str, float]:
        """What is told of the set beside its seeds and successes."""
        names = ALIGNMENT if hasattr(self.episodes, "terminal_alignment") else RETURN
        return {name: getattr(self, name) for name in names.means}

    @property
    def mean_steps(self) -> float:
        """Mean episode length; a time-out counts as the horizon."""
        return float(np.mean(self.episodes.steps, dtype=np.float64))


Episodes = tuple[Any, Any, jax.Array]
"""Environment states, controller states and which episodes have ended, leading axis N."""


def play(env: World, controller: Controller, env_params: Any, keys: jax.Array) -> Any:
    """Play one episode per environment to its end.

    Args:
        env: the environment (static).
        controller: acts on one observation `[D]`; vmapped here.
        env_params: bound parameters, a bank of N.
        keys: one key per episode, `[N]`; used by noisy sensors and dynamics, and by environments
            that draw themselves.

    Returns:
        Metrics, leaves `[N]`.
    """
    axes = env.bank_axes(env_params)
    episodes, advance = _begin(env, controller, env_params, keys, axes)
    env_state, _, _ = jax.lax.while_loop(
        lambda e: ~jnp.all(e[2]), lambda e: advance(e)[0], episodes
    )
    return jax.vmap(env.episode_metrics, in_axes=(0, axes))(env_state, env_params)


class Recording(NamedTuple):
    """Whole episodes, step by step; T is the number of steps recorded."""

    positions: jax.Array
    """`[N, T + 1, 2]`, from the start on, resting where an episode ended."""
    goals: jax.Array
    """`[N, T + 1, 2]`, likewise."""
    actions: jax.Array
    """`[N, T, 2]` as applied; 0 after the end."""
    metrics: EpisodeMetrics
    """Leaves `[N]`."""


def record_episodes(
    env: MesaShadowField,
    controller: Controller,
    env_params: EnvParams,
    keys: jax.Array,
    horizon: int,
    axes: EnvParams | None = None,
) -> Recording:
    """Play as `play` does, and keep where every episode was and what was done.

    Args:
        env: the environment (static).
        controller: as in `play`.
        env_params: as in `play`.
        keys: as in `play`.
        horizon: T, the steps to record (static); at least the episodes' own.
        axes: vmap's `in_axes` for `env_params`, where more of them than start and goal differ
            from episode to episode.
    """
    axes = env.bank_axes(env_params) if axes is None else axes
    episodes, advance = _begin(env, controller, env_params, keys, axes)

    def step(episodes: Episodes, _: None) -> tuple[Episodes, tuple[jax.Array, ...]]:
        following, action = advance(episodes)
        return following, (following[0].position, following[0].goal, action)

    first = episodes[0]
    (env_state, _, _), (positions, goals, actions) = jax.lax.scan(
        step, episodes, None, length=horizon
    )
    paths, goals = (
        jnp.swapaxes(jnp.concatenate([start[None], rest]), 0, 1)
        for start, rest in ((first.position, positions), (first.goal, goals))
    )
    metrics = jax.vmap(env.episode_metrics, in_axes=(0, axes))(env_state, env_params)
    return Recording(paths, goals, jnp.swapaxes(actions, 0, 1), metrics)


def _begin(
    env: World,
    controller: Controller,
    env_params: Any,
    keys: jax.Array,
    axes: Any,
) -> tuple[Episodes, Callable[[Episodes], tuple[Episodes, jax.Array]]]:
    """Return the episodes at their start, and the function that takes all of them a step on.

    That function also returns the actions `[N, A]` as applied, 0 where an episode had ended.
    """
    if isinstance(env_params, EnvParams):
        chex.assert_shape(env_params.start, (keys.shape[0], 2))

    def begin(key: jax.Array, params: Any) -> tuple[Any, Any]:
        return env.start_state(key, params), controller.init()

    def step(
        key: jax.Array, env_state: Any, control: Any, ended: jax.Array, params: Any
    ) -> tuple[Episodes, jax.Array]:
        sense_key, move_key = jax.random.split(jax.random.fold_in(key, env_state.time))
        reading = env.sense(sense_key, env_state, params)
        new_control, action = controller.act(
            control, reading.observation, reading.samples, env_state.time
        )
        new_state, outcome = env.transition(move_key, env_state, action, params)
        keep = functools.partial(jnp.where, ended)
        following = (
            jax.tree.map(keep, env_state, new_state),
            jax.tree.map(keep, control, new_control),
            ended | outcome.terminated | outcome.truncated,
        )
        return following, jnp.where(ended, 0, outcome.applied_action)

    def advance(episodes: Episodes) -> tuple[Episodes, jax.Array]:
        env_state, control, ended = episodes
        step_all = jax.vmap(step, in_axes=(0, 0, 0, 0, axes))
        return step_all(keys, env_state, control, ended, env_params)

    env_state, control = jax.vmap(begin, in_axes=(0, axes))(keys, env_params)
    return (env_state, control, jnp.zeros(keys.shape, bool)), advance


@functools.partial(jax.jit, static_argnums=(0, 1))
def _play_sets(
    env: World,
    actor: Actor,
    data: Any,
    env_params: Any,
    seeds: jax.Array,
    sets: jax.Array,
) -> Any:
    """Play seeds `[SET_CAPACITY, K]` (uint32) with the bank of their starts.

    The episodes of a set are played side by side, the first `sets` sets one after another: a
    matrix product over more rows rounds differently, and this way a set's figures are the same
    bits whichever other sets are in the pass. Returns metrics `[SET_CAPACITY, K]`.
    """
    controller = actor.controller(env, env_params, data)

    def play_set(index: jax.Array) -> Any:
        bank = env.take(env_params, index)
        return play(env, controller, bank, episode_keys(seeds[index]))

    def fill(index: jax.Array, table: Any) -> Any:
        return jax.tree.map(lambda rows, x: rows.at[index].set(x), table, play_set(index))

    shapes = jax.eval_shape(play_set, jnp.zeros((), jnp.int32))
    table = jax.tree.map(lambda x: jnp.zeros((seeds.shape[0], *x.shape), x.dtype), shapes)
    return jax.lax.fori_loop(0, sets, fill, table)


def episode_keys(seeds: jax.Array) -> jax.Array:
    """Keys of evaluation episodes, a function of their seeds `[K]` alone."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), _EVALUATION_STREAM))(
        seeds
    )


def evaluate(
    env: World,
    actor: Actor,
    data: Any,
    env_params: Any,
    seed_starts: Sequence[int],
    seeds_per_set: int,
    probe: Probe | None = None,
) -> list[SetResult]:
    """Play every seed of every set.

    Args:
        env: the environment.
        actor: what acts.
        data: its numbers.
        env_params: parameters; whatever start they hold is replaced by the seeds' starts.
        seed_starts: first seed of each set.
        seeds_per_set: episodes per set.
        probe: applied to every start, or None.

    Returns:
        One result per set, in the order given.
    """
    results = []
    for first in range(0, len(seed_starts), SET_CAPACITY):
        group = np.asarray(seed_starts[first : first + SET_CAPACITY], np.int64)
        padded = np.pad(group, (0, SET_CAPACITY - len(group)), mode="edge")
        seeds = padded[:, None] + np.arange(seeds_per_set)
        bank: Any = env.at_seeds(env_params, seeds)
        if probe is not None:
            bank = apply_probe(bank, probe)
        metrics = jax.device_get(
            _play_sets(env, actor, data, bank, seeds.astype(np.uint32), np.int32(len(group)))
        )
        results += [
            SetResult(int(start), jax.tree.map(lambda x, row=row: x[row], metrics))
            for row, start in enumerate(group)
        ]
    return results


def evaluate_policy(
    config: TrainConfig,
    env: World,
    env_params: Any,
    params: networks.Params,
    statistics: NormalizerState,
    seed_starts: Sequence[int],
    seeds_per_set: int,
) -> list[SetResult]:
    """Play every seed of every set with the mean of a policy in training, as `evaluate` does.

    `statistics` are the normaliser's at the same moment as `params`.
    """
    actor, data = MeanPolicy(TIERS[config.tier]), policy_data(params, statistics)
    return evaluate(env, actor, data, env_params, seed_starts, seeds_per_set)
