"""Networks and the Gaussian policy, against NumPy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from learn_setup import TINY_TIERS
from quick import quick_jit
from scipy import stats

from pathb_jax.config import NetworkSize
from pathb_jax.learn import networks

OBS_DIM = 6
SIZES = [NetworkSize(1, 3), NetworkSize(2, 8), NetworkSize(4, 5)]
FALSE_ALARM = 1e-9
"""Chance per parameter array that a perfect generator fails the tests of distribution."""


init_params = quick_jit(networks.init_params, static_argnums=(1, 2))
actor_mean = quick_jit(networks.actor_mean, static_argnums=1)
critic_value = quick_jit(networks.critic_value, static_argnums=1)


def drawn(size=TINY_TIERS["2x8"]):
    return init_params(jax.random.key(0), size, OBS_DIM, -0.5)


def test_parameters_start_uniform_in_the_pinned_bounds():
    """Weights and biases: uniform in +-1/sqrt(fan_in), as far as the bounds."""
    keys = jax.random.split(jax.random.key(1), 4000)
    size = TINY_TIERS["2x8"]
    many = quick_jit(jax.vmap(lambda key: networks.init_params(key, size, OBS_DIM, -0.5)))(keys)
    for part in ("actor", "critic"):
        fan_ins = [layer["kernel"].shape[1] for _, layer in sorted(many[part].items())]
        assert fan_ins == [OBS_DIM, 8, 8]
        for fan_in, (name, layer) in zip(fan_ins, sorted(many[part].items()), strict=True):
            for kind, drawn_values in layer.items():
                bound = fan_in**-0.5
                values = np.asarray(drawn_values, np.float64).reshape(len(keys), -1)
                assert np.max(np.abs(values)) <= bound * (1 + 1e-6), (part, name, kind)
                # One entry per key: independent draws. None beyond 99 %: 0.995^4000 = 2e-9.
                assert values[:, 0].max() > 0.99 * bound, (part, name, kind)
                assert values[:, 0].min() < -0.99 * bound, (part, name, kind)
                p_value = stats.kstest(values[:, 0], stats.uniform(-bound, 2 * bound).cdf).pvalue
                assert p_value > FALSE_ALARM, (part, name, kind)
                assert len(np.unique(values[0])) == values[0].size


@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize("leading", [(), (5,), (4, 3)])
def test_the_products_gradient_is_that_of_the_definition(x64, leading, outputs):
    """Y = X W has gradients G W^T and X^T G: summed over all leading axes, against NumPy."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(*leading, 6)), rng.normal(size=(6, outputs))
    g = rng.normal(size=(*leading, outputs))
    y, backwards = jax.vjp(networks.dense_product, x, w)
    dx, dw = backwards(g)
    np.testing.assert_allclose(y, x @ w, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dx, g @ w.T, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dw, x.reshape(-1, 6).T @ g.reshape(-1, outputs), rtol=0, atol=1e-13)


@pytest.mark.parametrize("log_std_init", [-0.5, 0.3])
def test_log_std_starts_where_it_is_told(log_std_init):
    params = init_params(jax.random.key(0), TINY_TIERS["1x3"], OBS_DIM, log_std_init)
    np.testing.assert_array_equal(params["log_std"], np.float32([log_std_init] * 2))


@pytest.mark.parametrize("size", SIZES)
def test_tanh_follows_every_hidden_layer(x64, size):
    params = drawn(size)
    # Large weights, so that a layer without its tanh would be far off.
    params = jax.tree.map(lambda x: 3.0 * x, params)
    obs = np.random.default_rng(0).normal(size=(7, OBS_DIM))
    numpy = reference.as_numpy(jax.device_get(params))
    assert len(numpy["actor"]) == len(numpy["critic"]) == size.depth + 1
    np.testing.assert_allclose(
        actor_mean(params, size, obs), reference.actor_mean(numpy, obs), atol=1e-14
    )
    value = critic_value(params, size, obs)
    np.testing.assert_allclose(value, reference.critic_value(numpy, obs), atol=1e-14)
    assert np.max(np.abs(value)) > 1.0  # the critic's head is linear


def test_the_mean_stays_within_the_action_scale():
    size = TINY_TIERS["2x8"]
    obs = 3.0 * np.random.default_rng(2).normal(size=(500, OBS_DIM)).astype(np.float32)
    params = jax.tree.map(lambda x: 2.0 * np.asarray(x), drawn(size))
    mean = np.asarray(actor_mean(params, size, obs))
    assert mean.shape == (500, 2)
    assert np.all(np.abs(mean) < 1.0)
    assert np.max(np.abs(mean)) > 0.5


def test_leading_axes_are_kept():
    size, params = TINY_TIERS["2x8"], drawn()
    obs = jax.random.normal(jax.random.key(3), (4, 5, OBS_DIM))
    assert actor_mean(params, size, obs).shape == (4, 5, 2)
    assert critic_value(params, size, obs).shape == (4, 5)
    assert critic_value(params, size, obs[0, 0]).shape == ()


def test_actor_and_critic_share_nothing():
    size, params = TINY_TIERS["2x8"], drawn()
    obs = jax.random.normal(jax.random.key(4), (9, OBS_DIM))
    by_mean = quick_jit(jax.grad(lambda p: jnp.sum(networks.actor_mean(p, size, obs))))(params)
    by_value = quick_jit(jax.grad(lambda p: jnp.sum(networks.critic_value(p, size, obs))))(params)
    largest = [
        {name: max(float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(grads[name])) for name in p}
        for p, grads in ((params, by_mean), (params, by_value))
    ]
    assert largest[0]["actor"] > 0
    assert largest[0]["critic"] == largest[0]["log_std"] == 0
    assert largest[1]["critic"] > 0
    assert largest[1]["actor"] == largest[1]["log_std"] == 0
    first = [params[name]["Dense_0"]["kernel"] for name in ("actor", "critic")]
    assert not np.any(np.asarray(first[0]) == np.asarray(first[1]))


ROWS = (11, 2)


@settings(max_examples=60, deadline=None)
@given(
    raw=hnp.arrays(np.float64, ROWS, elements=st.floats(-5, 5)),
    mean=hnp.arrays(np.float64, ROWS, elements=st.floats(-1, 1)),
    log_std=hnp.arrays(np.float64, (2,), elements=st.floats(-4, 2)),
)
def test_log_probability_is_scipys(raw, mean, log_std):
    with jax.enable_x64(True):
        got = networks.gaussian_log_prob(jnp.asarray(raw), jnp.asarray(mean), jnp.asarray(log_std))
        one = networks.gaussian_log_prob(raw[0], mean[0], jnp.asarray(log_std))
    expected = stats.norm.logpdf(raw, mean, np.exp(log_std)).sum(axis=-1)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one, expected[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("log_std", [[-0.5, -0.5], [0.0, 1.0], [-8.0, 3.0]])
def test_entropy_is_scipys(x64, log_std):
    expected = stats.norm.entropy(scale=np.exp(log_std)).sum()
    got = networks.gaussian_entropy(jnp.asarray(log_std))
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
    covariance = np.diag(np.exp(2 * np.array(log_std)))
    np.testing.assert_allclose(got, stats.multivariate_normal(cov=covariance).entropy(), rtol=1e-10)


def test_float32_log_probability_is_close_enough():
    rng = np.random.default_rng(0)
    mean, log_std = rng.uniform(-1, 1, ROWS), rng.uniform(-2, 0.5, 2)
    raw = mean + np.exp(log_std) * rng.normal(size=ROWS)
    got = networks.gaussian_log_prob(*(jnp.asarray(x, jnp.float32) for x in (raw, mean, log_std)))
    assert got.dtype == jnp.float32
    expected = stats.norm.logpdf(raw, mean, np.exp(log_std)).sum(axis=-1)
    np.testing.assert_allclose(got, expected, atol=2e-5)
