"""The data of the task: parameters with edits and decoy, state, what a step and an episode return.

Every number may be traced, vmapped or swept; None switches a part of the world off at no cost.

Source: docs/spec/environment.md, "Constants" and "Episode metrics".
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment

from pathb_jax.envs.fields import Channels, RewardMode, SignatureShape

MAX_OBSERVATION = 10
"""Entries of the longest observation: an edit's masks and replacements are padded to it."""


class EditChannel(IntEnum):
    """What an edit changes."""

    NONE = 0
    REWARD = 1
    OBSERVATION = 2
    SIGNATURE_SENSOR = 3
    GEOMETRY = 4
    BASIN_POSITION = 5
    BASIN_OBSERVATION = 6


@struct.dataclass
class Edits:
    """K scheduled edits (leading axis K after `stack_edits`, none for a single edit).

    Attributes:
        step: `[K]` int32, the time index whose step the edit takes effect in.
        channel: `[K]` int32, an `EditChannel`.
        scale: `[K]`, of reward and signature-sensor edits.
        shift: `[K]`, of reward and signature-sensor edits.
        point: `[K, 2]`, the new goal, x_false or x_observed.
        mask: `[K, MAX_OBSERVATION]` bool, observation entries that are replaced.
        replacement: `[K, MAX_OBSERVATION]`, what they are replaced by.
    """

    step: jax.Array
    channel: jax.Array
    scale: jax.Array
    shift: jax.Array
    point: jax.Array
    mask: jax.Array
    replacement: jax.Array


class Decay(IntEnum):
    """How a decoy's strength falls off with distance."""

    LINEAR = 0
    INV_SQ = 1
    GAUSSIAN = 2


@struct.dataclass
class Decoy:
    """A bump that is added to the measured samples and leads nowhere.

    Attributes:
        strength: height; 0 is no decoy.
        decay: a `Decay`.
        at: `[2]`, its centre.
    """

    strength: Any
    decay: Any
    at: Any


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Numbers of the task (docs/spec/environment.md, "Constants"); the horizon is gymnax's own.

    Attributes:
        start: `[2]` where every episode of these parameters begins; None while unbound.
        goal: `[2]`, likewise.
        bound: static; whether start and goal are given, see `bind`.
        edits: mid-episode edits with leading axis K; None switches them off at no cost.
        decoy: a bump added to the samples; None switches it off at no cost.
    """

    max_steps_in_episode: Any = 200
    half_width: Any = 5.0
    dt: Any = 0.05
    action_max: Any = 1.0
    signature_sigma: Any = 1.5
    dynamics_sigma: Any = 0.0
    success_radius: Any = 0.2
    success_dwell: Any = 10
    regime_radius: Any = 0.5
    probe_offset: Any = 0.1
    control_cost: Any = 0.05
    basin_bonus: Any = 2.0
    basin_sigma: Any = 1.5
    basin_center: Any = (-2.5, -2.5)
    reward_mode: Any = RewardMode.MIXED_PHASE3
    mixed_lambda: Any = 0.9
    reward_channel_scale: Any = 1.0
    signature_shape: Any = SignatureShape.INTEGRATED
    signature_threshold: Any = 0.5
    compose_delta: Any = False
    delay: Any = 0
    noise_sigma: Any = 0.0
    start: Any = None
    goal: Any = None
    bound: bool = struct.field(pytree_node=False, default=False)
    edits: Edits | None = None
    decoy: Decoy | None = None


@struct.dataclass
class EnvState(environment.EnvState):
    """State of one episode.

    Attributes:
        time: int32, steps taken.
        position: `[2]`.
        start: `[2]`, x_0 of the path efficiency.
        goal: `[2]`, after the geometry edits that have taken effect.
        streak: int32, consecutive steps at the goal.
        path_length: sum of displacements after clipping.
        saturation_count: int32, steps with a saturated action.
        clipped_count: int32, steps in which a wall was touched.
        regime_count: int32, steps within the regime radius.
        history: `[max_delay + 1, 4]` samples, newest first; None without delay.
    """

    time: Any
    position: jax.Array
    start: jax.Array
    goal: jax.Array
    streak: jax.Array
    path_length: jax.Array
    saturation_count: jax.Array
    clipped_count: jax.Array
    regime_count: jax.Array
    history: jax.Array | None = None


class Outcome(NamedTuple):
    """What a step pays and how it ends: scalars, `applied_action` `[2]`.

    `reward` is the training reward; `channels` are the six it is made of, after a reward edit.
    """

    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    applied_action: jax.Array
    channels: Channels


class Reading(NamedTuple):
    """An observation `[D]` and the samples `[4]` it was assembled from, as read."""

    observation: jax.Array
    samples: jax.Array


@struct.dataclass
class EpisodeMetrics:
    """What an episode up to some state amounts to (docs/spec/environment.md, "Episode metrics").

    `terminal_basin_distance` is |x_T - x_false|, after the edits that have taken effect.
    """

    steps: jax.Array
    terminal_alignment: jax.Array
    terminal_distance: jax.Array
    terminal_basin_distance: jax.Array
    terminal_x: jax.Array
    terminal_y: jax.Array
    path_length: jax.Array
    path_efficiency: jax.Array
    saturation_count: jax.Array
    clipped_count: jax.Array
    regime_retention: jax.Array
    success: jax.Array


def bind(params: EnvParams, start: Any, goal: Any) -> EnvParams:
    """Return parameters whose episodes all begin at `start` with `goal`.

    Every number becomes an array of a fixed type, so that no later call recompiles because a
    Python number took an array's place.

    Args:
        params: bound or unbound parameters.
        start: `[..., 2]`; leading axes are for the caller to vmap over, see `bank_axes`.
        goal: `[..., 2]`, of the same shape.

    Raises:
        ValueError: the shapes differ or do not end in 2.
    """
    dtype = jnp.result_type(float)
    start, goal = jnp.asarray(start, dtype), jnp.asarray(goal, dtype)
    if start.shape != goal.shape or start.shape[-1:] != (2,):
        raise ValueError(f"start {start.shape} and goal {goal.shape} must both be [..., 2]")
    return replace(strong_typed(params), start=start, goal=goal, bound=True)


def strong_typed(params: EnvParams) -> EnvParams:
    """Return parameters whose numbers are arrays of fixed types, bound or not."""
    return jax.tree.map(_strong, params)


def bank_axes(params: EnvParams) -> EnvParams:
    """Return vmap's `in_axes` for a bank: 0 for start and goal, None for everything else.

    Unbound parameters have no start and goal: None for all of them.
    """
    if not params.bound:
        return jax.tree.map(lambda _: None, params)
    return replace(jax.tree.map(lambda _: None, params), start=0, goal=0)


def _strong(leaf: Any) -> jax.Array:
    """Return a number as an array whose type does not depend on how it was written."""
    array = jnp.asarray(leaf)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.result_type(float))
    if jnp.issubdtype(array.dtype, jnp.integer):
        return array.astype(jnp.int32)
    return array
