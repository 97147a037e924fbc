"""Running statistics: batch by batch they are those of the whole sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from learn_setup import shadow_field

from pathb_jax.learn import normalizer

DIM = 3
merge = jax.jit(normalizer.merge)


def assert_whole_sample(state, batches, atol, rtol=0.0):
    whole = reference.WholeSample()
    for batch in batches:
        whole.merge(batch)
    np.testing.assert_allclose(state.mean, whole.mean, atol=atol, rtol=rtol)
    np.testing.assert_allclose(state.var, whole.var, atol=atol, rtol=rtol)
    np.testing.assert_allclose(state.count, whole.count, rtol=1e-6)


def test_the_initial_values():
    state = normalizer.init_normalizer(DIM)
    assert (state.mean.tolist(), state.var.tolist()) == ([0.0] * DIM, [1.0] * DIM)
    assert float(state.count) == np.float32(1e-4)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}
    np.testing.assert_array_equal(normalizer.normalize(state, jnp.array([2.0, 0, -1])), [2, 0, -1])


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.just(5), st.just(DIM)),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_batch_by_batch_is_the_whole_sample(batches):
    with jax.enable_x64(True):
        state = normalizer.init_normalizer(DIM)
        for batch in batches:
            state = merge(state, batch)
        assert_whole_sample(state, batches, atol=1e-8, rtol=1e-12)


@pytest.mark.parametrize("sizes", [[1], [64], [1, 64, 7], [7, 1, 64]])
def test_batches_of_other_sizes(x64, sizes):
    rng = np.random.default_rng(0)
    batches = [rng.normal([3.0, 0.0, -1e3], [1.0, 1e-3, 50.0], size=(n, DIM)) for n in sizes]
    state = normalizer.init_normalizer(DIM)
    for batch in batches:
        state = merge(state, batch)
    assert_whole_sample(state, batches, atol=1e-9)


def test_the_prior_counts_for_a_ten_thousandth_of_an_observation(x64):
    """By hand: one observation 2. Weight w = 1 / 1.0001, mean 2 w, variance (1 - w) (1 + 4 w)."""
    state = merge(normalizer.init_normalizer(1), np.full((1, 1), 2.0))
    weight = 1.0 / 1.0001
    np.testing.assert_allclose(state.mean, [2.0 * weight], rtol=1e-14)
    np.testing.assert_allclose(state.var, [(1 - weight) * (1 + 4 * weight)], rtol=1e-9)


def test_float32_keeps_its_precision_when_the_count_is_large():
    """Ten million observations, 64 at a time; the last batches still count for what they are."""
    rng = np.random.default_rng(0)
    scale, offset = np.array([2.5, 0.3, 0.05]), np.array([1.0, 0.5, -4.0])
    pool = (rng.normal(size=(625, 64, DIM)) * scale + offset).astype(np.float32)

    def once(state, _):
        return jax.lax.scan(lambda s, batch: (normalizer.merge(s, batch), None), state, pool)

    state, _ = jax.jit(lambda s: jax.lax.scan(once, s, length=250))(normalizer.init_normalizer(DIM))
    np.testing.assert_allclose(state.count, 1e7, rtol=1e-6)
    samples = pool.reshape(-1, DIM).astype(np.float64)
    assert np.all(np.abs(state.mean - samples.mean(axis=0)) < 5e-3 * scale)
    np.testing.assert_allclose(state.var, samples.var(axis=0), rtol=2e-3)
    moved = normalizer.merge(state, jnp.asarray(pool[0] + 10.0))
    gain = 64 / 1e7 * (10.0 + pool[0].mean(axis=0) - samples.mean(axis=0))
    np.testing.assert_allclose(moved.mean - state.mean, gain, atol=np.spacing(np.float32(4.0)))


def test_no_variance_is_floored(x64):
    state = normalizer.init_normalizer(2).replace(var=jnp.array([0.0, 4.0]))
    np.testing.assert_allclose(normalizer.std(state), [1e-4, 2.0], rtol=1e-15)
    np.testing.assert_allclose(normalizer.normalize(state, jnp.ones(2)), [1e4, 0.5])
    just_above = state.replace(var=jnp.array([1.1e-8, 1e-8]))
    np.testing.assert_allclose(normalizer.std(just_above), [1.1e-8**0.5, 1e-4], rtol=1e-15)


def test_any_leading_axes_are_normalised_alike_and_nothing_is_clipped():
    state = normalizer.init_normalizer(DIM).replace(mean=jnp.array([1.0, 2.0, 3.0]))
    obs = 1e6 * jax.random.normal(jax.random.key(0), (4, 5, DIM))
    rows = [normalizer.normalize(state, row) for row in obs.reshape(-1, DIM)]
    np.testing.assert_array_equal(normalizer.normalize(state, obs).reshape(-1, DIM), rows)
    assert np.max(np.abs(rows)) > 1e6


def test_merging_needs_rows():
    with pytest.raises(AssertionError):
        normalizer.merge(normalizer.init_normalizer(DIM), jnp.zeros(DIM))


def test_an_episodes_last_observation_is_never_merged(x64):
    """Episodes of one step: all that is ever acted on, and so merged, are the starts."""
    setup = shadow_field({"max_steps_in_episode": 1}, truncation="bootstrap")
    state = setup.init()
    starts = np.asarray(state.obs)
    (_, obs, statistics), steps = setup.collect(state, jax.random.key(0))
    np.testing.assert_allclose(obs, starts, atol=1e-14)
    assert_whole_sample(statistics, [starts] * (1 + setup.config.rollout_length), atol=1e-12)
    last = np.asarray(steps.final_obs[-1])
    assert np.all(last[:, :2] != np.asarray(normalizer.normalize(statistics, obs))[:, :2])
