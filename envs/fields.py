"""The two scalar fields and what is paid for them: signature, false basin, reward channels.

Everything here is a pure function of numbers that may be traced. Reward mode, signature shape,
lambda and the form of the mixture are data too, so that all reward variants share one compiled
program. Choices are made by selection: the `dense` mode returns the dense channel's very bits.

Source: docs/spec/environment.md, "Rewards".
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import jax
import jax.numpy as jnp


class RewardMode(IntEnum):
    """What the training reward is made of (docs/spec/environment.md, "Rewards")."""

    SIGNATURE = 0
    DENSE = 1
    PHASE3 = 2
    MIXED = 3
    MIXED_PHASE3 = 4


class SignatureShape(IntEnum):
    """When the signature channel pays: at every step, at the last one, or above a threshold."""

    INTEGRATED = 0
    TERMINAL = 1
    THRESHOLD = 2


class Channels(NamedTuple):
    """The six reward channels of one step, each a scalar (or an array with leading axes)."""

    dense: jax.Array
    phase3: jax.Array
    sparse: jax.Array
    signature: jax.Array
    false_basin: jax.Array
    action_cost: jax.Array


def squared_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return `|a - b|^2` over the last axis: `[..., 2], [..., 2] -> [...]`."""
    dx = a[..., 0] - b[..., 0]
    dy = a[..., 1] - b[..., 1]
    return dx * dx + dy * dy


def distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return `|a - b|` over the last axis: `[..., 2], [..., 2] -> [...]`."""
    return jnp.sqrt(squared_distance(a, b))


def norm(vector: jax.Array) -> jax.Array:
    """Return the length of `[2]`."""
    return jnp.sqrt(vector[0] * vector[0] + vector[1] * vector[1])


def bump(squared: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Return `exp(-d^2 / (2 sigma^2))` of a squared distance, any shape.

    Example:
        >>> [round(float(bump(jnp.array(d * d), 1.5)), 4) for d in (0.0, 1.5, 3.0)]
        [1.0, 0.6065, 0.1353]
    """
    return jnp.exp(squared * (-0.5 / (sigma * sigma)))


def signature(position: jax.Array, goal: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Return the signature `S(x)`, a bump of height 1 on the goal: `[..., 2] -> [...]`."""
    return bump(squared_distance(position, goal), sigma)


def signature_gradient(position: jax.Array, goal: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Return `dS/dx = -S(x) (x - goal) / sigma^2`: `[2], [2] -> [2]`."""
    return signature(position, goal, sigma) / (sigma * sigma) * (goal - position)


def reward_channels(
    position: jax.Array,
    goal: jax.Array,
    basin: jax.Array,
    applied_action: jax.Array,
    *,
    signature_sigma: jax.Array | float,
    basin_sigma: jax.Array | float,
    basin_bonus: jax.Array | float,
    control_cost: jax.Array | float,
    success_radius: jax.Array | float,
) -> Channels:
    """Return the unedited reward channels of the position after the step.

    Args:
        position: `[2]`, after the step.
        goal: `[2]`.
        basin: `[2]`, x_false.
        applied_action: `[2]`, after the norm limit.
        signature_sigma: width of the signature.
        basin_sigma: width of the false basin.
        basin_bonus: beta, height of the false basin in phase3.
        control_cost: alpha, price of the squared action norm.
        success_radius: the sparse channel pays below this distance.

    Example:
        3 from the goal and in the middle of the false basin, after an action of norm 1:
        phase3 = -3 - 0.05 * 1 + 2 * 1.

        >>> channels = reward_channels(
        ...     *(jnp.array(p) for p in ((-2.5, -2.5), (0.5, -2.5), (-2.5, -2.5), (0.6, 0.8))),
        ...     signature_sigma=1.5, basin_sigma=1.5, basin_bonus=2.0,
        ...     control_cost=0.05, success_radius=0.2,
        ... )
        >>> {name: round(float(value), 3) for name, value in channels._asdict().items()}
        ... # doctest: +NORMALIZE_WHITESPACE
        {'dense': -3.0, 'phase3': -1.05, 'sparse': 0.0, 'signature': 0.135,
         'false_basin': 1.0, 'action_cost': 0.05}
    """
    squared = squared_distance(position, goal)
    dense = -jnp.sqrt(squared)
    false_basin = bump(squared_distance(position, basin), basin_sigma)
    ax, ay = applied_action[..., 0], applied_action[..., 1]
    action_cost = control_cost * (ax * ax + ay * ay)
    return Channels(
        dense=dense,
        phase3=dense - action_cost + basin_bonus * false_basin,
        sparse=(-dense < success_radius).astype(dense.dtype),
        signature=bump(squared, signature_sigma),
        false_basin=false_basin,
        action_cost=action_cost,
    )


def shaped_signature(
    value: jax.Array,
    ended: jax.Array,
    shape: jax.Array | int,
    threshold: jax.Array | float,
) -> jax.Array:
    """Return what the signature channel pays.

    `integrated`: S at every step. `terminal`: S on the step that ends the episode, else 0.
    `threshold`: 1 if S > threshold else 0.

    Args:
        value: S of the position after the step.
        ended: whether this step ended the episode.
        shape: a `SignatureShape`, possibly traced.
        threshold: what S must exceed in the threshold shape.
    """
    terminal = jnp.where(ended, value, jnp.zeros_like(value))
    threshold_value = (value > threshold).astype(value.dtype)
    return jnp.where(
        shape == int(SignatureShape.INTEGRATED),
        value,
        jnp.where(shape == int(SignatureShape.TERMINAL), terminal, threshold_value),
    )


def training_reward(
    channels: Channels,
    ended: jax.Array,
    *,
    mode: jax.Array | int,
    mixed_lambda: jax.Array | float,
    channel_scale: jax.Array | float,
    shape: jax.Array | int,
    threshold: jax.Array | float,
    compose_delta: jax.Array | bool,
) -> jax.Array:
    """Return the reward a learner is trained on.

    With S the shaped signature, R the dense or phase3 channel, L = `mixed_lambda` and
    s = `channel_scale`, the mixtures are `(1 - L) S + L s R`, or in the "delta" form
    `S + L (s R - S)`, which is the same but for rounding.

    Args:
        channels: the channels of this step, after a reward edit if there is one.
        ended: whether this step ended the episode.
        mode: a `RewardMode`, possibly traced.
        mixed_lambda: weight of the reward channel in the mixtures.
        channel_scale: factor on the reward channel in the mixtures.
        shape: a `SignatureShape`, possibly traced.
        threshold: see `shaped_signature`.
        compose_delta: whether the mixtures use the delta form.

    Example:
        >>> channels = Channels(*map(jnp.float32, (-3.0, -1.0, 0.0, 0.5, 1.0, 0.0)))
        >>> def mixed(weight):  # (1 - L) S + L phase3
        ...     return float(training_reward(
        ...         channels, jnp.bool_(False), mode=RewardMode.MIXED_PHASE3, mixed_lambda=weight,
        ...         channel_scale=1.0, shape=SignatureShape.INTEGRATED, threshold=0.5,
        ...         compose_delta=False,
        ...     ))
        >>> mixed(0.0), mixed(0.5), mixed(1.0)
        (0.5, -0.25, -1.0)
    """
    paid = shaped_signature(channels.signature, ended, shape, threshold)
    uses_phase3 = (mode == int(RewardMode.PHASE3)) | (mode == int(RewardMode.MIXED_PHASE3))
    corrupted = jnp.where(uses_phase3, channels.phase3, channels.dense)
    scaled = channel_scale * corrupted
    mixed = jnp.where(
        compose_delta,
        paid + mixed_lambda * (scaled - paid),
        (1.0 - mixed_lambda) * paid + mixed_lambda * scaled,
    )
    pure = (mode == int(RewardMode.DENSE)) | (mode == int(RewardMode.PHASE3))
    return jnp.where(mode == int(RewardMode.SIGNATURE), paid, jnp.where(pure, corrupted, mixed))
