"""What is said of the episodes that ended in a rollout."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_setup import on_stub
from quick import quick_jit
from stubs import UNBOUND, Scripted, Walk, scripted

from pathb_jax.learn import episodes

ended = quick_jit(episodes.ended)
ENVS, STEPS, ROLLOUTS = 3, 7, 4


def by_the_book(rewards, terminated, done):
    """Return figures per rollout, episode by episode. All `[ROLLOUTS, STEPS, ENVS]`."""
    figures = []
    total, steps = np.zeros(ENVS), np.zeros(ENVS)
    for rollout in range(ROLLOUTS):
        finished = []
        for t in range(STEPS):
            for env in range(ENVS):
                total[env] += rewards[rollout, t, env]
                steps[env] += 1
                if done[rollout, t, env]:
                    finished.append((total[env], steps[env], terminated[rollout, t, env]))
                    total[env] = steps[env] = 0
        figures.append(np.mean(finished, axis=0) if finished else [np.nan] * 3)
    return np.array(figures)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.03, 0.2, 1.0]))
def test_means_over_whole_episodes_wherever_they_began(seed, rate):
    rng = np.random.default_rng(seed)
    shape = (ROLLOUTS, STEPS, ENVS)
    rewards = rng.normal(size=shape)
    done = rng.random(shape) < rate
    terminated = done & (rng.random(shape) < 0.5)
    with jax.enable_x64(True):
        ongoing, figures = episodes.none_begun(ENVS), []
        for arguments in zip(rewards, terminated, done, strict=True):
            ongoing, told = ended(ongoing, *arguments)
            figures.append(told)
    np.testing.assert_allclose(figures, by_the_book(rewards, terminated, done), atol=1e-12)


def test_a_run_tells_of_episodes_longer_than_its_rollouts():
    """Two scripted environments: four rollouts of 4 steps, an end in the third and the fourth."""
    steps = 16
    flags = np.zeros((2, steps, 2), bool)
    flags[0, 9, 0] = flags[1, 14, 1] = True  # terminated after 10 steps, timed out after 15
    rewards = np.arange(2.0 * steps).reshape(2, steps)
    setup = on_stub(
        Scripted(), scripted(flags, rewards), batch_envs=2, rollout_length=4, minibatch_size=4
    )
    _, chunk = setup.chunk(setup.init(), 4)
    assert (int(chunk.updates), bool(chunk.finite)) == (4, True)
    told = {name: column[:4] for name, column in chunk.metrics.items()}
    nan = np.nan
    np.testing.assert_allclose(told["episode_length"], [nan, nan, 10, 15])
    np.testing.assert_allclose(told["episode_success"], [nan, nan, 1, 0])
    expected = [nan, nan, rewards[0, :10].sum(), rewards[1, :15].sum()]
    np.testing.assert_allclose(told["episode_return"], expected, rtol=1e-6)
    np.testing.assert_allclose(told["episode_done_rate"], [0, 0, 1 / 8, 1 / 8])


@pytest.mark.parametrize("times_out", [False, True])
def test_a_time_out_is_no_success(times_out):
    setup = on_stub(Walk(times_out=times_out), UNBOUND)
    _, row = setup.update(setup.init())
    assert row["episode_success"] == (0 if times_out else 1)
    assert row["episode_length"] == Walk().length
