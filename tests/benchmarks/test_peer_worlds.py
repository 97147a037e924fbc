"""The world that other libraries train on is the one our trainer trains on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peer_worlds import FiveTupleWorld, HostWorlds, World, pinned

from pathb_jax.envs import bind

ENVS = 3


@pytest.fixture(scope="module")
def world() -> World:
    return World(pinned("Small"))


@pytest.fixture(scope="module")
def actions(world: World) -> np.ndarray:
    shape = (world.horizon, ENVS, 2)
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)


def test_an_episode_begins_at_a_start_of_the_bank_with_its_goal(world: World):
    _, states = jax.vmap(world.reset)(jax.random.split(jax.random.key(1), 200))
    drawn = set(map(tuple, np.hstack([states.start, states.goal]).tolist()))
    bank = set(map(tuple, np.hstack([world.bank.start, world.bank.goal]).tolist()))
    assert drawn <= bank
    assert len(drawn) > 32  # of 64


def test_a_step_is_the_one_our_trainer_does(world: World, actions: np.ndarray):
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
    world: World, actions: np.ndarray
):
    env = FiveTupleWorld(world)
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


def test_termination_alone_makes_the_five_tuple_done(world: World):
    env = FiveTupleWorld(world)
    _, state = env.reset(jax.random.key(4))
    held = state.replace(position=state.goal, streak=world.bank.success_dwell - 1)
    assert bool(env.step(jax.random.key(0), held, jnp.zeros(2))[3])
    assert not bool(env.step(jax.random.key(0), state, jnp.zeros(2))[3])


def test_host_worlds_keep_the_contract_of_vectorised_environments(
    world: World, actions: np.ndarray
):
    worlds = HostWorlds(world, ENVS)
    first = worlds.reset()
    assert (first.shape, first.dtype) == ((ENVS, world.env.obs_dim), np.float32)
    for action in actions[:-1]:
        before, rewards, dones, infos = worlds.step(action)
        assert not dones.any()
        assert infos == [{}] * ENVS
    obs, rewards, dones, infos = worlds.step(actions[-1])
    assert (rewards.shape, rewards.dtype) == ((ENVS,), np.float32)
    assert (dones.shape, dones.dtype) == ((ENVS,), np.bool_)
    assert dones.all()
    np.testing.assert_array_equal(obs, first)
    for index, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True
        # One step of at most 0.05 from the observation before, and not the new episode's.
        moved = np.linalg.norm(info["terminal_observation"][:2] - before[index, :2])
        assert 0.0 < moved <= 0.05 + 1e-6
        assert not np.array_equal(info["terminal_observation"], obs[index])


def test_host_worlds_hand_out_arrays_that_may_be_written_to(world: World, actions: np.ndarray):
    worlds = HostWorlds(world, ENVS)
    worlds.reset()[:] = 0.0
    obs, rewards, _, _ = worlds.step(actions[0])
    obs[:], rewards[:] = 0.0, 0.0
