"""Many updates in one call, where they stop, and what a continued run keeps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learn_setup import in_time, learned_from, on_stub, run_config, shadow_field
from quick import quick_jit
from small_runs import assert_same_bits
from stubs import UNBOUND, TurnsNaN, Walk

from pathb_jax.envs.start_states import start_states
from pathb_jax.learn import normalizer, training
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import task_params

continue_from = quick_jit(training.continue_from, static_argnums=(0, 1))


@pytest.fixture(scope="module")
def compiled():
    """The real program of a small run: its configuration, and a way to train with it."""
    config = run_config()
    made = program(config)
    env_params = task_params(config, made.env)

    def run(*chunks, seed=0):
        schedule = dataclasses.replace(config.schedule, seed=seed)
        state = made.init(dataclasses.replace(config, schedule=schedule), env_params)
        rows = []
        for updates in chunks:
            state, chunk = made.train(state, traced(config), env_params, updates)
            assert (int(chunk.updates), bool(chunk.finite)) == (updates, True)
            rows.append(np.stack(list(chunk.metrics.values()), axis=1)[:updates])
        return jax.device_get(state), np.concatenate(rows)

    return run


def test_many_updates_in_one_call_are_many_calls_of_one(compiled):
    state, rows = compiled(6)
    for chunks in ([1] * 6, [2, 3, 1]):
        other, other_rows = compiled(*chunks)
        assert_same_bits(state, other)
        assert rows.tobytes() == other_rows.tobytes()
    assert state.update == 6
    assert len(np.unique(rows[:, 0])) == 6


def test_the_same_seed_gives_the_same_bits_and_another_other_ones(compiled):
    state, rows = compiled(3)
    again, same_rows = compiled(3)
    assert_same_bits(state, again)
    assert rows.tobytes() == same_rows.tobytes()
    other, other_rows = compiled(3, seed=1)
    assert np.all(rows[:, 0] != other_rows[:, 0])
    for part in ("actor", "critic"):
        pairs = zip(
            jax.tree.leaves(state.params[part]), jax.tree.leaves(other.params[part]), strict=True
        )
        assert all(np.all(a != b) for a, b in pairs)


def test_no_noise_repeats_between_updates_seeds_or_environments():
    """raw - mean over std is what was drawn; with a linear net of zeros the mean is 0."""
    setup = on_stub(Walk(), UNBOUND)
    noises = []
    for seed in (0, 1):
        state = setup.init(seed=seed)
        zeros = jax.tree.map(jnp.zeros_like, state.params)
        state = state.replace(params=zeros)
        for done in (0, 1, 7):
            learned = learned_from(setup, state.replace(update=jnp.int32(done)))
            noises.append(np.asarray(learned.batch.raw_action).ravel())
    noise = np.concatenate(noises)
    assert len(np.unique(noise)) == noise.size


def test_rows_beyond_the_updates_are_zero():
    setup = on_stub(Walk(), UNBOUND)
    _, chunk = setup.chunk(setup.init(), 3)
    assert set(chunk.metrics) == set(training.METRICS)
    for column in chunk.metrics.values():
        assert column.shape == (training.CHUNK_CAPACITY,)
        assert not np.any(column[3:])
    assert np.all(chunk.metrics["entropy"][:3] != 0)


def test_it_stops_at_the_first_figure_that_is_not_finite():
    """The reward turns NaN in the third rollout of 16 steps."""
    setup = on_stub(TurnsNaN(after=40), UNBOUND)
    state, chunk = setup.chunk(setup.init(), 8)
    assert (chunk.updates, chunk.finite, state.update) == (3, False, 3)
    bad = {name: not np.isfinite(column[2]) for name, column in chunk.metrics.items()}
    assert bad["mean_reward"]
    assert bad["value_loss"]
    assert not bad["episode_done_rate"]
    # What was finite is that of a run which was told to do two.
    _, two = setup.chunk(setup.init(), 2)
    assert two.finite
    for name, column in chunk.metrics.items():
        assert np.all(np.isfinite(column[:2]))
        assert not np.any(column[3:])
        np.testing.assert_array_equal(two.metrics[name][:2], column[:2])


def test_a_parameter_that_is_not_finite_is_noticed_in_its_own_update():
    """The critic's last step of an update shows in none of that update's figures."""
    setup = on_stub(
        Walk(), UNBOUND, critic_lr=1.0, epochs=1, batch_envs=4, rollout_length=16, minibatch_size=64
    ).replace(critic_lr=float("nan"))
    _, chunk = setup.chunk(setup.init(), 5)
    assert (chunk.updates, chunk.finite) == (1, False)
    assert np.all(np.isfinite([column[0] for column in chunk.metrics.values()]))


def test_the_last_update_may_be_the_bad_one():
    setup = on_stub(TurnsNaN(after=40), UNBOUND)
    _, chunk = setup.chunk(setup.init(), 3)
    assert (chunk.updates, chunk.finite) == (3, False)


# ---------------------------------------------------------------- fresh and continued runs


def test_a_fresh_run_starts_from_its_seeds():
    setup = shadow_field(seed_start=123)
    state = setup.init()
    starts = start_states(123 + np.arange(4))
    np.testing.assert_array_equal(state.env_state.position, starts.start.astype(np.float32))
    np.testing.assert_array_equal(state.env_state.goal, starts.goal.astype(np.float32))
    np.testing.assert_array_equal(state.obs[:, :2], starts.start.astype(np.float32))
    assert state.update == 0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))
    np.testing.assert_allclose(state.normalizer.count, 4.0001, rtol=1e-6)


@pytest.mark.parametrize("reset_optimizer", [False, True])
def test_a_continued_run_keeps_what_was_learned(reset_optimizer):
    setup = on_stub(Walk(), UNBOUND)
    old, _ = setup.chunk(setup.init(seed=3), 4)
    assert np.any(old.env_state != 0)
    new = continue_from(
        setup.config,
        setup.env,
        setup.env_params,
        setup.hparams,
        np.uint32(9),
        old,
        reset_optimizer,
    )
    assert_same_bits(new.params, old.params)
    assert new.update == 4
    assert np.all(new.env_state == 0)
    fresh = setup.init(seed=9)
    assert_same_bits(new.env_state, fresh.env_state)
    assert_same_bits(new.obs, fresh.obs)
    merged = normalizer.merge(old.normalizer, fresh.obs)
    for got, expected in zip(jax.tree.leaves(new.normalizer), jax.tree.leaves(merged), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert new.normalizer.count == old.normalizer.count + 4
    assert_same_bits(new.key, fresh.key)
    if reset_optimizer:
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(new.opt_state))
    else:
        assert_same_bits(new.opt_state, old.opt_state)
        assert any(np.any(leaf) for leaf in jax.tree.leaves(new.opt_state))


def test_a_continued_runs_noise_goes_on():
    """Update 6 of a continued run draws what update 6 of a fresh run of that seed draws."""
    setup = on_stub(Walk(), UNBOUND)
    state = setup.init(seed=3)
    old = state.replace(update=jnp.int32(5))
    new = continue_from(setup.config, setup.env, UNBOUND, setup.hparams, np.uint32(3), old, False)
    fresh = [learned_from(setup, state.replace(update=jnp.int32(done))) for done in (0, 5)]
    here = learned_from(setup, new)
    np.testing.assert_array_equal(jax.random.key_data(here.key), jax.random.key_data(fresh[1].key))
    first = [in_time(x.batch.raw_action, setup.config)[0] for x in (here, *fresh)]
    np.testing.assert_allclose(first[0], first[2], atol=1e-5)  # the statistics differ a little
    assert np.all(np.abs(first[0] - first[1]) > 1e-4)


def test_rank_promotion_is_refused_in_this_room():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)
