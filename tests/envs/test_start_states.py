"""Integer seeds: bit-exact starts, shapes, refusals; and random starts of the same distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import trajectories as golden

from pathb_jax.envs.fresh_starts import draw_start
from pathb_jax.envs.start_states import start_states, stream, uniforms

TABLE = np.genfromtxt(golden.GOLDEN / "initial_conditions.csv", delimiter=",", names=True)
SEEDS = TABLE["seed"].astype(np.int64)
EXPECTED = {
    name: np.stack([TABLE[f"{name}_x"], TABLE[f"{name}_y"]], axis=-1) for name in ("start", "goal")
}


@pytest.mark.parametrize("name", ["start", "goal"])
def test_golden_starts_are_bit_exact(name):
    found = getattr(start_states(SEEDS), name)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, EXPECTED[name])
    np.testing.assert_array_equal(found.astype(np.float32), EXPECTED[name].astype(np.float32))


def test_streams_and_first_uniforms_are_bit_exact():
    streams = stream(SEEDS.astype(np.uint32))
    np.testing.assert_array_equal(streams, TABLE["stream"].astype(np.uint32))
    for index in (1, 2, 3, 4):
        np.testing.assert_array_equal(uniforms(streams, index), TABLE[f"u{index}"])


@pytest.mark.parametrize(
    "seeds",
    [7, [7, 8], (7,), [[1, 2, 3], [4, 5, 6]], np.arange(5, dtype=np.uint32), [], [2**32 - 1]],
    ids=str,
)
def test_any_shape_of_seeds(seeds):
    shape = np.shape(seeds)
    found = start_states(seeds)
    assert found.start.shape == found.goal.shape == (*shape, 2)
    for index in np.ndindex(shape):
        one = start_states(int(np.asarray(seeds)[index]))
        np.testing.assert_array_equal(found.start[index], one.start)
        np.testing.assert_array_equal(found.goal[index], one.goal)


@pytest.mark.parametrize(
    "seeds", [-1, [3, -2], 2**32, [0, 2**70], 1.5, [1.0], "7", True, [None]], ids=str
)
def test_what_is_no_seed_is_refused(seeds):
    with pytest.raises(ValueError, match="seeds must"):
        start_states(seeds)


def test_rejected_attempts_are_replaced():
    start, goal = start_states(np.arange(20_000))
    streams = stream(np.arange(20_000, dtype=np.uint32))
    first_radius = np.sqrt(4 + 12 * uniforms(streams, 1))
    retried = np.abs(np.linalg.norm(start, axis=-1) - first_radius) > 1e-9
    assert 0.03 < retried.mean() < 0.07
    assert np.linalg.norm(start - goal, axis=-1).min() > 1.0


def test_random_starts_have_the_distribution_of_the_seeds():
    """Six Kolmogorov-Smirnov tests at p = 1e-6: one false alarm in 170 000 choices of the key."""
    keys = jax.random.split(jax.random.key(11), 20_000)
    drawn = jax.jit(jax.vmap(draw_start, in_axes=(0, None)))(keys, jnp.bool_(True))
    drawn = [np.asarray(points, np.float64) for points in drawn]
    known = start_states(np.arange(20_000))
    assert np.linalg.norm(drawn[0] - drawn[1], axis=-1).min() > 1.0
    for features in zip(_features(*drawn), _features(*known), strict=True):
        assert scipy.stats.ks_2samp(*features).pvalue > 1e-6


def _features(start, goal):
    yield from (np.linalg.norm(start, axis=-1), np.linalg.norm(goal, axis=-1))
    yield from (np.arctan2(*start.T), np.arctan2(*goal.T))
    yield np.linalg.norm(start - goal, axis=-1)
    yield start[:, 0] * goal[:, 1]


def test_an_unwanted_start_is_free_and_finite():
    start, goal = draw_start(jax.random.key(0), jnp.bool_(False))
    assert not np.any(start)
    assert not np.any(goal)
