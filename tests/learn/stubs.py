"""Environments that fit the trainer and have nothing but what a test asks about.

Each has `obs_dim`, `num_actions`, `reset` and `step` with auto-reset, as `pathb_jax.learn.rollout`
uses them, and parameters that `pathb_jax.envs.world.bank_axes` can split over environments.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from pathb_jax.envs.world import bank_axes


@struct.dataclass
class StubParams:
    """Per-environment data under the names that a bank splits; nothing where unbound."""

    start: Any = None
    goal: Any = None
    bound: bool = struct.field(pytree_node=False, default=False)


UNBOUND = StubParams()


class Stub:
    """What all of them have."""

    num_actions: ClassVar[int] = 2

    def bank_axes(self, params: Any) -> Any:
        return bank_axes(params)


@dataclass(frozen=True)
class Scripted(Stub):
    """Plays `params.start` `[K, 2]` (terminated, truncated per step) and pays `params.goal` `[K]`.

    The step's number is the only state, and never goes back. The observation after a step tells
    its number; the first of an episode and the last of one are told apart.
    """

    obs_dim: ClassVar[int] = 2

    def reset(self, key: jax.Array, params: Any) -> Any:
        return jnp.array([0.0, -1.0]), jnp.int32(0)

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> Any:
        terminated, truncated = params.start[state, 0], params.start[state, 1]
        reward = params.goal[state]
        state = state + 1
        number = 0.3 * state.astype(reward.dtype)
        obs = jnp.stack([number, jnp.where(terminated | truncated, -1.0, 0.0)])
        final = jnp.stack([number, 2.0 + 0.0 * number])
        return obs, state, reward, terminated, truncated, {"final_observation": final}


def scripted(flags: Any, rewards: Any) -> StubParams:
    """Return parameters of `Scripted` for flags `[N, K, 2]` and rewards `[N, K]`."""
    return StubParams(jnp.asarray(flags, bool), jnp.asarray(rewards, float), bound=True)


@dataclass(frozen=True)
class Walk(Stub):
    """A point pulled to (1, 1): a little of everything that learning sees.

    Episodes end after `length` steps, by the flag that `times_out` says.
    """

    length: int = 5
    times_out: bool = False
    obs_dim: ClassVar[int] = 3

    def reset(self, key: jax.Array, params: Any) -> Any:
        state = jnp.zeros(3)
        return state, state

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> Any:
        place = state[:2] + 0.2 * action
        moved = jnp.concatenate([place, state[2:] + 1.0])
        done = moved[2] >= self.length
        following = jnp.where(done, 0.0, moved)
        reward = -jnp.sum(jnp.square(place - 1.0))
        no = jnp.zeros_like(done)
        terminated, truncated = (no, done) if self.times_out else (done, no)
        return following, following, reward, terminated, truncated, {"final_observation": moved}


@dataclass(frozen=True)
class TurnsNaN(Stub):
    """Pays 1 a step until step `after` of every environment, then NaN; episodes last two steps."""

    after: int
    obs_dim: ClassVar[int] = 1

    def reset(self, key: jax.Array, params: Any) -> Any:
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> Any:
        state = state + 1
        reward = jnp.where(state > self.after, jnp.nan, 1.0)
        done = state % 2 == 0
        obs = (state % 2).astype(reward.dtype)[None]
        return obs, state, reward, done, jnp.zeros_like(done), {"final_observation": obs}


@struct.dataclass
class Tables:
    """A Markov process of `S` states; from a state that does not end goes the next one.

    Attributes:
        observation: `[S]`.
        reward: `[S]`, paid on leaving.
        terminated: `[S]`
        truncated: `[S]`
        starts: `[S]`, whether episodes begin here, all such alike.
        target: `[S]`, the action that costs nothing.
        cost: `[]`, of a unit of squared distance to the target.
    """

    observation: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    starts: jax.Array
    target: jax.Array
    cost: jax.Array


@dataclass(frozen=True)
class Probe(Stub):
    """A process with known optimal values, all of it data: `params.start` is its `Tables`."""

    obs_dim: ClassVar[int] = 1

    def _begin(self, key: jax.Array, tables: Tables) -> jax.Array:
        odds = jnp.where(tables.starts, 0.0, -jnp.inf)
        return jax.random.categorical(key, odds)

    def reset(self, key: jax.Array, params: Any) -> Any:
        state = self._begin(key, params.start)
        return params.start.observation[state][None], state

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> Any:
        tables = params.start
        gap = jnp.sum(jnp.square(action - tables.target[state]))
        reward = tables.reward[state] - tables.cost * gap
        terminated, truncated = tables.terminated[state], tables.truncated[state]
        following = jnp.where(terminated | truncated, self._begin(key, tables), state + 1)
        obs = tables.observation[following][None]
        final = tables.observation[state][None]
        return obs, following, reward, terminated, truncated, {"final_observation": final}


def probe(
    observation: list[float],
    reward: list[float],
    *,
    ends: list[bool],
    starts: list[bool],
    times_out: bool = False,
    target: tuple[float, float] = (0.0, 0.0),
    cost: float = 0.0,
) -> StubParams:
    """Return parameters of `Probe` for a process of two states."""
    ended = jnp.array(ends)
    return StubParams(
        Tables(
            observation=jnp.array(observation),
            reward=jnp.array(reward),
            terminated=ended & (not times_out),
            truncated=ended & times_out,
            starts=jnp.array(starts),
            target=jnp.array(target),
            cost=jnp.array(cost),
        )
    )
