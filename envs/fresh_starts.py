"""Starts and goals drawn with a JAX key, from the same distribution as the integer seeds'.

Source: docs/spec/environment.md, "Start of an episode".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pathb_jax.envs import fields, start_states

Attempt = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Number of the next attempt, whether the last was accepted, its start and goal."""


def draw_start(key: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a start and a goal `[2]` drawn with a JAX key from the integer seeds' distribution.

    Exact rejection sampling. If not `wanted` the result is a valid state that means nothing, and
    no random number is drawn, which makes a step that ends no episode cheap.
    """
    dtype = jnp.result_type(float)
    inner, outer = start_states.START_RADII

    def attempt(carry: Attempt) -> Attempt:
        number = carry[0]
        a, b, c, d = jax.random.uniform(jax.random.fold_in(key, number), (4,), dtype)
        start = _polar(jnp.sqrt(inner**2 + (outer**2 - inner**2) * a), b)
        goal = _polar(start_states.GOAL_RADIUS * jnp.sqrt(c), d)
        accepted = fields.distance(start, goal) > start_states.MIN_SEPARATION
        return number + 1, accepted, start, goal

    def unfinished(carry: Attempt) -> jax.Array:
        return ~carry[1] & (carry[0] < start_states.MAX_ATTEMPTS)

    origin = jnp.zeros((2,), dtype)
    first = (jnp.zeros((), jnp.int32), ~wanted, origin, origin)
    _, _, start, goal = jax.lax.while_loop(unfinished, attempt, first)
    return start, goal


def _polar(radius: jax.Array, turns: jax.Array) -> jax.Array:
    angle = 2.0 * jnp.pi * turns
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)])
