"""What gymnax 1.0, and code that scans, vmaps and donates, may rely on."""

import importlib
import itertools

import chex
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pathb_jax.envs
from pathb_jax.envs import interventions as iv
from pathb_jax.envs.fields import RewardMode
from pathb_jax.envs.sensors import TIERS
from pathb_jax.envs.shadow_field import ENV_ID, MesaShadowField, bank_axes, bind
from pathb_jax.envs.start_states import start_states

KEY = jax.random.key(2)
EVERY_ENV = [
    MesaShadowField(),
    *(MesaShadowField(tier, texture_channel=True, basin_channel=True) for tier in TIERS),
]


def label(env):
    return f"{env.tier.name}{'-channels' if env.texture_channel else ''}"


def test_make_gives_a_sensible_task():
    env, params = gymnax.make(ENV_ID)
    assert isinstance(env, MesaShadowField)
    assert params.max_steps_in_episode == 200
    assert params.reward_mode == RewardMode.MIXED_PHASE3
    assert params.mixed_lambda == 0.9
    assert not params.bound
    one, other = (env.reset(jax.random.key(k))[1] for k in (0, 1))
    assert not np.allclose(one.position, other.position)


def test_make_takes_the_constructor_arguments():
    env, params = gymnax.make(ENV_ID, sensor_tier="delayed-noisy-field", basin_channel=True)
    assert (env.obs_dim, params.delay, params.noise_sigma) == (8, 3, 0.1)


def test_a_reload_does_not_register_twice():
    importlib.reload(pathb_jax.envs)
    assert gymnax.registration.registered_envs.count(ENV_ID) == 1


@pytest.mark.parametrize("env", EVERY_ENV, ids=label)
def test_a_random_episode_stays_finite_and_within_the_specs(env):
    params = env.default_params

    def step(carry, key):
        state = carry
        action = 3.0 * env.action_space(params).sample(key)
        observation, state, reward, terminated, truncated, info = env.step(key, state, action)
        fine = env.observation_space(params).contains(observation)
        fine &= env.observation_space(params).contains(info["final_observation"])
        fine &= env.state_space(params).contains(state)
        return state, (observation, reward, terminated, truncated, fine)

    observation, state = env.reset(KEY)
    assert observation.shape == (env.obs_dim,) == env.observation_space(params).shape
    keys = jax.random.split(KEY, 250)
    with jax.numpy_rank_promotion("raise"):
        _, rows = jax.jit(lambda state: jax.lax.scan(step, state, keys))(state)
    observations, rewards, terminated, truncated, fine = jax.device_get(rows)
    assert observations.shape == (250, env.obs_dim)
    assert np.isfinite(observations).all()
    assert np.isfinite(rewards).all()
    assert fine.all()
    assert (terminated | truncated).any()
    assert np.ptp(observations, axis=0).min() > 0


@pytest.mark.parametrize("horizon", [2, 7])
@pytest.mark.parametrize("mapped", [False, True])
def test_terminated_and_truncated_truth_table(horizon, mapped):
    """Both, either and neither: streak about to fill or not, clock about to run out or not."""
    env = MesaShadowField()
    params = bind(env.default_params.replace(max_steps_in_episode=horizon), [3.0, 0], [0.0, 0])
    cases = list(itertools.product([False, True], repeat=2))
    state = env.reset(KEY, params)[1]
    states = [
        state.replace(
            position=jnp.zeros(2),
            streak=jnp.int32(9 if full else 3),
            time=jnp.int32(horizon - 1 if late else horizon - 2),
        )
        for full, late in cases
    ]
    if mapped:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        keys, actions = jax.random.split(KEY, 4), jnp.zeros((4, 2))
        results = jax.vmap(env.step, in_axes=(0, 0, 0, None))(keys, stacked, actions, params)
        results = [jax.tree.map(lambda leaf, k=k: leaf[k], results) for k in range(4)]
    else:
        results = [env.step(KEY, state, jnp.zeros(2), params) for state in states]
    for (full, late), (_, state, _, terminated, truncated, info) in zip(
        cases, results, strict=True
    ):
        assert (bool(terminated), bool(truncated)) == (full, late)
        assert (bool(info["terminated"]), bool(info["truncated"])) == (full, late)
        assert bool(info["metrics"].success) == full
        assert (int(state.time) == 0) == (full or late)
        expected = [3.0, 0.0] if full or late else [0.0, 0.0]
        np.testing.assert_array_equal(state.position, expected)
        np.testing.assert_array_equal(info["final_observation"][:2], [0.0, 0.0])


@pytest.mark.parametrize(
    ("tier", "bound"),
    [("local-probe-field", True), ("local-probe-field", False), ("delayed-noisy-field", True)],
)
def test_auto_reset_equals_an_explicit_reset(tier, bound):
    env = MesaShadowField(tier, dynamics_noise=True)
    params = env.default_params.replace(dynamics_sigma=0.01, max_steps_in_episode=4)
    params = bind(params, *start_states(8)) if bound else params
    step_env, reset_env = jax.jit(env.step_env), jax.jit(env.reset_env)
    _, state = env.reset(KEY, params)
    resets = 0
    for t in range(10):
        key = jax.random.fold_in(KEY, t)
        action = jnp.array([0.4, -0.8])
        key_step, key_reset = jax.random.split(key)
        observed, moved, paid, _, _ = step_env(key_step, state, action, params)
        observation, state, reward, terminated, truncated, info = env.step(
            key, state, action, params
        )
        np.testing.assert_allclose(info["final_observation"], observed, atol=1e-6)
        np.testing.assert_allclose(reward, paid, atol=1e-6)
        expected = (observed, moved)
        if terminated | truncated:
            resets += 1
            expected = reset_env(key_reset, params)
        chex.assert_trees_all_close((observation, state), expected, atol=1e-6)
    assert resets == 2


def test_state_has_no_weak_types_and_no_shared_buffers():
    for env in (MesaShadowField(), MesaShadowField("delayed-field")):
        params = bind(env.default_params, *start_states(3))
        for state in (env.reset(KEY, params)[1], env.start_state(KEY, params)):
            leaves = jax.tree.leaves(state)
            assert not any(leaf.weak_type for leaf in leaves)
            buffers = [
                leaf.unsafe_buffer_pointer() for leaf in [*leaves, params.start, params.goal]
            ]
            assert len(set(buffers)) == len(buffers)


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_a_donated_state_loops_without_a_second_program():
    env = MesaShadowField("delayed-field")
    params = bind(env.default_params, *start_states(np.arange(8)))
    axes = bank_axes(params)

    @chex.assert_max_traces(n=1)
    def step(keys, state, actions, params):
        return jax.vmap(env.step, in_axes=(0, 0, 0, axes))(keys, state, actions, params)

    chunk = jax.jit(step, donate_argnums=1)
    keys, actions = jax.random.split(KEY, 8), jnp.zeros((8, 2))
    _, state = jax.vmap(env.reset, in_axes=(0, axes))(keys, params)
    for _ in range(3):
        _, state, *_ = chunk(keys, state, actions, params)
    assert state.time.tolist() == [3] * 8
    np.testing.assert_array_equal(params.start, start_states(np.arange(8)).start.astype("f4"))


def test_equal_environments_share_their_programs():
    one, same, other = MesaShadowField(), MesaShadowField(), MesaShadowField("delayed-field")
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    traces = []
    f = jax.jit(lambda env, x: traces.append(env) or x, static_argnums=0)
    for env in (one, same, other):
        f(env, 1.0)
    assert len(traces) == 2


def test_no_second_program_for_seeds_edits_probes_or_reward_variants():
    env = MesaShadowField(max_delay=4)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def pay(params, probe):
        params = iv.apply_probe(params, probe)
        state = env.start_state(KEY, params)
        _, outcome = env.transition(KEY, state, jnp.ones(2), params)
        return outcome.reward

    edits = [
        iv.no_edit(),
        iv.reward_edit(0, scale=0),
        iv.sensor_edit(3, 0.1),
        iv.geometry_edit(2, (1, 1)),
        iv.basin_position_edit(0, (2.5, 2.5)),
        iv.basin_observation_edit(1, [0.0, 1]),
        iv.observation_edit(0, [1, 1], [4.5, 4.5]),
    ]
    probes = [iv.probe(), iv.probe(rotate=1, mirror=iv.Mirror.X), iv.probe(scale=2, delay=4)]
    rewards = []
    for k, (edit, probe) in enumerate(itertools.product(edits, probes)):
        params = env.default_params.replace(
            reward_mode=list(RewardMode)[k % 5],
            mixed_lambda=k / 21,
            compose_delta=k % 2 == 0,
            edits=iv.stack_edits([edit, iv.reward_edit(k)]),
        )
        rewards.append(float(pay(bind(params, *start_states(k)), probe)))
    assert len(set(rewards)) == len(rewards)


@pytest.mark.parametrize(
    ("env", "changed", "message"),
    [
        (MesaShadowField(), {"dynamics_sigma": 0.1}, "dynamics_noise=True"),
        (MesaShadowField(), {"noise_sigma": 0.1}, "noise_sigma"),
        (MesaShadowField("delayed-field"), {"delay": 4}, "max_delay = 3"),
        (MesaShadowField(), {"bound": True}, "pathb_jax.envs.bind"),
        (MesaShadowField(), {"start": np.zeros(2), "goal": np.zeros(2)}, "pathb_jax.envs.bind"),
    ],
)
def test_parameters_the_environment_was_not_built_for_are_refused(env, changed, message):
    params = env.default_params.replace(**changed)
    with pytest.raises(ValueError, match=message):
        env.reset(KEY, params)
    state = env.reset(KEY)[1]
    with pytest.raises(ValueError, match=message):
        env.step(KEY, state, jnp.zeros(2), params)
    with pytest.raises(ValueError, match=message):
        env.transition(KEY, state, jnp.zeros(2), params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"sensor_tier": "sonar"}, "local-probe-field"), ({"max_delay": -1}, "max_delay")],
)
def test_impossible_environments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MesaShadowField(**arguments)


@pytest.mark.parametrize(("start", "goal"), [([0.0], [0.0]), ([0.0, 1], [[0.0, 1]])])
def test_bind_refuses_other_shapes(start, goal):
    with pytest.raises(ValueError, match="must both be"):
        bind(MesaShadowField().default_params, start, goal)
