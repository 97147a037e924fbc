"""Environments that fit the trainer and have nothing but what a test asks about.

Each has `obs_dim`, `reset` and `step` with auto-reset, as `pathb_jax.learn.rollout` uses them,
and parameters that `envs.world.bank_axes` can split over environments.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class StubParams:
    """Per-environment data under the names that a bank splits; nothing where unbound."""

    start: Any = None
    goal: Any = None
    bound: bool = struct.field(pytree_node=False, default=False)


UNBOUND = StubParams()


@struct.dataclass
class Ends:
    """How a stub's step ends: what is seen before an auto-reset, and the two flags."""

    final_obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array


@dataclass(frozen=True)
class Scripted:
    """Plays `params.start` `[K, 2]` (terminated, truncated per step) and pays `params.goal` `[K]`.

    The step's number is the only state, and never goes back. The observation after a step tells
    its number; the first of an episode and the last of one are told apart.
    """

    obs_dim: ClassVar[int] = 2

    def reset(self, key, params):
        return jnp.array([0.0, -1.0]), jnp.int32(0)

    def step(self, key, state, action, params):
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
class Walk:
    """A point pulled to (1, 1): a little of everything that learning sees.

    Episodes end after `length` steps, by the flag that `times_out` says.
    """

    length: int = 5
    times_out: bool = False
    obs_dim: ClassVar[int] = 3

    def reset(self, key, params):
        state = jnp.zeros(3)
        return state, state

    def step(self, key, state, action, params):
        place = state[:2] + 0.2 * action
        moved = jnp.concatenate([place, state[2:] + 1.0])
        done = moved[2] >= self.length
        following = jnp.where(done, 0.0, moved)
        reward = -jnp.sum(jnp.square(place - 1.0))
        no = jnp.zeros_like(done)
        terminated, truncated = (no, done) if self.times_out else (done, no)
        return following, following, reward, terminated, truncated, {"final_observation": moved}


@dataclass(frozen=True)
class TurnsNaN:
    """Pays 1 a step until step `after` of every environment, then NaN; episodes last two steps."""

    after: int
    obs_dim: ClassVar[int] = 1

    def reset(self, key, params):
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key, state, action, params):
        state = state + 1
        reward = jnp.where(state > self.after, jnp.nan, 1.0)
        done = state % 2 == 0
        obs = (state % 2).astype(reward.dtype)[None]
        return obs, state, reward, done, jnp.zeros_like(done), {"final_observation": obs}


# ------------------------------------------------------- probes with known optimal values


@dataclass(frozen=True)
class OneStep:
    """One step, pays 1: V = 1."""

    obs_dim: ClassVar[int] = 1

    def reset(self, key, params):
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key, state, action, params):
        yes = jnp.bool_(True)
        obs = jnp.zeros(1)
        return obs, state, jnp.float32(1.0), yes, ~yes, {"final_observation": obs}


@dataclass(frozen=True)
class TwoSteps:
    """Observes 0 then 1, pays 0 then 1: V(1) = 1, V(0) = gamma."""

    obs_dim: ClassVar[int] = 1

    def reset(self, key, params):
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key, state, action, params):
        second = state == 1
        following = 1 - state
        obs = following.astype(jnp.float32)[None]
        reward = second.astype(jnp.float32)
        return obs, following, reward, second, ~second & second, {"final_observation": obs}


@dataclass(frozen=True)
class Signs:
    """Observes a random sign s. One step; pays s, or with `target` -|action - target s|^2.

    V(s) = s. With a target the best action is target * s.
    """

    target: float | None = None
    obs_dim: ClassVar[int] = 1

    def reset(self, key, params):
        sign = jax.random.rademacher(key, (1,), jnp.float32)
        return sign, sign

    def step(self, key, state, action, params):
        reward = state[0]
        if self.target is not None:
            reward = -jnp.sum(jnp.square(action - self.target * state))
        yes = jnp.bool_(True)
        sign = jax.random.rademacher(key, (1,), jnp.float32)
        return sign, sign, reward, yes, ~yes, {"final_observation": state}


@dataclass(frozen=True)
class Endless:
    """Pays 1 a step and is timed out at every step: V = 1 / (1 - gamma), or 1 as pinned."""

    obs_dim: ClassVar[int] = 1

    def reset(self, key, params):
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key, state, action, params):
        yes = jnp.bool_(True)
        obs = jnp.zeros(1)
        return obs, state, jnp.float32(1.0), ~yes, yes, {"final_observation": obs}
