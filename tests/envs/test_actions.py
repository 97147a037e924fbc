"""Actions of any length: scaled to the limit with their direction, without touching other bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathb_jax.envs.dynamics import limit_action
from pathb_jax.envs.shadow_field import MesaShadowField, bind

ENV = MesaShadowField()
KEY = jax.random.key(0)
HUGEST = float(np.finfo(np.float32).max)


@jax.jit
def limited(actions, limit):
    return jax.vmap(limit_action, in_axes=(0, None))(actions, limit)


@jax.jit
def limited_by_squares(actions, limit):
    """The specification's sentence as it stands: right as long as no square overflows."""

    def one(action):
        norm = jnp.sqrt(action[0] * action[0] + action[1] * action[1])
        return action * jnp.where(norm > limit, limit / norm, 1.0), norm

    return jax.vmap(one)(actions)


@pytest.mark.parametrize("limit", [1.0, 0.3])
def test_ordinary_actions_keep_every_bit(limit):
    random = np.random.default_rng(0)
    directions = random.normal(size=(200_000, 2))
    sizes = 10.0 ** random.uniform(-30, 9, (200_000, 1))
    clipped = np.clip(random.normal(size=(200_000, 2)), -1, 1)  # as the trainer's are
    special = [[0, 0], [1, 0], [0, -1], [1, 1], [-0.0, 0.0], [0.6, 0.8], [1e-45, 0]]
    actions = np.concatenate([directions * sizes, clipped, special]).astype(np.float32)
    for new, old in zip(limited(actions, limit), limited_by_squares(actions, limit), strict=True):
        assert np.asarray(new).tobytes() == np.asarray(old).tobytes()


@pytest.mark.parametrize("size", [1e10, 2e19, 1e30, HUGEST / 2, HUGEST])
@pytest.mark.parametrize("direction", [(1, 0), (0, -1), (-1, 1), (0.6, 0.8), (1, 1e-3)])
def test_huge_actions_are_scaled_to_the_limit(size, direction):
    action = np.asarray(direction, np.float32) * np.float32(size)
    (applied,), (norm,) = limited(action[None], 1.0)
    exact = action.astype(float) / np.hypot(*action.astype(float))
    np.testing.assert_allclose(applied, exact, rtol=0, atol=2e-7)
    assert norm >= 0.99


def test_a_huge_action_moves_the_point_and_counts_as_saturated():
    params = bind(ENV.default_params, (0.0, 0.0), (3.0, 0.0))
    state = ENV.start_state(KEY, params)
    moved, outcome = ENV.transition(KEY, state, jnp.asarray([2e19, 0.0]), params)
    np.testing.assert_allclose(outcome.applied_action, [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(moved.position, [0.05, 0.0], atol=1e-7)
    assert int(moved.saturation_count) == 1


def test_a_huge_limit_leaves_a_shorter_action_alone():
    (applied,), _ = limited(np.asarray([[3e11, 4e11]], np.float32), 1e12)
    np.testing.assert_allclose(applied, [3e11, 4e11], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_an_action_that_is_not_finite_has_no_direction(bad):
    params = bind(ENV.default_params, (0.0, 0.0), (3.0, 0.0))
    state = ENV.start_state(KEY, params)
    moved, outcome = ENV.transition(KEY, state, jnp.asarray([bad, 0.5]), params)
    assert np.isnan(outcome.applied_action[0])
    assert np.isnan(moved.position[0])
