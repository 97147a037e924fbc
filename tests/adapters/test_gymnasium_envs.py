"""The task in Gymnasium and Stable-Baselines3: their own checks, and the world is our trainer's."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pathb_jax.adapters import gymnasium_envs  # registers them
from pathb_jax.adapters.training_world import TrainingWorld
from pathb_jax.envs.shadow_field import ENV_ID, bind
from pathb_jax.errors import InputError

ENVS = 3


@pytest.fixture(scope="module")
def actions() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (200, ENVS, 2)).astype(np.float32)


@pytest.mark.filterwarnings("error:.*:UserWarning:gymnasium")
@pytest.mark.parametrize("fresh_starts", [False, True])
def test_it_passes_the_check_of_gymnasium(fresh_starts: bool) -> None:
    env = gymnasium.make(ENV_ID, render_mode="rgb_array", fresh_starts=fresh_starts)
    check_env(env.unwrapped)


@pytest.mark.filterwarnings("error:.*:UserWarning:stable_baselines3")
def test_it_passes_the_check_of_stable_baselines3() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(ENV_ID).unwrapped)


def test_a_step_is_the_one_our_trainer_does(actions: np.ndarray) -> None:
    env = gymnasium.make(ENV_ID).unwrapped
    obs, info = env.reset(seed=4)
    assert info == {}
    world, state = TrainingWorld(), env._states[-1]
    own = bind(world.bank, state.start, state.goal)
    _, expected_state = world.env.reset(jax.random.key(0), own)
    step = jax.jit(world.env.step_env)
    for place, action in enumerate(actions[:, 0]):
        obs, reward, terminated, truncated, info = env.step(action)
        expected, expected_state, paid, ended, _ = step(
            jax.random.key(0), expected_state, action, own
        )
        # Another program, which rounds in another order.
        np.testing.assert_allclose(obs, expected, rtol=0, atol=1e-5)
        assert reward == pytest.approx(float(paid), abs=1e-5)
        assert (terminated, truncated) == (bool(ended), place == 199)
    assert not info["success"]
    assert 0 < info["terminal_alignment"] < 1


def test_a_seed_repeats_an_episode() -> None:
    env = gymnasium.make(ENV_ID)
    first, again, other = (env.reset(seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_path_is_rendered(actions: np.ndarray) -> None:
    env = gymnasium.make(ENV_ID, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    for action in actions[:50, 0]:
        env.step(action)
    after = env.render()
    assert before.shape == after.shape == (480, 480, 3)
    assert (before != after).any()


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(InputError, match="--mixed-lambda"):
        gymnasium.make(ENV_ID, variant="reward_ppo_phase3", mixed_lambda=0.5)


def test_all_environments_are_stepped_at_once(actions: np.ndarray) -> None:
    envs = gymnasium.make_vec(ENV_ID, num_envs=ENVS)
    assert isinstance(envs, gymnasium_envs.MesaShadowFieldVectorEnv)
    assert envs.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    first, _ = envs.reset(seed=3)
    assert (first.shape, first.dtype) == ((ENVS, 6), np.float32)
    assert envs.observation_space.contains(first)
    for action in actions[:-1]:
        before, rewards, terminated, truncated, infos = envs.step(action)
        assert not (terminated | truncated).any()
        assert "final_obs" not in infos
    obs, rewards, terminated, truncated, infos = envs.step(actions[-1])
    assert (rewards.shape, rewards.dtype) == ((ENVS,), np.float32)
    assert truncated.all()
    assert not terminated.any()
    np.testing.assert_array_equal(obs, first)  # each begins at its own start again
    assert infos["_final_obs"].all()
    for index, final in enumerate(infos["final_obs"]):
        # One step of at most 0.05 from the observation before, and not the new episode's.
        moved = np.linalg.norm(final[:2] - before[index, :2])
        assert 0.0 < moved <= 0.05 + 1e-6
        assert not np.array_equal(final, obs[index])
    again, _ = envs.reset(seed=3)
    np.testing.assert_array_equal(again, first)
    one_by_one, _ = envs.reset(seed=[5, 6, 5])
    np.testing.assert_array_equal(one_by_one[0], one_by_one[2])
    with pytest.raises(ValueError, match="2 seeds for 3"):
        envs.reset(seed=[1, 2])


def test_stable_baselines3_gets_what_it_expects(actions: np.ndarray) -> None:
    pytest.importorskip("stable_baselines3")
    from pathb_jax.adapters.stable_baselines import ShadowFieldVecEnv

    envs = ShadowFieldVecEnv(ENVS, seed=1)
    first = envs.reset()
    for action in actions[:-1]:
        obs, rewards, dones, infos = envs.step(action)
        assert not dones.any()
        assert infos == [{}] * ENVS
    obs, rewards, dones, infos = envs.step(actions[-1])
    assert dones.all()
    np.testing.assert_array_equal(obs, first)
    for index, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True
        assert info["is_success"] is False
        assert not np.array_equal(info["terminal_observation"], obs[index])
    obs[:], rewards[:] = 0.0, 0.0  # they may be written to
