"""Generalised advantage estimation.

Source: Schulman et al. (2016), "High-Dimensional Continuous Control Using Generalized Advantage
Estimation", equation 16; docs/spec/trainer.md, "Rollout and advantages".
"""

import chex
import jax
import jax.numpy as jnp


def next_state_values(values: jax.Array, last_value: jax.Array, done: jax.Array) -> jax.Array:
    """V(next) as the one-step error uses it: 0 after any end of episode.

    Args:
        values: values of the rollout's observations, `[T, N]`.
        last_value: value of the observation after the last step, `[N]`.
        done: whether the step ended its episode, `[T, N]`.

    Returns:
        `[T, N]`.

    Example:
        >>> values, done = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[False], [True], [False]])
        >>> next_state_values(values, jnp.array([4.0]), done)[:, 0].tolist()
        [2.0, 0.0, 4.0]
    """
    following = jnp.concatenate([values[1:], last_value[None]])
    return jnp.where(done, 0.0, following)


def gae(
    rewards: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
    done: jax.Array,
    gamma: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> jax.Array:
    """A_t = delta_t + gamma lambda (1 - done_t) A_{t+1}, delta_t = r_t + gamma V'_t - V_t.

    Args:
        rewards: `[T, N]`.
        values: V of the observation acted on, `[T, N]`.
        next_values: V' as `next_state_values` gives it, `[T, N]`.
        done: whether the step ended its episode, `[T, N]`.
        gamma: discount per step.
        gae_lambda: decay of the estimator.

    Returns:
        Advantages, `[T, N]`.

    Example:
        One environment, three steps, no values: with lambda 1 it is the discounted return.

        >>> column = lambda *numbers: jnp.array(numbers)[:, None]
        >>> zeros, never = jnp.zeros((3, 1)), jnp.zeros((3, 1), bool)
        >>> gae(column(1.0, 1.0, 4.0), zeros, zeros, never, 0.5, 1.0)[:, 0].tolist()
        [2.5, 3.0, 4.0]
        >>> ends = column(True, False, False)  # what follows an end of episode does not count
        >>> gae(column(1.0, 1.0, 4.0), zeros, zeros, ends, 0.5, 1.0)[:, 0].tolist()
        [1.0, 3.0, 4.0]
    """
    chex.assert_rank(rewards, 2)
    chex.assert_equal_shape([rewards, values, next_values, done])
    delta = rewards + gamma * next_values - values
    decay = gamma * gae_lambda * (1.0 - done.astype(rewards.dtype))

    def backwards(
        following: jax.Array, step: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        delta_t, decay_t = step
        advantage = delta_t + decay_t * following
        return advantage, advantage

    last = jnp.zeros_like(delta[0])
    return jax.lax.scan(backwards, last, (delta, decay), reverse=True, unroll=8)[1]
