"""What must hold in every world: walls, symmetries, causality of edits, vmap and jit."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.envs import interventions as iv
from pathb_jax.envs.shadow_field import MesaShadowField, bind
from pathb_jax.envs.start_states import start_states

STEPS = 16
ENV = MesaShadowField()
KEY = jax.random.key(0)
BASIN = (-0.8, 0.6)

examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
coordinates = st.floats(-1.75, 1.75, width=32)
places = st.tuples(coordinates, coordinates)
worlds = st.tuples(places, places, seeds)  # start, goal, actions


def actions_of(seed, steps=STEPS, size=1.5):
    return np.random.default_rng(seed).uniform(-size, size, (steps, 2)).astype(np.float32)


def episode(env, params, actions):
    """Return `(readings [T + 1], states [T], outcomes [T], metrics [T])` of an open-loop run."""

    def step(state, action):
        state, outcome = env.transition(KEY, state, action, params)
        metrics = env.episode_metrics(state, params)
        return state, (env.sense(KEY, state, params), state, outcome, metrics)

    state = env.start_state(KEY, params)
    first = env.sense(KEY, state, params)
    _, (readings, states, outcomes, metrics) = jax.lax.scan(step, state, actions)
    readings = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, readings)
    return readings, states, outcomes, metrics


run_jitted = jax.jit(episode, static_argnums=0)


def run(params, actions):
    return jax.device_get(run_jitted(ENV, params, actions))


def world(start, goal, basin=BASIN):
    return replace(bind(ENV.default_params, start, goal), basin_center=jnp.asarray(basin))


def rotated(points, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.asarray(points) @ turn.T).astype(np.float32)


def compare_worlds(one, other, move, permutation=None):
    """Check two episodes of which the second world is the first after `move(points)`."""
    (readings, states, outcomes, metrics), (readings2, states2, outcomes2, metrics2) = one, other
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=3e-6)
    close(states2.position, move(states.position))
    close(metrics2.terminal_distance, metrics.terminal_distance)
    close(metrics2.terminal_basin_distance, metrics.terminal_basin_distance)
    close(metrics2.terminal_alignment, metrics.terminal_alignment)
    close(metrics2.path_length, metrics.path_length)
    np.testing.assert_allclose(metrics2.path_efficiency, metrics.path_efficiency, atol=1e-4)
    close(outcomes2.channels.signature, outcomes.channels.signature)
    for name, channel in outcomes.channels._asdict().items():
        if name != "sparse":  # a step function, which rounding may cross
            close(getattr(outcomes2.channels, name), channel, err_msg=name)
    if permutation is not None:
        close(readings2.samples, readings.samples[:, permutation])


@examples
@given(worlds, st.floats(-7, 7, width=32))
def test_worlds_commute_with_rotation(world_, angle):
    start, goal, seed = world_
    probe = iv.probe(rotate=angle)
    one = run(world(start, goal), actions_of(seed))
    turned = iv.apply_probe(world(start, goal, rotated(BASIN, angle)), probe)
    compare_worlds(one, run(turned, rotated(actions_of(seed), angle)), lambda p: rotated(p, angle))


@examples
@given(worlds, places)
def test_worlds_commute_with_translation(world_, by):
    start, goal, seed = world_
    one = run(world(start, goal), actions_of(seed))
    basin = np.add(BASIN, by)
    moved = iv.apply_probe(world(start, goal, basin), iv.probe(translate=by))
    other = run(moved, actions_of(seed))
    compare_worlds(one, other, lambda p: p + np.float32(by), permutation=[0, 1, 2, 3])


@pytest.mark.parametrize(
    ("mirror", "signs", "permutation"),
    [(iv.Mirror.X, (1, -1), [0, 1, 3, 2]), (iv.Mirror.Y, (-1, 1), [1, 0, 2, 3])],
)
@examples
@given(worlds)
def test_worlds_commute_with_mirrors(mirror, signs, permutation, world_):
    start, goal, seed = world_
    signs = np.float32(signs)
    one = run(world(start, goal), actions_of(seed))
    mirrored = iv.apply_probe(world(start, goal, BASIN * signs), iv.probe(mirror=mirror))
    other = run(mirrored, actions_of(seed) * signs)
    compare_worlds(one, other, lambda p: p * signs, permutation)


@examples
@given(worlds)
def test_samples_turn_with_quarter_turns(world_):
    start, goal, seed = world_
    one = run(world(start, goal), actions_of(seed))

    def turn(points):
        return np.stack([-points[..., 1], points[..., 0]], axis=-1)

    turned = world(*map(turn, np.float32([start, goal])), turn(np.float32(BASIN)))
    compare_worlds(one, run(turned, turn(actions_of(seed))), turn, permutation=[3, 2, 0, 1])


@examples
@given(seeds, seeds)
def test_the_position_never_leaves_the_arena(seed, action_seed):
    params = replace(bind(ENV.default_params, *start_states(seed)), dt=jnp.float32(2.0))
    readings, states, _, metrics = run(params, actions_of(action_seed, size=3.0))
    positions = np.asarray(states.position)
    assert np.abs(positions).max() <= 5.0
    touched = np.abs(positions).max(axis=-1) == 5.0
    assert metrics.clipped_count[-1] >= touched[np.append(True, ~touched[:-1])].sum()
    assert readings.samples.min() >= 0.0
    assert readings.samples.max() <= 1.0


EDITS = {
    "reward": lambda k: iv.reward_edit(k, scale=-2.0, shift=1.0),
    "observation": lambda k: iv.observation_edit(k, [1, 0, 0, 1], [4.5, 0, 0, -3.0]),
    "signature-sensor": lambda k: iv.sensor_edit(k, scale=0.1, shift=0.2),
    "geometry": lambda k: iv.geometry_edit(k, (2.0, -9.0)),
    "basin-position": lambda k: iv.basin_position_edit(k, (2.5, 2.5)),
    "basin-observation": lambda k: iv.basin_observation_edit(k, (2.5, 2.5)),
}


@pytest.mark.parametrize("channel", EDITS)
@examples
@given(seed=seeds, k=st.integers(0, STEPS - 1))
def test_an_edit_leaves_everything_before_it_bit_equal(channel, seed, k):
    env = MesaShadowField(max_delay=2, basin_channel=True)
    base = replace(env.default_params, delay=2)
    both = []
    for edit in (iv.no_edit(), EDITS[channel](k)):
        params = bind(replace(base, edits=iv.stack_edits([edit])), *start_states(seed))
        both.append(jax.device_get(run_jitted(env, params, actions_of(seed))))
    for plain, edited in zip(*map(jax.tree.leaves, both), strict=True):
        before = k + (len(plain) == STEPS + 1)  # readings have one row more: that of the reset
        np.testing.assert_array_equal(plain[:before], edited[:before])
    everything = zip(*map(jax.tree.leaves, both), strict=True)
    late = channel == "signature-sensor" and k > STEPS - 3  # delayed past the end of the run
    assert late or any(not np.array_equal(a[k:], b[k:]) for a, b in everything)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_later_edit_replaces_an_earlier_one_in_any_order(reverse):
    edits = [iv.reward_edit(2, scale=2.0), iv.reward_edit(5, shift=1.0), iv.reward_edit(5, shift=3)]
    edits = edits[1:] + edits[:1] if reverse else edits
    params = bind(ENV.default_params, *start_states(4))
    plain = run(params, actions_of(1))[2].channels
    found = run(replace(params, edits=iv.stack_edits(edits)), actions_of(1))[2].channels
    expected = np.concatenate([plain.dense[:2], 2 * plain.dense[2:5], plain.dense[5:] + 3.0])
    np.testing.assert_allclose(found.dense, expected, atol=2e-6)
    np.testing.assert_allclose(found.signature, plain.signature, atol=1e-6)


def test_channels_and_seeds_map_over_edits():
    starts = start_states(np.arange(3))
    by_channel = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(iv.stack_edits([make(3)]) for make in EDITS.values())
    )
    actions = actions_of(2)

    def one(edits, start, goal):
        params = replace(ENV.default_params, edits=edits, start=start, goal=goal, bound=True)
        return episode(ENV, params, actions)

    over_seeds = jax.vmap(one, in_axes=(None, 0, 0))
    mapped = jax.jit(jax.vmap(over_seeds, in_axes=(0, None, None)))
    results = mapped(by_channel, *map(jnp.float32, starts))
    for c, make in enumerate(EDITS.values()):
        params = replace(ENV.default_params, edits=iv.stack_edits([make(3)]))
        alone = run(bind(params, starts.start[1], starts.goal[1]), actions)
        for leaf, expected in zip(*map(jax.tree.leaves, (results, alone)), strict=True):
            np.testing.assert_allclose(leaf[c, 1], expected, atol=1e-5)


def test_vmap_and_jit_change_nothing_beyond_rounding():
    env = MesaShadowField("delayed-noisy-field", dynamics_noise=True)
    bank = start_states(np.arange(4))
    params = replace(env.default_params, dynamics_sigma=0.01)
    actions = actions_of(9, steps=2)

    def one(start, goal):
        return episode(env, bind(params, start, goal), actions)

    mapped = jax.jit(jax.vmap(one))(*bank)
    with jax.disable_jit():
        plain = one(bank.start[2], bank.goal[2])
    single = jax.jit(one)(bank.start[2], bank.goal[2])
    for leaf, jitted, eager in zip(*map(jax.tree.leaves, (mapped, single, plain)), strict=True):
        np.testing.assert_allclose(jitted, leaf[2], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(jitted, eager, rtol=1e-6, atol=1e-5)
