"""The world that other libraries train on is the one our trainer trains on."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.wrappers.purerl import FlattenObservationWrapper, LogWrapper

from pathb_jax.adapters.training_world import LegacyStepAPI, TrainingWorld, task_of
from pathb_jax.envs import MesaShadowField, bind
from pathb_jax.errors import InputError

ENVS = 3


@pytest.fixture(scope="module")
def world() -> TrainingWorld:
    return TrainingWorld()


@pytest.fixture(scope="module")
def actions(world: TrainingWorld) -> np.ndarray:
    shape = (world.horizon, ENVS, 2)
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)


def test_an_episode_begins_at_a_start_of_the_bank_with_its_goal(world: TrainingWorld):
    _, states = jax.vmap(world.reset)(jax.random.split(jax.random.key(1), 200))
    drawn = set(map(tuple, np.hstack([states.start, states.goal]).tolist()))
    bank = set(map(tuple, np.hstack([world.bank.start, world.bank.goal]).tolist()))
    assert drawn <= bank
    assert len(drawn) > 32  # of 64


def test_a_step_is_the_one_our_trainer_does(world: TrainingWorld, actions: np.ndarray):
    key = jax.random.key(0)
    _, state = world.reset(jax.random.key(2))
    own = bind(world.bank, state.start, state.goal)
    _, expected_state = world.env.reset(key, own)
    for action in actions[:5, 0]:
        *got, truncated, _ = world.step(key, state, jnp.asarray(action))
        *expected, expected_truncated, _ = world.env.step(key, expected_state, action, own)
        jax.tree.map(np.testing.assert_array_equal, got, expected)
        assert bool(truncated) == bool(expected_truncated)
        state, expected_state = got[1], expected[1]


def test_the_five_tuple_is_done_at_the_time_limit_and_begins_again(
    world: TrainingWorld, actions: np.ndarray
):
    env = LegacyStepAPI(world)
    key = jax.random.key(0)
    first_obs, state = env.reset(jax.random.key(3), env.default_params)

    def step(state, action):
        obs, state, reward, done, info = env.step(key, state, action, env.default_params)
        assert info == {}
        return state, (obs, reward, done)

    last, (obs, rewards, dones) = jax.jit(lambda s, a: jax.lax.scan(step, s, a))(
        state, actions[:, 0]
    )
    assert dones.tolist() == [False] * (world.horizon - 1) + [True]
    assert np.isfinite(rewards).all()
    np.testing.assert_array_equal(obs[-1], first_obs)
    np.testing.assert_array_equal(last.goal, state.goal)
    assert int(last.time) == 0


def test_termination_alone_makes_the_five_tuple_done(world: TrainingWorld):
    env = LegacyStepAPI(world)
    _, state = env.reset(jax.random.key(4))
    held = state.replace(position=state.goal, streak=world.bank.success_dwell - 1)
    assert bool(env.step(jax.random.key(0), held, jnp.zeros(2))[3])
    assert not bool(env.step(jax.random.key(0), state, jnp.zeros(2))[3])


def test_the_legacy_interface_is_copied_and_takes_any_environment():
    env = copy.deepcopy(LegacyStepAPI(MesaShadowField()))
    pickle.loads(pickle.dumps(env))
    obs, state = env.reset(jax.random.key(5))
    obs, state, _, done, info = env.step(jax.random.key(6), state, jnp.ones(2))
    assert (obs.shape, int(state.time), bool(done), info) == ((6,), 1, False, {})


@pytest.mark.parametrize("wrapper", [LogWrapper, FlattenObservationWrapper])
def test_the_wrappers_of_gymnax_take_it(wrapper, world: TrainingWorld, actions: np.ndarray):
    env, params = wrapper(world), world.default_params
    keys = jax.random.split(jax.random.key(7), ENVS)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    for action in actions:
        obs, state, _, _, truncated, info = step(keys, state, action, params)
    assert obs.shape == (ENVS, world.env.obs_dim)
    assert truncated.all()
    if wrapper is LogWrapper:
        assert info["returned_episode_lengths"].tolist() == [world.horizon] * ENVS


def test_starts_may_be_drawn_anew():
    world = TrainingWorld(task_of("signature_ppo_dense", train_starts="fresh"))
    _, states = jax.vmap(world.reset)(jax.random.split(jax.random.key(1), 100))
    assert len(set(map(tuple, states.start.tolist()))) == 100
    assert world.default_params.start is None


def test_a_task_that_is_not_allowed_is_refused():
    with pytest.raises(InputError, match="--mixed-lambda"):
        task_of("reward_ppo_phase3", mixed_lambda=0.5)
    with pytest.raises(InputError, match="sensor-tier"):
        task_of("reward_ppo_phase3", sensor_tier="x")
