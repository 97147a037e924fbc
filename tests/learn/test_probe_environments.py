"""Environments whose optimal values and actions are known: the trainer finds them.

The idea is rejax's. All are processes of two states given as data, so that they share a program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learn_setup import TINY_TIERS, on_stub
from stubs import Probe, probe

from pathb_jax.learn import networks, normalizer

SHAPES = {"tier": "2x8", "batch_envs": 16, "rollout_length": 16, "minibatch_size": 64, "epochs": 4}
TOLERANCE = 0.03

ONE_STEP = probe([0.0, 0.0], [1.0, 1.0], ends=[True, True], starts=[True, False])
TWO_STEPS = probe([0.0, 1.0], [0.0, 1.0], ends=[False, True], starts=[True, False])
SIGNS = {"observation": [-1.0, 1.0], "ends": [True, True], "starts": [True, True]}
DEPENDENT = probe(reward=[-1.0, 1.0], **SIGNS)
STEERED = probe(reward=[0.0, 0.0], target=(-0.6, 0.6), cost=1.0, **SIGNS)
ENDLESS = probe([0.0, 0.0], [1.0, 1.0], ends=[True, True], starts=[True, False], times_out=True)


def trained(env_params, updates=120, **flags):
    """Return value and mean action as functions of raw observations, after training."""
    setup = on_stub(Probe(), env_params, **{**SHAPES, "lr": 3e-3, "entropy_coef": 0.0, **flags})
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
    value, _ = trained(ONE_STEP)
    np.testing.assert_allclose(value(0.0), [1.0], atol=TOLERANCE)


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_two_steps_with_discount(gamma):
    value, _ = trained(TWO_STEPS, gamma=gamma)
    np.testing.assert_allclose(value(0.0, 1.0), [gamma, 1.0], atol=TOLERANCE)


def test_a_value_that_depends_on_the_observation():
    value, _ = trained(DEPENDENT)
    np.testing.assert_allclose(value(-1.0, 1.0), [-1.0, 1.0], atol=TOLERANCE)


def test_an_action_that_depends_on_the_observation():
    _, mean = trained(STEERED, updates=200)
    expected = [[-0.6, -0.6], [0.6, 0.6]]
    np.testing.assert_allclose(mean(-1.0, 1.0), expected, atol=0.1)


@pytest.mark.parametrize(("truncation", "expected"), [("terminal", 1.0), ("bootstrap", 2.0)])
def test_a_time_out_is_worth_nothing_or_what_would_have_followed(truncation, expected):
    """A unit a step, timed out at every one: with gamma 0.5 it is worth 1, or 1 / (1 - 0.5)."""
    value, _ = trained(ENDLESS, gamma=0.5, truncation=truncation)
    np.testing.assert_allclose(value(0.0), [expected], atol=TOLERANCE)
