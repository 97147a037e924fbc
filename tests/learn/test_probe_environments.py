"""Environments whose optimal values and actions are known: the trainer finds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learn_setup import TINY_TIERS, on_stub
from stubs import UNBOUND, Endless, OneStep, Signs, TwoSteps

from pathb_jax.learn import networks, normalizer

SHAPES = {"tier": "2x8", "batch_envs": 16, "rollout_length": 16, "minibatch_size": 64}
UPDATES = 120
TOLERANCE = 0.03


def trained(env, updates=UPDATES, **flags):
    """Return value and mean action as functions of raw observations, after training."""
    setup = on_stub(env, UNBOUND, **{**SHAPES, "lr": 3e-3, "entropy_coef": 0.0, **flags})
    state, chunk = setup.chunk(setup.init(seed=1), updates)
    assert (chunk.updates, chunk.finite) == (updates, True)
    size = TINY_TIERS[SHAPES["tier"]]

    def seen(obs):
        column = jnp.asarray(obs, jnp.float32)[:, None]
        return normalizer.normalize(jax.device_get(state.normalizer), column)

    return (
        lambda *obs: np.asarray(networks.critic_value(state.params, size, seen(obs))),
        lambda *obs: np.asarray(networks.actor_mean(state.params, size, seen(obs))),
    )


def test_one_step():
    value, _ = trained(OneStep())
    np.testing.assert_allclose(value(0.0), [1.0], atol=TOLERANCE)


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_two_steps_with_discount(gamma):
    value, _ = trained(TwoSteps(), gamma=gamma)
    np.testing.assert_allclose(value(0.0, 1.0), [gamma, 1.0], atol=TOLERANCE)


def test_a_value_that_depends_on_the_observation():
    value, _ = trained(Signs())
    np.testing.assert_allclose(value(-1.0, 1.0), [-1.0, 1.0], atol=TOLERANCE)


def test_an_action_that_depends_on_the_observation():
    _, mean = trained(Signs(target=0.6), updates=200)
    expected = [[-0.6, -0.6], [0.6, 0.6]]
    np.testing.assert_allclose(mean(-1.0, 1.0), expected, atol=0.1)


@pytest.mark.parametrize(("truncation", "expected"), [("terminal", 1.0), ("bootstrap", 2.0)])
def test_a_time_out_is_worth_nothing_or_what_would_have_followed(truncation, expected):
    value, _ = trained(Endless(), gamma=0.5, truncation=truncation)
    np.testing.assert_allclose(value(0.0), [expected], atol=TOLERANCE)
