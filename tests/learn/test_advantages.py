"""Generalised advantage estimation against a double loop over future errors, and its identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pathb_jax.learn.advantages import gae, next_state_values

STEPS, ENVS = 13, 3
SHAPE = (STEPS, ENVS)
NUMBERS = st.floats(-100.0, 100.0, width=32)


@jax.jit
def advantages_of(rewards, values, last_value, done, gamma, gae_lambda):
    next_values = next_state_values(values, last_value, done)
    return gae(rewards, values, next_values, done, gamma, gae_lambda)


def drawn(seed=0, end_rate=0.2):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, *SHAPE))
    return rewards, values, rng.normal(size=ENVS), rng.random(SHAPE) < end_rate


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("end_rate", [0.0, 0.2, 1.0])
def test_it_is_the_sum_over_future_errors(x64, gamma, gae_lambda, end_rate):
    rewards, values, last_value, done = drawn(end_rate=end_rate)
    got = advantages_of(rewards, values, last_value, done, gamma, gae_lambda)
    expected = reference.gae(
        rewards, values, last_value, done, np.zeros(SHAPE, bool), gamma, gae_lambda
    )
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    rewards=hnp.arrays(np.float64, SHAPE, elements=NUMBERS),
    values=hnp.arrays(np.float64, SHAPE, elements=NUMBERS),
    last_value=hnp.arrays(np.float64, (ENVS,), elements=NUMBERS),
    terminated=hnp.arrays(bool, SHAPE),
    truncated=hnp.arrays(bool, SHAPE),
    gamma=st.floats(0.0, 1.0),
    gae_lambda=st.floats(0.0, 1.0),
)
def test_it_is_the_sum_over_future_errors_for_any_numbers(
    rewards, values, last_value, terminated, truncated, gamma, gae_lambda
):
    with jax.enable_x64(True):
        got = advantages_of(rewards, values, last_value, terminated | truncated, gamma, gae_lambda)
    expected = reference.gae(rewards, values, last_value, terminated, truncated, gamma, gae_lambda)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-9)


def test_with_lambda_1_it_is_the_return_minus_the_value(x64):
    rewards, values, last_value, done = drawn(seed=1)
    gamma = 0.9
    returns, following = np.zeros(SHAPE), last_value
    for t in reversed(range(STEPS)):
        returns[t] = following = rewards[t] + gamma * np.where(done[t], 0.0, following)
    got = advantages_of(rewards, values, last_value, done, gamma, 1.0)
    np.testing.assert_allclose(got, returns - values, rtol=0, atol=1e-12)


def test_with_lambda_0_it_is_the_one_step_error(x64):
    rewards, values, last_value, done = drawn(seed=2)
    following = np.where(done, 0.0, np.concatenate([values[1:], last_value[None]]))
    got = advantages_of(rewards, values, last_value, done, 0.9, 0.0)
    np.testing.assert_allclose(got, rewards + 0.9 * following - values, rtol=0, atol=1e-14)


def test_exact_values_give_no_advantage(x64):
    """The values of the very rewards: nothing is better than expected, whatever lambda."""
    rewards, values, last_value, done = drawn(seed=3)
    following = last_value
    for t in reversed(range(STEPS)):
        values[t] = following = rewards[t] + 0.9 * np.where(done[t], 0.0, following)
    for gae_lambda in (0.0, 0.95, 1.0):
        got = advantages_of(rewards, values, last_value, done, 0.9, gae_lambda)
        np.testing.assert_allclose(got, 0.0, atol=1e-14)


def test_nothing_crosses_the_end_of_an_episode():
    rewards, values, last_value, _ = drawn(seed=4)
    done = np.zeros(SHAPE, bool)
    done[5, 1] = True
    changed = rewards.copy()
    changed[6:, 1] += 50.0
    one = advantages_of(rewards, values, last_value, done, 0.99, 0.95)
    other = advantages_of(changed, values, last_value, done, 0.99, 0.95)
    np.testing.assert_array_equal(one[:6], other[:6])
    np.testing.assert_array_equal(one[:, [0, 2]], other[:, [0, 2]])
    assert np.all(np.asarray(one[6:, 1]) != np.asarray(other[6:, 1]))


@pytest.mark.parametrize("bad", range(3))
def test_shapes_that_do_not_match_are_refused(bad):
    arrays = [jnp.zeros(SHAPE)] * 4
    arrays[bad] = jnp.zeros((STEPS, 1))
    with pytest.raises(AssertionError):
        gae(*arrays, 0.99, 0.95)
