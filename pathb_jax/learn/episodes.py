"""What is said of the episodes that end in a rollout, wherever they began.

Axes: `T` steps, `N` environments.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Ongoing:
    """The episodes under way, each `[N]`."""

    reward: jax.Array
    """Sum so far."""
    steps: jax.Array
    """int32, steps so far."""


class EpisodeMetrics(NamedTuple):
    """Means over the episodes that ended in a rollout, each `[]`; NaN where none ended."""

    episode_return: jax.Array
    """Sum of rewards, undiscounted."""
    episode_length: jax.Array
    """Steps."""
    episode_success: jax.Array
    """Share that was a success: the goal was held, or the return was high enough."""


def none_begun(num_envs: int) -> Ongoing:
    """Episodes of no steps, `[N]`."""
    return Ongoing(reward=jnp.zeros(num_envs), steps=jnp.zeros(num_envs, jnp.int32))


def ended(
    before: Ongoing, reward: jax.Array, success: jax.Array, done: jax.Array
) -> tuple[Ongoing, EpisodeMetrics]:
    """Add a rollout's steps to the episodes under way.

    Args:
        before: the episodes that were under way.
        reward: `[T, N]`
        success: `[T, N]` bool, an episode ended and was one.
        done: `[T, N]` bool, an episode ended.

    Returns:
        The episodes under way afterwards, and what is said of those that ended.
    """
    chex.assert_equal_shape([reward, success, done])
    step = jnp.arange(len(done), dtype=jnp.int32)[:, None]
    last_end = jnp.max(jnp.where(done, step, -1), axis=0)
    inside, carried = step <= last_end[None], last_end >= 0
    count = jnp.sum(done)
    after = Ongoing(
        reward=jnp.where(carried, 0, before.reward) + jnp.sum(jnp.where(inside, 0, reward), axis=0),
        steps=jnp.where(carried, 0, before.steps) + (len(done) - 1 - last_end),
    )
    rewards = jnp.sum(jnp.where(inside, reward, 0)) + jnp.sum(jnp.where(carried, before.reward, 0))
    steps = jnp.sum(inside) + jnp.sum(jnp.where(carried, before.steps, 0))

    def mean(total: jax.Array) -> jax.Array:
        some = total.astype(reward.dtype) / jnp.maximum(count, 1).astype(reward.dtype)
        return jnp.where(count > 0, some, jnp.nan)

    return after, EpisodeMetrics(mean(rewards), mean(steps), mean(jnp.sum(success)))
