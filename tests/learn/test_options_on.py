"""Options that are on do what they say. The replay of whole updates has them on as well."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learn_setup import (
    TINY_TIERS,
    largest_difference,
    learned_from,
    make_span,
    on_stub,
    run_config,
    shadow_field,
)
from quick import quick_jit
from scipy import stats
from small_runs import assert_same_bits
from stubs import UNBOUND, Walk

from pathb_jax.config_checks import validated
from pathb_jax.envs.start_states import start_states
from pathb_jax.learn import networks, update
from pathb_jax.learn.hparams import traced

FALSE_ALARM = 1e-6


def walk(**changes):
    """Return a run on `Walk`; with changes, all numeric options are on, so as to compile once."""
    setup = on_stub(Walk(), UNBOUND)
    neutral = {"critic_lr": 3e-4, "value_clip": 1e9, "entropy_coef_end": 0.01, "lr_end": 3e-4}
    return setup.replace(**{**neutral, **changes}) if changes else setup


# ---------------------------------------------------------------- critic-lr


def test_critic_lr_scales_the_critics_steps_alone():
    setup = walk().replace(lr=1e-3)
    state = setup.init(seed=1)
    learned = learned_from(setup, state)
    step = quick_jit(update.minibatch_step, static_argnums=2)
    size = TINY_TIERS[setup.config.tier]

    def change(hparams):
        params, _, _ = step(state.params, state.opt_state, size, learned.batch, hparams)
        return jax.tree.map(lambda new, old: np.asarray(new) - old, params, state.params)

    plain, other = change(setup.hparams), change(setup.replace(critic_lr=4e-3).hparams)
    for part, factor in {"actor": 1.0, "log_std": 1.0, "critic": 4.0}.items():
        expected = jax.tree.map(lambda x, f=factor: f * x, plain[part])
        assert largest_difference(other[part], expected) < 1e-6
        assert largest_difference(plain[part], jax.tree.map(np.zeros_like, plain[part])) > 5e-4


def test_critic_lr_does_not_follow_the_schedule_of_lr():
    setup = walk(lr=1e-3, critic_lr=2e-3, lr_end=0.0)
    at_the_end = learned_from(setup, setup.init(), make_span(-4, 5)).hparams
    assert at_the_end.lr == 0.0
    assert at_the_end.critic_lr == np.float32(2e-3)


# ---------------------------------------------------------------- value-clip


def test_value_clip_by_hand():
    """Old value 0, clip 1. The worse of the plain and the clipped error counts."""
    value = jnp.array([0.5, 3.0, 3.0, -3.0])
    returns = jnp.array([2.0, 2.0, 5.0, -9.0])
    each = [
        1.5**2,  # within the clip
        1.0**2,  # beyond it: 1 - 2 is as far from 2 as 3 is
        4.0**2,  # beyond it, towards the return: the clipped error is the worse one
        8.0**2,
    ]
    got = update.value_error(value, jnp.zeros(4), returns, 1.0)
    np.testing.assert_allclose(got, np.mean(0.5 * np.array(each)), rtol=1e-6)


@pytest.mark.parametrize("clip", [1e-6, 0.1, 0.5, 10.0])
def test_value_clip_is_the_formula(x64, clip):
    rng = np.random.default_rng(0)
    value, old, returns = rng.normal(size=(3, 200))
    near = old + np.clip(value - old, -clip, clip)
    expected = np.mean(0.5 * np.maximum((value - returns) ** 2, (near - returns) ** 2))
    got = update.value_error(*(jnp.asarray(x) for x in (value, old, returns)), clip)
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_value_clip_is_about_the_values_of_the_rollout():
    setup = walk(value_clip=0.1)
    state = setup.init(seed=1)
    batch = learned_from(setup, state).batch
    size = TINY_TIERS[setup.config.tier]
    values = networks.critic_value(state.params, size, batch.obs)
    np.testing.assert_allclose(batch.value, values, atol=1e-6)
    assert learned_from(walk(), state).batch.value is None


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(("first", "updates"), [(0, 5), (7, 5), (7, 2)])
def test_schedules_go_from_the_first_update_to_the_last(first, updates):
    """Also in a continued run, whose updates are counted from where it began."""
    setup = walk(lr=1e-2, entropy_coef=0.5, lr_end=2e-3, entropy_coef_end=-0.5)
    state = setup.init()
    found = []
    for done in range(first, first + updates):
        hparams = learned_from(
            setup, state.replace(update=jnp.int32(done)), make_span(first, updates)
        ).hparams
        found.append((hparams.lr, hparams.entropy_coef))
    rates, coefficients = np.array(found).T
    np.testing.assert_allclose(rates, np.linspace(1e-2, 2e-3, updates), rtol=1e-5)
    np.testing.assert_allclose(coefficients, np.linspace(0.5, -0.5, updates), atol=1e-6)


def test_a_schedule_of_one_update_is_at_its_beginning():
    setup = walk(lr=1e-2, lr_end=2e-3)
    hparams = learned_from(setup, setup.init(), make_span(0, 1)).hparams
    assert hparams.lr == np.float32(1e-2)


def test_the_flags_set_the_ends():
    schedule = {"lr_schedule": "linear:1e-5", "entropy_schedule": "linear:-0.02"}
    config = run_config()
    config = validated(
        dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **schedule))
    )
    hparams = traced(config)
    assert (hparams.lr_end, hparams.entropy_coef_end) == (np.float32(1e-5), np.float32(-0.02))


def test_a_rate_that_ends_at_zero_leaves_the_last_update_without_effect():
    """One, two thirds, one third and nothing of lr."""
    setup = walk(lr_end=0.0, critic_lr=1e-30)
    params, state = [], setup.init()
    for _ in range(4):
        state, _ = setup.chunk(state, 1, make_span(0, 4))
        params.append(state.params)
    assert_same_bits(params[3], params[2])
    steps = [largest_difference(a, b) for a, b in zip(params[1:], params[:-1], strict=True)]
    assert steps[0] > steps[1] > steps[2] == 0.0


# ---------------------------------------------------------------- truncation bootstrap


def test_a_time_out_is_worth_the_value_of_its_final_observation():
    """Lambda 0: the return of a step is r + gamma V(what followed), final observations included."""
    setup = on_stub(
        Walk(times_out=True), UNBOUND, truncation="bootstrap", gae_lambda=0.0, gamma=0.5
    )
    state = setup.init(seed=1)
    _, steps = _rollout_of_the_first_update(setup, state)
    learned = learned_from(setup, state).batch
    returns = np.asarray(learned.returns).reshape(16, 4)
    size = TINY_TIERS[setup.config.tier]
    values = np.asarray(networks.critic_value(state.params, size, steps.obs))
    finals = np.asarray(networks.critic_value(state.params, size, steps.final_obs))
    ends = np.asarray(steps.timed_out)
    assert ends.sum() == 4 * 3
    reward = np.asarray(steps.reward)
    following = np.where(ends[:-1], finals[:-1], values[1:])
    np.testing.assert_allclose(returns[:-1], reward[:-1] + 0.5 * following, atol=1e-5)
    assert np.min(np.abs(finals[:-1] - values[1:])[ends[:-1]]) > 1e-3
    terminal = setup.replace(truncation="terminal")
    pinned = np.asarray(learned_from(terminal, state).batch.returns).reshape(16, 4)
    np.testing.assert_allclose(pinned[ends], reward[ends], atol=1e-6)
    np.testing.assert_allclose(pinned[~ends], returns[~ends], atol=1e-6)


def _rollout_of_the_first_update(setup, state):
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), 1)
    return setup.collect(state, jax.random.split(key)[0])


# ---------------------------------------------------------------- train-starts fresh


@pytest.fixture(scope="module")
def fresh_starts():
    """Starts and goals `[rounds, N, 2]` of consecutive episodes of one step."""
    setup = shadow_field({"max_steps_in_episode": 1}, batch_envs=256, rollout_length=1,
                         train_starts="fresh")  # fmt: skip
    state = setup.init()
    found = [(state.env_state.start, state.env_state.goal)]
    for number in range(8):
        (env_state, obs, statistics), _ = setup.collect(state, jax.random.key(number))
        state = state.replace(env_state=env_state, obs=obs, normalizer=statistics)
        np.testing.assert_array_equal(obs[:, :2], env_state.start)
        found.append((env_state.start, env_state.goal))
    return tuple(np.asarray(points, np.float64) for points in zip(*found, strict=True))


def test_fresh_starts_differ_between_episodes_and_environments(fresh_starts):
    for points in fresh_starts:
        assert len(np.unique(points.reshape(-1, 2), axis=0)) == points[..., 0].size


def test_fresh_starts_are_of_the_same_distribution_as_the_seeds(fresh_starts):
    start, goal = (points.reshape(-1, 2) for points in fresh_starts)
    radius = np.linalg.norm(start, axis=1)
    assert radius.min() >= 2 - 1e-6
    assert radius.max() <= 4 + 1e-6
    assert np.linalg.norm(goal, axis=1).max() <= 3 + 1e-6
    assert np.linalg.norm(start - goal, axis=1).min() > 1
    bank = start_states(np.arange(50_000, 70_000))
    for mine, theirs in (
        (start, bank.start),
        (goal, bank.goal),
        (start - goal, bank.start - bank.goal),
    ):
        for measure in (lambda p: np.linalg.norm(p, axis=1), lambda p: p[:, 0], lambda p: p[:, 1]):
            assert stats.ks_2samp(measure(mine), measure(theirs)).pvalue > FALSE_ALARM


def test_fresh_starts_depend_on_the_training_seed_and_fixed_ones_do_not():
    fresh, fixed = shadow_field(train_starts="fresh"), shadow_field()
    one, other, same = (fresh.init(seed=s).env_state.start for s in (0, 1, 0))
    assert not np.any(np.asarray(one) == np.asarray(other))
    np.testing.assert_array_equal(one, same)
    assert_same_bits(fixed.init(seed=0).env_state, fixed.init(seed=1).env_state)


@pytest.mark.slow
def test_fresh_starts_train():
    setup = shadow_field({"max_steps_in_episode": 5}, train_starts="fresh")
    state, chunk = setup.chunk(setup.init(), 2)
    assert chunk.finite
    assert np.all(chunk.metrics["episode_done_rate"][:2] > 0)  # episodes ended
    assert largest_difference(state.params, setup.init().params) > 1e-4


# ---------------------------------------------------------------- the reference notices


def test_the_options_are_told_apart_by_the_numpy_reference(x64):
    """What the replay of whole updates rests on: the reference's options are not idle either."""
    rng = np.random.default_rng(0)
    params = reference.as_numpy(
        jax.device_get(networks.init_params(jax.random.key(0), TINY_TIERS["1x3"], 4, -0.5))
    )
    samples = reference.Samples(
        rng.normal(size=(20, 4)),
        rng.normal(size=(20, 2)),
        rng.normal(size=20) - 2.0,
        *rng.normal(size=(3, 20)),
    )
    moved = []
    for changes in ({}, {"critic_lr": 1e-2}, {"value_clip": 0.05}):
        learner = reference.Learner(params)
        learner.step(samples, run_config(lr=1e-3, **changes).hparams)
        moved.append(reference.flatten(learner.params))
    for one in (1, 2):
        assert np.max(np.abs(moved[one] - moved[0])) > 1e-5
