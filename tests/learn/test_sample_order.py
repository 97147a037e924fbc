"""The order of the samples: a uniform permutation, each sample once per epoch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learn_setup import TINY_TIERS, on_stub
from quick import quick_jit
from scipy import stats
from stubs import UNBOUND, Walk

from pathb_jax.learn import update

FALSE_ALARM = 1e-6
"""Chance that a perfect generator fails a chi-square test, were its key drawn afresh."""
KEY = jax.random.key(20260)
random_order = quick_jit(update.random_order, static_argnums=1)


@settings(max_examples=6, deadline=None)
@given(count=st.integers(1, 20_000), seed=st.integers(0, 2**32 - 1))
@example(count=1, seed=0)
@example(count=2, seed=1)
@example(count=8192, seed=0)
@example(count=2**16, seed=0)  # the longest that is one packed sort
@example(count=2**16 + 1, seed=0)
def test_it_is_a_permutation(count, seed):
    order = random_order(jax.random.key(seed), count)
    assert order.shape == (count,)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


def test_every_permutation_of_four_is_as_likely():
    """24 categories, 48 000 independent draws."""
    keys = jax.random.split(KEY, 48_000)
    orders = jax.jit(jax.vmap(lambda key: update.random_order(key, 4)))(keys)
    codes = np.asarray(orders) @ 4 ** np.arange(4)
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize("count", [64, 8192])
def test_every_sample_is_as_likely_anywhere(count):
    """Samples and places in 32 bins each; a permutation's table has both margins fixed."""
    draws, bins = 200, 32
    size = count // bins
    keys = jax.random.split(KEY, draws)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: update.random_order(key, count)))(keys))
    places = np.broadcast_to(np.arange(count) // size, orders.shape)
    table = np.bincount((orders // size * bins + places).ravel(), minlength=bins * bins)
    expected = draws * size / bins
    # (n - 1) / n: sampling without replacement within each draw.
    statistic = np.sum((table - expected) ** 2) / expected * (count - 1) / count
    freedom = (bins - 1) ** 2
    assert stats.chi2.sf(statistic, freedom) > FALSE_ALARM
    assert stats.chi2.cdf(statistic, freedom) > FALSE_ALARM  # nor too even to be random


@pytest.mark.parametrize("count", [3, 8192, 2**16])
def test_only_samples_whose_random_bits_agree_keep_their_order(count):
    """The whole bias of the packed sort: at 8 192 samples 19 bits decide."""
    noise = np.asarray(jax.random.bits(KEY, (count,), jnp.uint32))
    index_bits = (count - 1).bit_length()
    expected = np.argsort(noise >> index_bits, kind="stable")
    np.testing.assert_array_equal(random_order(KEY, count), expected)


def chance_of_so_many_in_order(orders):
    """Return how likely so many, or so few, of all neighbours in order are (two-sided)."""
    draws, count = orders.shape
    place = np.argsort(orders, axis=1)
    in_order = int(np.sum(place[:, 1:] > place[:, :-1]))
    # The number of ascents of a permutation has variance (n + 1) / 12.
    z = (in_order - draws * (count - 1) / 2) / np.sqrt(draws * (count + 1) / 12)
    return 2 * stats.norm.sf(abs(z))


def test_neighbours_fall_either_way_round():
    """Of 400 x 8 191 neighbours half are in order.

    That finds 8 random bits where 19 should be, in whatever way they come to decide; to find 19 by
    counting would take 10^13 neighbours, which is why the test before looks at the bits.
    """
    keys = jax.random.split(KEY, 400)
    orders = np.asarray(jax.lax.map(lambda key: update.random_order(key, 8192), keys))
    assert chance_of_so_many_in_order(orders) > FALSE_ALARM
    noise = np.random.default_rng(0).integers(2**8, size=(400, 8192))
    assert chance_of_so_many_in_order(np.argsort(noise, axis=1, kind="stable")) < FALSE_ALARM


def test_it_differs_by_key_and_repeats_by_key():
    one, other = (np.asarray(update.random_order(jax.random.key(k), 512)) for k in (0, 1))
    assert np.mean(one == other) < 0.05
    np.testing.assert_array_equal(one, update.random_order(jax.random.key(0), 512))


COUNT, SIZE, EPOCHS = 48, 8, 3
CONFIG = dataclasses.replace(
    on_stub(Walk(), UNBOUND, tier="Small").config,
    batch_envs=6,
    rollout_length=8,
    minibatch_size=SIZE,
    epochs=EPOCHS,
)


def numbered_batch():
    """A batch whose every column tells the sample's number."""
    number = jnp.arange(COUNT, dtype=jnp.float32)
    return update.Batch(
        obs=jnp.stack([number, number + 0.5], axis=1),
        raw_action=jnp.stack([number, -number], axis=1),
        log_prob=number,
        advantage=number,
        returns=number,
        value=number,
    )


def test_minibatches_are_consecutive_slices_of_the_order():
    slices = update.minibatches(numbered_batch(), KEY, SIZE)
    order = np.asarray(update.random_order(KEY, COUNT)).reshape(-1, SIZE)
    for column in (slices.log_prob, slices.advantage, slices.returns, slices.value):
        np.testing.assert_array_equal(column, order)
    np.testing.assert_array_equal(slices.obs, np.stack([order, order + 0.5], axis=2))
    np.testing.assert_array_equal(slices.raw_action, np.stack([order, -order], axis=2))


def samples_seen(monkeypatch, reshuffle, key=KEY):
    """Return the sample numbers that the gradient steps see, `[epochs, M, B / M]`."""

    def step(params, opt_state, size, batch, hparams):
        done, table = opt_state
        zeros = update.UpdateMetrics(*[jnp.zeros(())] * len(update.UpdateMetrics._fields))
        return params, (done + 1, table.at[done].set(batch.returns)), zeros

    monkeypatch.setattr(update, "minibatch_step", step)
    config = dataclasses.replace(CONFIG, reshuffle_epochs=reshuffle)
    nothing_yet = (jnp.int32(0), jnp.full((EPOCHS * COUNT // SIZE, SIZE), -1.0))
    run = quick_jit(
        lambda batch, key: update.run_epochs(
            {}, nothing_yet, config, TINY_TIERS["1x3"], batch, None, key
        )
    )
    _, (_, table), _ = run(numbered_batch(), key)
    return np.asarray(table, int).reshape(EPOCHS, -1, SIZE)


@pytest.mark.parametrize("reshuffle", [False, True])
def test_each_sample_is_used_once_per_epoch(monkeypatch, reshuffle):
    for epoch in samples_seen(monkeypatch, reshuffle):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(COUNT))


def test_one_order_serves_all_epochs(monkeypatch):
    seen = samples_seen(monkeypatch, reshuffle=False)
    order = np.asarray(update.random_order(KEY, COUNT)).reshape(-1, SIZE)
    for epoch in seen:
        np.testing.assert_array_equal(epoch, order)


def test_reshuffled_epochs_differ(monkeypatch):
    seen = samples_seen(monkeypatch, reshuffle=True)
    other = samples_seen(monkeypatch, reshuffle=True, key=jax.random.key(1))
    orders = [*seen, *other]
    for index, one in enumerate(orders):
        for another in orders[index + 1 :]:
            assert np.mean(one == another) < 0.3
