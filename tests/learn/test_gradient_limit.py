"""The limit on the gradient's norm."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from pathb_jax.learn import update


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.4, 0.6, 50.0])
def test_the_norm_is_limited_as_optax_does(size):
    """Equal to optax.clip_by_global_norm within rounding, zero gradients included."""
    direction = {"a": jnp.array([3.0, -4.0]), "b": jnp.full((2, 3), 2.0)}
    grads = jax.tree.map(lambda x: size * x / optax.tree.norm(direction), direction)
    ours, theirs = update.limit_norm(0.5), optax.clip_by_global_norm(0.5)
    found, _ = ours.update(grads, ours.init(grads))
    expected, _ = theirs.update(grads, theirs.init(grads))
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
