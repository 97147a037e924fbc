"""What the end of an episode means for values: terminated x truncated, in both modes."""

import jax
import numpy as np
import pytest
import reference
from learn_setup import in_time, learned_from, on_stub, shadow_field
from stubs import Scripted, scripted

GAMMA, LAMBDA = 0.9, 0.8
ENVS, STEPS = 6, 12
MODES = ("terminal", "bootstrap")
TABLE = [(terminated, truncated) for terminated in (False, True) for truncated in (False, True)]


def scripted_setup(flags, rewards, truncation):
    envs, steps = np.shape(rewards)
    return on_stub(
        Scripted(),
        scripted(flags, rewards),
        tier="1x3",
        batch_envs=envs,
        rollout_length=steps,
        minibatch_size=envs * steps,
        truncation=truncation,
        gamma=GAMMA,
        gae_lambda=LAMBDA,
    )


def replayed(flags, params):
    """Values `[T, N]`, last values `[N]` and values of final observations `[T, N]`, by the book."""
    statistics = reference.WholeSample()
    envs, steps = np.shape(flags)[:2]
    ended = np.any(flags, axis=-1)
    now = np.tile([0.0, -1.0], (envs, 1))
    statistics.merge(now)
    values, final_values = [], []
    for t in range(steps):
        values.append(reference.critic_value(params, statistics.normalize(now)))
        number = np.full(envs, 0.3 * (t + 1))
        now = np.stack([number, np.where(ended[:, t], -1.0, 0.0)], axis=1)
        statistics.merge(now)
        final = np.stack([number, np.full(envs, 2.0)], axis=1)
        final_values.append(reference.critic_value(params, statistics.normalize(final)))
    last = reference.critic_value(params, statistics.normalize(now))
    return np.array(values), last, np.array(final_values)


@pytest.mark.parametrize("truncation", MODES)
def test_the_truth_table_of_a_rollouts_last_step(x64, truncation):
    """Return = r + gamma V', V' being of what follows, of the final observation, or nothing."""
    flags = np.zeros((ENVS, STEPS, 2), bool)
    flags[:4, -1] = TABLE
    rewards = np.zeros((ENVS, STEPS))
    rewards[:, -1] = np.arange(1.0, ENVS + 1)
    setup = scripted_setup(flags, rewards, truncation)
    state = setup.init(seed=3)
    returns = in_time(learned_from(setup, state).batch.returns, setup.config)[-1]
    _, following, final = replayed(flags, reference.as_numpy(jax.device_get(state.params)))
    assert np.all(np.abs(final[-1] - following) > 1e-3)  # they are told apart
    for env, (terminated, truncated) in enumerate(TABLE):
        expected = 0.0
        if not terminated and not truncated:
            expected = following[env]
        if not terminated and truncated and truncation == "bootstrap":
            expected = final[-1, env]
        assert abs(returns[env] - (rewards[env, -1] + GAMMA * expected)) < 1e-12


@pytest.mark.parametrize("truncation", MODES)
def test_every_end_cuts_the_recursion(x64, truncation):
    """Rollouts in which each environment ends at other steps, in other ways."""
    rng = np.random.default_rng(0)
    flags = rng.random((ENVS, STEPS, 2)) < 0.2
    flags[0] = False
    flags[1, 3:7] = TABLE
    rewards = rng.normal(size=(ENVS, STEPS))
    setup = scripted_setup(flags, rewards, truncation)
    state = setup.init(seed=3)
    batch = learned_from(setup, state).batch
    values, last_value, final_values = replayed(
        flags, reference.as_numpy(jax.device_get(state.params))
    )
    expected = reference.gae(
        rewards.T,
        values,
        last_value,
        flags[..., 0].T,
        flags[..., 1].T,
        GAMMA,
        LAMBDA,
        final_values if truncation == "bootstrap" else None,
    )
    got = in_time(batch.returns, setup.config)
    np.testing.assert_allclose(got, expected + values, rtol=0, atol=1e-11)
    normalized = (expected - expected.mean()) / (expected.std(ddof=1) + 1e-8)
    np.testing.assert_allclose(
        in_time(batch.advantage, setup.config), normalized, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("truncation", MODES)
def test_what_a_rollout_keeps_of_ends(truncation):
    """`done` is any end; final observations are kept for the bootstrap alone."""
    flags = np.array(TABLE)[:, None]
    setup = scripted_setup(flags, np.zeros((4, 1)), truncation)
    _, steps = setup.collect(setup.init(), jax.random.key(0))
    assert steps.done.tolist() == [[a or b for a, b in TABLE]]
    if truncation == "bootstrap":
        assert steps.timed_out.tolist() == [[b and not a for a, b in TABLE]]
        assert steps.final_obs.shape == (1, 4, 2)
    else:
        assert steps.timed_out is None
        assert steps.final_obs is None


def test_the_task_tells_success_from_time_out(x64):
    """On the real task: held goals terminate, the horizon truncates, at once they are both."""
    world = {"success_radius": 20.0, "success_dwell": 3, "max_steps_in_episode": 3}
    flags = {"tier": "1x3", "batch_envs": 2, "rollout_length": 4, "minibatch_size": 8}
    found = {}
    for case, change in {
        "success": {"max_steps_in_episode": 9},
        "time-out": {"success_dwell": 9},
        "both": {},
    }.items():
        setup = shadow_field(world | change, truncation="bootstrap", **flags)
        _, steps = setup.collect(setup.init(), jax.random.key(0))
        found[case] = (steps.done[:, 0].tolist(), steps.timed_out[:, 0].tolist())
    no, third = [False] * 4, [False, False, True, False]
    assert found == {"success": (third, no), "time-out": (third, third), "both": (third, no)}
