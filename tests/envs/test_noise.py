"""Noise by its moments and its independence.

Every statistic is compared with what it is under the specified distribution, as a z-score from its
known standard error. A limit of |z| < 5 gives one false alarm in 1.7 million choices of the key
per statistic, so under one in 50 000 for this file; the keys are fixed.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathb_jax.envs.shadow_field import MesaShadowField, bank_axes, bind
from pathb_jax.envs.start_states import start_states

Z = 5.0
SEEDS, STEPS = 128, 60


def roll(tier, sigma, dynamics_sigma=0.0):
    """Return samples as read `[SEEDS, STEPS, 4]`, positions and observations of idle episodes."""
    env = MesaShadowField(tier, dynamics_noise=True)
    params = replace(env.default_params, noise_sigma=sigma, dynamics_sigma=dynamics_sigma)
    return jax.device_get(idle(env, bind(params, *start_states(np.arange(SEEDS)))))


@functools.partial(jax.jit, static_argnums=0)
def idle(env, params):
    def one(key, params):
        def step(state, key):
            observation, state, _, _, info = env.step_env(key, state, jnp.zeros(2), params)
            return state, (info["samples"], state.position, observation)

        return jax.lax.scan(step, env.start_state(key, params), jax.random.split(key, STEPS))[1]

    keys = jax.random.split(jax.random.key(5), SEEDS)
    return jax.vmap(one, in_axes=(0, bank_axes(params)))(keys, params)


def assert_standard_normal(z):
    """Check mean, variance, skewness, kurtosis and tails of what should be N(0, 1)."""
    z, n = np.ravel(z).astype(float), z.size
    statistics = {
        "mean": z.mean() * np.sqrt(n),
        "variance": (np.mean(z**2) - 1) * np.sqrt(n / 2),
        "skewness": np.mean(z**3) * np.sqrt(n / 15),
        "kurtosis": (np.mean(z**4) - 3) * np.sqrt(n / 96),
        "tails": (np.mean(np.abs(z) > 1.959964) - 0.05) * np.sqrt(n / (0.05 * 0.95)),
    }
    assert max(map(abs, statistics.values())) < Z, statistics


def assert_uncorrelated(a, b):
    assert abs(np.mean(a * b)) * np.sqrt(a.size) < Z


@pytest.fixture(scope="module")
def sensor_noise():
    """Return standardised noise `[SEEDS, STEPS, 4]` of the noisy tier."""
    noisy, positions, observations = roll("noisy-field", 0.1)
    clean, still, _ = roll("local-probe-field", 0.0)
    np.testing.assert_array_equal(positions, still)
    np.testing.assert_array_equal(observations[..., 2:], noisy)
    return (noisy - clean) / 0.1


def test_sensor_noise_is_normal(sensor_noise):
    assert_standard_normal(sensor_noise)


def test_sensor_noise_is_independent(sensor_noise):
    z = sensor_noise
    assert_uncorrelated(z[1:], z[:-1])  # seeds
    assert_uncorrelated(z[:, 1:], z[:, :-1])  # steps
    for i in range(4):
        for j in range(i):
            assert_uncorrelated(z[..., i], z[..., j])


def test_sensor_noise_is_not_clipped(sensor_noise):
    noisy, _, _ = roll("noisy-field", 0.5)
    assert noisy.min() < -0.5
    assert noisy.max() > 1.2


def test_delayed_noisy_samples_are_old_samples_with_fresh_noise():
    noisy, positions, _ = roll("delayed-noisy-field", 0.1, dynamics_sigma=0.02)
    delayed, moved, _ = roll("delayed-field", 0.0, dynamics_sigma=0.02)
    np.testing.assert_array_equal(positions, moved)
    assert_standard_normal((noisy - delayed) / 0.1)


def test_dynamics_noise_is_normal_and_independent_of_the_sensors():
    sigma = 0.02
    noisy, positions, _ = roll("noisy-field", 0.1, dynamics_sigma=sigma)
    clean, _, _ = roll("local-probe-field", 0.0, dynamics_sigma=sigma)
    pushes = np.diff(positions.astype(float), axis=1) / sigma
    inside = np.abs(positions).max(axis=(1, 2)) < 4.99
    assert inside.mean() > 0.9
    pushes, sensed = pushes[inside], ((noisy - clean) / 0.1)[inside, 1:]
    assert_standard_normal(pushes)
    assert_uncorrelated(pushes[1:], pushes[:-1])
    assert_uncorrelated(pushes[:, 1:], pushes[:, :-1])
    assert_uncorrelated(pushes[..., 0], pushes[..., 1])
    for axis in range(2):
        for channel in range(4):
            assert_uncorrelated(pushes[..., axis], sensed[..., channel])


def test_reading_twice_with_one_key_reads_the_same():
    env = MesaShadowField("noisy-field")
    params = bind(env.default_params, *start_states(1))
    state = env.start_state(jax.random.key(0), params)
    one, again, other = (env.sense(jax.random.key(k), state, params).samples for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.all(one != other)
