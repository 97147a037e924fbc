"""One rollout: N environments stepped T times under the current policy.

Source: docs/spec/trainer.md, "Acting", "Normalising observations", "Rollout and
advantages". Axes: `T` steps, `N` environments, `D` observation entries, `A` action entries.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from pathb_jax.config import NetworkSize
from pathb_jax.envs.worlds import World
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.normalizer import NormalizerState


@struct.dataclass
class Rollout:
    """What the update needs of a rollout; observations are normalised as they were acted on."""

    obs: jax.Array
    """`[T, N, D]`"""
    raw_action: jax.Array
    """`[T, N, A]`, before any clipping."""
    log_prob: jax.Array
    """`[T, N]`, of the raw action."""
    reward: jax.Array
    """`[T, N]`"""
    done: jax.Array
    """`[T, N]`, terminated or truncated."""
    success: jax.Array
    """`[T, N]`, an episode ended and was one."""
    final_obs: jax.Array | None
    """`[T, N, D]`, observation before an auto-reset; None unless time-outs bootstrap."""
    timed_out: jax.Array | None
    """`[T, N]`, truncated and not terminated; None likewise."""


def reset_bank(env: World, env_params: Any, key: jax.Array, num_envs: int) -> tuple[jax.Array, Any]:
    """Reset all environments of a bank: observations `[N, D]` and states."""
    keys = jax.random.split(key, num_envs)
    return jax.vmap(env.reset, in_axes=(0, env.bank_axes(env_params)))(keys, env_params)


def collect(
    env: World,
    env_params: Any,
    params: networks.Params,
    size: NetworkSize,
    carry: tuple[Any, jax.Array, NormalizerState],
    key: jax.Array,
    rollout_length: int,
    bootstrap: bool = False,
) -> tuple[tuple[Any, jax.Array, NormalizerState], Rollout]:
    """Act for `rollout_length` steps.

    Args:
        env: the environment (static).
        env_params: its parameters, a bank of N where starts are fixed.
        params: networks.
        size: their size.
        carry: environment states, raw observations `[N, D]` to act on (already merged into
            the statistics), and those statistics.
        key: key of this update's rollout.
        rollout_length: `T`.
        bootstrap: whether to keep what a bootstrap over time-outs needs.

    Returns:
        The carry after the last step, and the rollout.
    """
    num_envs = carry[1].shape[0]
    noise_key, env_key = jax.random.split(key)
    std = jnp.exp(params["log_std"])
    noise = jax.random.normal(noise_key, (rollout_length, num_envs, *std.shape), std.dtype)
    step_env = jax.vmap(env.step, in_axes=(0, 0, 0, env.bank_axes(env_params)))

    def act(carry: Any, xs: Any) -> tuple[Any, Rollout]:
        env_state, obs, statistics = carry
        noise_t, step = xs
        normalized = normalizer.normalize(statistics, obs)
        mean = networks.actor_mean(params, size, normalized)
        raw_action = mean + std[None] * noise_t
        # Removed by XLA where the environment draws nothing.
        keys = jax.random.split(jax.random.fold_in(env_key, step), num_envs)
        obs, env_state, reward, terminated, truncated, info = step_env(
            keys, env_state, jnp.clip(raw_action, -1.0, 1.0), env_params
        )
        statistics = normalizer.merge(statistics, obs)
        transition = Rollout(
            obs=normalized,
            raw_action=raw_action,
            log_prob=networks.gaussian_log_prob(raw_action, mean, params["log_std"]),
            reward=reward,
            done=terminated | truncated,
            # Of the shadow field an episode is terminated by success alone.
            success=info.get("success", terminated),
            final_obs=normalizer.normalize(statistics, info["final_observation"])
            if bootstrap
            else None,
            timed_out=truncated & ~terminated if bootstrap else None,
        )
        return (env_state, obs, statistics), transition

    return jax.lax.scan(act, carry, (noise, jnp.arange(rollout_length)), unroll=4)
