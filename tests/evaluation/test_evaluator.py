"""The evaluator: whole episodes from fixed seeds, the same whatever else is evaluated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import SEEDS, assert_same_bits, rows, small_config, stored_state

from pathb_jax.config import TIERS
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import bind
from pathb_jax.evaluation import evaluator
from pathb_jax.evaluation.evaluator import SET_CAPACITY, evaluate_policy
from pathb_jax.evaluation.policies import MeanPolicy, policy_data, policy_file_data
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.store.policy_file import read_policy

STARTS = (10000, 20000, 30000)


@pytest.fixture(scope="module")
def evaluate(finished):
    """Evaluate the finished run's last policy; flags change the task, `scale` the actor."""
    state = stored_state(finished.config)

    def play(starts=STARTS, seeds=SEEDS, scale=1.0, **flags):
        config = small_config(finished.files.out, **flags)
        env = make_env(config.train)
        params = {**state.params, "actor": jax.tree.map(lambda x: x * scale, state.params["actor"])}
        return evaluate_policy(
            config.train, env, task_params(config, env), params, state.normalizer, starts, seeds
        )

    return play


def walk(config, state, seed):
    """Play one episode step by step through gymnax's own step, acting with the mean."""
    env = make_env(config.train)
    params = bind(task_params(config, env), *start_states(seed))
    step = jax.jit(env.step_env)

    @jax.jit
    def act(obs):
        normalized = normalizer.normalize(state.normalizer, obs)
        return networks.actor_mean(state.params, TIERS[config.train.tier], normalized)

    key = jax.random.key(0)
    obs, env_state = env.reset_env(key, params)
    for _ in range(200):
        obs, env_state, _, terminated, info = step(key, env_state, act(obs), params)
        if terminated:
            break
    return jax.device_get(info["metrics"])


def test_an_episode_is_what_stepping_gives(finished):
    table = rows(finished.files.evaluation_csv(10000, first=True))
    state = stored_state(finished.config)
    for index in (0, SEEDS - 1):
        metrics = walk(finished.config, state, 10000 + index)
        row = table[index]
        assert int(row["steps"]) == metrics.steps
        assert (row["terminalOutcome"] == "success") == metrics.success
        assert int(row["saturationCount"]) == metrics.saturation_count
        for column, value in {
            "terminalAlignment": metrics.terminal_alignment,
            "terminalDistance": metrics.terminal_distance,
            "pathEfficiency": metrics.path_efficiency,
            "terminalBasinDistance": metrics.terminal_basin_distance,
            "terminalX": metrics.terminal_x,
            "terminalY": metrics.terminal_y,
        }.items():
            assert float(row[column]) == pytest.approx(float(value), abs=1e-4)


def test_a_set_is_the_same_alone_or_with_others_in_any_order(evaluate):
    together = {result.seed_start: result for result in evaluate()}
    assert list(together) == list(STARTS)
    for start in STARTS:
        (alone,) = evaluate((start,))
        assert_same_bits(alone.episodes, together[start].episodes)
    for result in evaluate(STARTS[::-1]):
        assert_same_bits(result.episodes, together[result.seed_start].episodes)


def test_more_sets_than_one_call_takes(evaluate):
    starts = tuple(range(0, 10 * SET_CAPACITY, 8))
    results = evaluate(starts)
    assert [result.seed_start for result in results] == list(starts)
    for index in (0, SET_CAPACITY - 1, SET_CAPACITY, len(starts) - 1):
        (alone,) = evaluate((starts[index],))
        assert_same_bits(alone.episodes, results[index].episodes)


def test_seeds_name_episodes(evaluate):
    (first,), (shifted,) = evaluate((10000,), seeds=6), evaluate((10002,), seeds=6)
    for a, b in zip(
        jax.tree.leaves(first.episodes), jax.tree.leaves(shifted.episodes), strict=True
    ):
        np.testing.assert_allclose(a[2:], b[:-2], rtol=0, atol=1e-4)
    assert len(set(first.episodes.terminal_distance.tolist())) == 6


@pytest.mark.parametrize(
    "flags",
    [{"variant": "signature_ppo_terminal"}, {"mixed_lambda": 0.1}, {"seed_start": 5}, {"seed": 9}],
)
def test_what_is_rewarded_does_not_change_what_is_measured(evaluate, flags):
    for ours, theirs in zip(evaluate(), evaluate(**flags), strict=True):
        assert_same_bits(ours.episodes, theirs.episodes)


def test_another_policy_plays_other_episodes(evaluate):
    (ours,), (theirs,) = evaluate((10000,)), evaluate((10000,), scale=-1.0)
    assert (ours.episodes.terminal_distance != theirs.episodes.terminal_distance).all()


def test_a_policy_that_stands_still_times_out_where_it_began(evaluate):
    (result,) = evaluate((10000,), scale=0.0)
    start, goal = start_states(10000 + np.arange(SEEDS))
    distance = np.linalg.norm(start - goal, axis=-1)
    np.testing.assert_allclose(result.episodes.terminal_distance, distance, rtol=1e-6)
    to_basin = np.linalg.norm(start - (-2.5, -2.5), axis=-1)
    np.testing.assert_allclose(result.episodes.terminal_basin_distance, to_basin, rtol=1e-6)
    np.testing.assert_allclose(result.episodes.terminal_x, start[:, 0], rtol=1e-6)
    np.testing.assert_allclose(result.episodes.terminal_y, start[:, 1], rtol=1e-6)
    assert result.episodes.steps.tolist() == [200] * SEEDS
    assert (result.success_count, result.success_rate, result.mean_steps) == (0, 0.0, 200.0)
    assert result.episodes.path_efficiency.tolist() == [0.0] * SEEDS
    alignment = np.exp(-(distance**2) / (2 * 1.5**2)).mean()
    assert result.mean_terminal_alignment == pytest.approx(alignment, rel=1e-5)


def test_a_policy_that_reaches_the_goal_succeeds(finished):
    """On the privileged tier a linear policy can be written down: go to the goal."""
    config = small_config(finished.files.out, sensor_tier="privileged-field")
    env = make_env(config.train)
    params = networks.init_params(jax.random.key(0), TIERS["Small"], env.obs_dim, -0.5)
    # Observations are x, goal, ...: hidden units carry 0.01 (goal - x), small enough for tanh.
    towards = jnp.zeros((env.obs_dim, 64)).at[0, 0].set(-1.0).at[2, 0].set(1.0)
    towards = towards.at[1, 1].set(-1.0).at[3, 1].set(1.0)
    kernels = [0.01 * towards, jnp.eye(64), 100.0 * jnp.eye(64, 2)]
    actor = {
        f"Dense_{i}": {"kernel": kernel, "bias": jnp.zeros(kernel.shape[1])}
        for i, kernel in enumerate(kernels)
    }
    statistics = normalizer.init_normalizer(env.obs_dim)
    (result,) = evaluate_policy(
        config.train,
        env,
        task_params(config, env),
        {**params, "actor": actor},
        statistics,
        (10000,),
        16,
    )
    assert result.success_rate == 1.0
    assert (result.episodes.steps < 200).all()
    start, goal = start_states(10000 + np.arange(16))
    shortest = (np.linalg.norm(start - goal, axis=-1) - 0.2) / 0.05
    assert (result.episodes.steps >= shortest).all()
    assert result.mean_steps == result.episodes.steps.mean()
    assert (result.episodes.path_efficiency > 0.95).all()  # tanh bends far diagonals a little


def test_the_mean_policy_normalises_with_the_statistics_it_was_given(finished):
    state = stored_state(finished.config)
    data = policy_data(state.params, state.normalizer)
    policy = MeanPolicy(TIERS["Small"]).controller(make_env(finished.config.train), None, data)
    observation = jnp.arange(6.0) - 2.0
    _, action = policy.act(policy.init(), observation, None, None)
    shifted = (observation - state.normalizer.mean) / jnp.sqrt(state.normalizer.var)
    expected = networks.actor_mean(state.params, TIERS["Small"], shifted)
    np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


def test_the_policy_file_plays_the_runs_own_episodes(finished):
    config = finished.config
    env = make_env(config.train)
    actor, data = policy_file_data(read_policy(finished.files.policy))
    params = task_params(config, env)
    for result in evaluator.evaluate(env, actor, data, params, STARTS, SEEDS):
        own = finished.outcome.summaries[result.seed_start]
        assert result.success_count == own["success_count"]
        assert result.mean_terminal_alignment == pytest.approx(own["mean_terminal_alignment"])
