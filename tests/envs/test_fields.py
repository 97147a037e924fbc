"""Reward channels and training rewards against a scalar program in plain Python."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathb_jax.envs import fields
from pathb_jax.envs.fields import Channels, RewardMode, SignatureShape

MODES = list(RewardMode)
SHAPES = list(SignatureShape)
MODES_AND_SHAPES = list(itertools.product(MODES, SHAPES))
NUMBERS = {
    "signature_sigma": 1.3,
    "basin_sigma": 0.8,
    "basin_bonus": 1.7,
    "control_cost": 0.07,
    "success_radius": 0.6,
}


def scalar_channels(x, goal, basin, action):
    d = math.dist(x, goal)
    bump = math.exp(-(math.dist(x, basin) ** 2) / (2 * NUMBERS["basin_sigma"] ** 2))
    cost = NUMBERS["control_cost"] * math.hypot(*action) ** 2
    return Channels(
        dense=-d,
        phase3=-d - cost + NUMBERS["basin_bonus"] * bump,
        sparse=1.0 if d < NUMBERS["success_radius"] else 0.0,
        signature=math.exp(-(d**2) / (2 * NUMBERS["signature_sigma"] ** 2)),
        false_basin=bump,
        action_cost=cost,
    )


def scalar_reward(channels, ended, mode, shape, lam, scale, threshold):
    paid = {
        SignatureShape.INTEGRATED: channels.signature,
        SignatureShape.TERMINAL: channels.signature if ended else 0.0,
        SignatureShape.THRESHOLD: 1.0 if channels.signature > threshold else 0.0,
    }[shape]
    return {
        RewardMode.SIGNATURE: paid,
        RewardMode.DENSE: channels.dense,
        RewardMode.PHASE3: channels.phase3,
        RewardMode.MIXED: (1 - lam) * paid + lam * scale * channels.dense,
        RewardMode.MIXED_PHASE3: (1 - lam) * paid + lam * scale * channels.phase3,
    }[mode]


@pytest.fixture(scope="module")
def world():
    """64 random `(x, goal, basin, action)` rows, some of them near the goal."""
    rows = np.random.default_rng(3).uniform(-2, 2, size=(64, 4, 2))
    rows[::4, 1] = rows[::4, 0] + 0.2
    return rows


@pytest.fixture(scope="module")
def channels(world):
    one = lambda row: fields.reward_channels(*row, **NUMBERS)  # noqa: E731
    return jax.jit(jax.vmap(one))(jnp.asarray(world))


@jax.jit
def rewards(channels, ended, mode, shape, lam, scale, threshold, delta):
    return jax.vmap(
        lambda row, over: fields.training_reward(
            row,
            over,
            mode=mode,
            mixed_lambda=lam,
            channel_scale=scale,
            shape=shape,
            threshold=threshold,
            compose_delta=delta,
        )
    )(channels, ended)


@pytest.mark.parametrize("name", Channels._fields)
def test_channel_against_scalar_formula(world, channels, name):
    expected = [getattr(scalar_channels(*row), name) for row in world.tolist()]
    np.testing.assert_allclose(getattr(channels, name), expected, rtol=0, atol=2e-6)
    assert len(set(expected)) > 1


@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize(("mode", "shape"), MODES_AND_SHAPES)
def test_training_reward_against_scalar_formula(world, channels, mode, shape, delta):
    ended = np.arange(64) % 3 == 0
    found = rewards(channels, ended, int(mode), int(shape), 0.7, 1.3, 0.4, delta)
    expected = [
        scalar_reward(scalar_channels(*row), over, mode, shape, 0.7, 1.3, 0.4)
        for row, over in zip(world.tolist(), ended, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize(("mode", "shape"), MODES_AND_SHAPES)
def test_delta_form_equals_canonical_form(channels, mode, shape):
    ended = np.arange(64) % 3 == 0
    unit = Channels(*(leaf / 8 for leaf in channels))  # |r| about 1, so that 1e-6 is a few ulps
    both = [rewards(unit, ended, int(mode), int(shape), 0.9, 1.0, 0.5, d) for d in (False, True)]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (RewardMode.DENSE, "dense"),
        (RewardMode.PHASE3, "phase3"),
        (RewardMode.SIGNATURE, "signature"),
    ],
)
@pytest.mark.parametrize("delta", [False, True])
def test_pure_modes_pay_the_channel_bit_by_bit(channels, mode, name, delta):
    found = rewards(channels, np.zeros(64, bool), int(mode), 0, 0.9, 1.7, 0.5, delta)
    np.testing.assert_array_equal(found, getattr(channels, name))


def test_variants_share_one_program(channels):
    before = rewards._cache_size()
    for mode, shape, delta in itertools.product(MODES, SHAPES, [False, True]):
        rewards(channels, np.zeros(64, bool), int(mode), int(shape), 0.25, 2.0, 0.1, delta)
    assert rewards._cache_size() - before <= 1


def test_gradient_is_that_of_the_signature():
    x, goal = jnp.array([0.4, -1.0]), jnp.array([1.0, 0.3])
    expected = jax.grad(fields.signature)(x, goal, 1.5)
    np.testing.assert_allclose(fields.signature_gradient(x, goal, 1.5), expected, atol=1e-7)
