"""Delay, optional channels, decoys and probes by hand-computed values; and what is refused."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathb_jax.envs import interventions as iv
from pathb_jax.envs import sensors
from pathb_jax.envs.shadow_field import MesaShadowField, bind
from pathb_jax.envs.start_states import start_states

KEY = jax.random.key(0)


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_delay_reads_the_row_of_then_and_the_oldest_there_is(delay):
    history = jnp.zeros((5, 4))
    for t in range(8):
        history = sensors.push_samples(history, jnp.full(4, t + 1.0), jnp.bool_(t == 0))
        expected = max(t - delay, 0) + 1.0
        np.testing.assert_array_equal(sensors.read_samples(history, delay), [expected] * 4)


def test_sensor_points_stay_inside_the_arena():
    points = sensors.sensor_points(jnp.array([5.0, -4.95]), 0.1, 5.0)
    np.testing.assert_allclose(points, [[5, -4.95], [4.9, -4.95], [5, -4.85], [5, -5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "expected"), [(-5.0, 0.0), (-1.0, 0.8), (0.0, 0.0), (2.5, 0.5), (5.0, 0.0)]
)
def test_texture(x, expected):
    assert float(sensors.texture(jnp.array([x, 3.0]), 5.0)) == pytest.approx(expected, abs=1e-6)


def test_optional_channels_are_appended_in_order():
    env = MesaShadowField(texture_channel=True, basin_channel=True)
    params = bind(env.default_params, [2.5, 1.0], [0.0, 0.0])
    observation = env.sense(KEY, env.start_state(KEY, params), params).observation
    np.testing.assert_allclose(observation[6:], [0.5, -5.0, -3.5], atol=1e-6)


def test_the_observed_basin_stays_where_the_false_basin_is_moved_from():
    env = MesaShadowField(basin_channel=True)
    params = env.default_params.replace(basin_center=(1.0, 2.0))
    params = bind(params, (0.5, 0.5), (1.0, 1.0))
    reading = env.sense(KEY, env.start_state(KEY, params), params)
    np.testing.assert_allclose(reading.observation[6:], [-3.0, -3.0], atol=1e-6)
    assert env.observation_space(params).contains(reading.observation)
    box = env.observation_space(params)
    np.testing.assert_allclose(box.low[6:], [-7.5, -7.5])


def test_privileged_values_are_untouched_by_sensor_edits_but_samples_are_not():
    env = MesaShadowField("privileged-field")
    edits = iv.stack_edits([iv.sensor_edit(0, scale=0.5)])
    params = bind(env.default_params, [1.0, 0.0], [0.0, 0.0])
    state = env.start_state(KEY, params)
    state, _ = env.transition(KEY, state, jnp.zeros(2), params)
    plain = env.sense(KEY, state, params)
    edited = env.sense(KEY, state, replace(params, edits=edits))
    np.testing.assert_array_equal(plain.observation, edited.observation)
    np.testing.assert_allclose(edited.samples, plain.samples / 2, rtol=1e-6)


def test_the_terminal_distance_to_the_false_basin_is_to_where_an_edit_moved_it():
    env = MesaShadowField()
    params = bind(env.default_params, [0.5, 1.5], [4.0, 4.0])
    state, _ = env.transition(KEY, env.start_state(KEY, params), jnp.zeros(2), params)
    edits = iv.stack_edits([iv.basin_position_edit(0, (3.5, 1.5))])
    plain = env.episode_metrics(state, params)
    edited = env.episode_metrics(state, replace(params, edits=edits))
    assert (float(plain.terminal_x), float(plain.terminal_y)) == (0.5, 1.5)
    assert float(plain.terminal_basin_distance) == pytest.approx(5.0)
    assert float(edited.terminal_basin_distance) == pytest.approx(3.0)


def weight(distance, decay, sigma):
    return {
        iv.Decay.LINEAR: max(0.0, 1 - distance / 3),
        iv.Decay.INV_SQ: 1 / (1 + distance**2 / sigma**2),
        iv.Decay.GAUSSIAN: np.exp(-(distance**2) / (2 * sigma**2)),
    }[decay]


@pytest.mark.parametrize(("decay", "d"), list(itertools.product(iv.Decay, [0.0, 1.3, 3.5])))
def test_decoy_weight(decay, d):
    found = iv.decoy_weight(jnp.float32(d**2), int(decay), 1.7)
    assert float(found) == pytest.approx(weight(d, decay, 1.7), abs=1e-6)


def test_a_decoy_saturates_the_samples_and_follows_the_scaled_sigma():
    env = MesaShadowField()
    params = bind(env.default_params, [3.0, 0.0], [0.0, 0.0])
    for strength, expected in [(5.0, [1.0] * 4), (-5.0, [0.0] * 4)]:
        probe = iv.probe(decoy=iv.decoy(strength, iv.Decay.LINEAR, (3.0, 0.0)))
        probed = iv.apply_probe(params, probe)
        reading = env.sense(KEY, env.start_state(KEY, probed), probed)
        np.testing.assert_array_equal(reading.samples, expected)
    probed = iv.apply_probe(params, iv.probe(scale=1.5))
    assert float(probed.signature_sigma) == pytest.approx(2.25)


def test_probes_apply_in_order_and_clip():
    params = bind(MesaShadowField().default_params, [2.0, 0.0], [0.0, 3.0])
    probe = iv.probe(rotate=np.pi / 2, translate=(1.0, 0.5), scale=2.0, mirror=iv.Mirror.Y)
    probed = iv.apply_probe(params, probe)
    np.testing.assert_allclose(probed.start, [-2.0, 5.0], atol=1e-6)
    np.testing.assert_allclose(probed.goal, [4.0, 1.0], atol=1e-6)


def test_the_empty_probe_and_no_edit_change_no_bit():
    params = bind(MesaShadowField(max_delay=2).default_params, *start_states(np.arange(50)))
    probed = iv.apply_probe(params, iv.probe())
    for before, after in zip(*map(jax.tree.leaves, (params, probed)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_stacked_probes_map_in_one_call():
    env = MesaShadowField(max_delay=4)
    params = bind(env.default_params, *start_states(6))
    probes = [
        iv.probe(),
        iv.probe(rotate=0.3, delay=4),
        iv.probe(decoy=iv.decoy(0.5, iv.Decay.GAUSSIAN, (1, 1))),
    ]

    def samples(probe):
        probed = iv.apply_probe(params, probe)
        return env.sense(KEY, env.start_state(KEY, probed), probed).samples

    mapped = jax.jit(jax.vmap(samples))(iv.stack_probes(probes))
    assert len({tuple(row) for row in mapped.tolist()}) == 3
    for row, probe in zip(mapped, probes, strict=True):
        np.testing.assert_allclose(row, samples(probe), atol=1e-6)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: iv.reward_edit(-1), "from 0"),
        (lambda: iv.stack_edits([]), "edits=None|at None"),
        (lambda: iv.stack_probes([]), "no probes"),
        (lambda: iv.observation_edit(0, [1, 0], [0.0]), "equally long"),
        (lambda: iv.observation_edit(0, [1] * 11, [0.0] * 11), "at most 10"),
        (lambda: iv.apply_probe(MesaShadowField().default_params, iv.probe()), "bind"),
    ],
)
def test_refusals(refused, message):
    with pytest.raises(ValueError, match=message):
        refused()
