"""Running mean and variance of observations.

Source: docs/spec/trainer.md, "Normalising observations"; the merge is Chan, Golub and
LeVeque (1979), equation 1.5, written as increments so that float32 keeps its precision when
the count is large.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class NormalizerState:
    """Statistics of all observations merged so far, per component: `[D]`, `[D]`, `[]`."""

    mean: jax.Array
    var: jax.Array
    count: jax.Array


def init_normalizer(obs_dim: int) -> NormalizerState:
    """Mean 0, variance 1, count 1e-4."""
    return NormalizerState(
        mean=jnp.zeros(obs_dim), var=jnp.ones(obs_dim), count=jnp.full((), 1e-4, dtype=float)
    )


def merge(state: NormalizerState, batch: jax.Array) -> NormalizerState:
    """Merge a batch of observations `[N, D]` (population variance) into the statistics."""
    chex.assert_rank(batch, 2)
    count = state.count + batch.shape[0]
    weight = batch.shape[0] / count
    delta = jnp.mean(batch, axis=0) - state.mean
    mean = state.mean + weight * delta
    var = state.var + weight * (
        jnp.var(batch, axis=0) - state.var + (1.0 - weight) * jnp.square(delta)
    )
    return NormalizerState(mean=mean, var=var, count=count)


def std(state: NormalizerState) -> jax.Array:
    """Standard deviation used for scaling: sqrt(max(var, 1e-8)), `[D]`."""
    return jnp.sqrt(jnp.maximum(state.var, 1e-8))


def normalize(state: NormalizerState, obs: jax.Array) -> jax.Array:
    """(obs - mean) / std, unclipped, for `[*B, D]`."""
    shape = (1,) * (obs.ndim - 1) + state.mean.shape
    return (obs - state.mean.reshape(shape)) / std(state).reshape(shape)
