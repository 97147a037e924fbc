"""The published facts of the reference controllers, and what else they promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathb_jax.envs.controllers import HCState, Phase, hc_signature, oracle
from pathb_jax.envs.shadow_field import MesaShadowField, bank_axes, bind
from pathb_jax.envs.start_states import start_states

SEEDS = np.arange(10_000, 10_064)
MAKERS = {"oracle": lambda env, params: oracle(env), "hc-signature": hc_signature}


@functools.cache
def episodes(name, tier):
    env = MesaShadowField(tier)
    params = bind(env.default_params, *start_states(SEEDS))
    controller = MAKERS[name](env, params)

    def one(params):
        def step(carry, index):
            state, memory, over = carry
            key = jax.random.fold_in(jax.random.key(0), index)
            reading = env.sense(key, state, params)
            memory, action = controller.act(memory, reading.observation, reading.samples, index)
            moved, outcome = env.transition(key, state, action, params)
            state = jax.tree.map(lambda new, old: jnp.where(over, old, new), moved, state)
            over |= outcome.terminated | outcome.truncated
            return (state, memory, over), jnp.linalg.norm(action)

        first = env.start_state(jax.random.key(0), params)
        carry = (first, controller.init(), jnp.bool_(False))
        (state, _, _), norms = jax.lax.scan(step, carry, jnp.arange(200))
        return env.episode_metrics(state, params), norms

    return jax.device_get(jax.jit(jax.vmap(one, in_axes=(bank_axes(params),)))(params))


@pytest.mark.parametrize(
    ("name", "tier", "alignment"),
    [
        ("oracle", "privileged-field", 0.9996),
        ("hc-signature", "local-probe-field", 0.9944),
    ],
)
def test_published_facts(name, tier, alignment):
    metrics, norms = episodes(name, tier)
    assert metrics.success.all()
    assert round(float(metrics.terminal_alignment.mean()), 4) == alignment
    assert norms.max() <= 1.0 + 1e-6


def test_hc_signature_prefers_the_true_gradient_where_it_sees_it():
    metrics, _ = episodes("hc-signature", "privileged-field")
    assert metrics.success.all()


def test_the_oracle_needs_the_privileged_tier():
    with pytest.raises(ValueError, match="privileged-field"):
        oracle(MesaShadowField())


def hc_call(state, samples, step_index=0):
    env = MesaShadowField()
    controller = hc_signature(env, env.default_params)
    return controller.act(state, jnp.zeros(6), jnp.asarray(samples), jnp.int32(step_index))


def hc_state(phase, phase_step=0, lost=0, settle=0, gradient=(0.0, 0.0)):
    numbers = (jnp.int32(number) for number in (phase, phase_step, lost, settle))
    return HCState(*numbers, jnp.asarray(gradient))


def test_scan_spirals_and_leaves_after_six_steps():
    state, flat = hc_state(Phase.SCAN), [0.05] * 4
    for k in range(6):
        state, action = hc_call(state, flat)
        angle, radius = 1.35 * (k + 1), 0.025 * (k + 1)
        expected = [radius * np.cos(angle), radius * np.sin(angle)]
        np.testing.assert_allclose(action, expected, atol=1e-6)
        assert int(state.phase) == Phase.SCAN
    state, action = hc_call(state, flat)  # to SEEK at once, whose phase step starts again
    assert int(state.phase) == Phase.SEEK
    assert (int(state.phase_step), int(state.lost)) == (1, 1)
    np.testing.assert_allclose(action, [0.025 * np.cos(1.35), 0.025 * np.sin(1.35)], atol=1e-6)


def test_scan_seek_and_track_follow_within_one_call():
    state, action = hc_call(hc_state(Phase.SCAN, settle=4), [0.7, 0.5, 0.6, 0.6], step_index=3)
    assert int(state.phase) == Phase.TRACK
    expected = [0.65 + 0.03 * np.sin(6.0), 0.03 * np.sin(8.1)]
    np.testing.assert_allclose(action, expected, atol=1e-6)


def test_low_pass_of_the_central_difference():
    state, _ = hc_call(hc_state(Phase.SEEK, gradient=(1.0, 0.0)), [0.3, 0.1, 0.1, 0.2])
    expected = [0.05 * 1.0 + 0.95, 0.05 * -0.5]
    np.testing.assert_allclose(state.gradient, expected, atol=1e-6)


@pytest.mark.parametrize("phase", [Phase.SEEK, Phase.TRACK])
def test_no_action_at_the_top(phase):
    _, action = hc_call(hc_state(phase, gradient=(1.0, 0.0)), [0.995] * 4)
    assert not np.any(action)


@pytest.mark.parametrize(("lost", "after"), [(19, Phase.SEEK), (20, Phase.SCAN)])
def test_seek_gives_up_after_more_than_twenty_blind_steps(lost, after):
    state, action = hc_call(hc_state(Phase.SEEK, phase_step=9, lost=lost), [0.0] * 4)
    assert int(state.phase) == after
    spiral_step = 10 if after == Phase.SEEK else 1
    assert int(state.phase_step) == spiral_step
    assert int(state.lost) == (20 if after == Phase.SEEK else 0)
    np.testing.assert_allclose(np.linalg.norm(action), 0.025 * spiral_step, atol=1e-6)


@pytest.mark.parametrize(("settle", "after"), [(3, Phase.SCAN), (4, Phase.TRACK)])
def test_settling_wins_over_giving_up_in_the_same_call(settle, after):
    """Blind for more than 20 steps, at samples of 0.5 that call for settling."""
    state, _ = hc_call(hc_state(Phase.SEEK, lost=20, settle=settle), [0.5] * 4)
    assert state.phase == after


@pytest.mark.parametrize(("gradient", "blind"), [(9e-9, True), (1.1e-8, False)])
def test_seek_is_blind_up_to_the_gradient_that_scan_leaves_for(gradient, blind):
    """Between 1e-9, from which on a direction is known, and 1e-8 it spirals all the same."""
    before = (gradient / 0.95, 0.0)  # the samples are flat: the low-pass leaves 0.95 of it
    state, action = hc_call(hc_state(Phase.SEEK, phase_step=9, lost=3, gradient=before), [0.05] * 4)
    assert int(state.lost) == (4 if blind else 0)
    spiral = [0.25 * np.cos(13.5), 0.25 * np.sin(13.5)]
    np.testing.assert_allclose(action, spiral if blind else [1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(("gradient", "speed"), [(0.9e-9, 0.0), (1.1e-9, 0.65)])
def test_track_knows_a_direction_from_a_smaller_gradient_on(gradient, speed):
    state = hc_state(Phase.TRACK, gradient=(gradient / 0.95, 0.0))
    _, action = hc_call(state, [0.05] * 4)
    np.testing.assert_allclose(action, [speed, 0.0], atol=1e-6)


@pytest.mark.parametrize(("lost", "after"), [(19, Phase.TRACK), (20, Phase.SCAN)])
def test_track_gives_up_after_more_than_twenty_faint_steps(lost, after):
    state, _ = hc_call(hc_state(Phase.TRACK, lost=lost, settle=7, gradient=(1, 0)), [0.04] * 4)
    assert int(state.phase) == after
    assert int(state.settle) == (7 if after == Phase.TRACK else 0)
