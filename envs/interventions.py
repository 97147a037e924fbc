"""Mid-episode edits and start-of-episode probes, both as plain data.

Edits are stateless: the world at time index t is the original one folded over the edits whose step
lies before t, so that nothing about them is carried through an episode. All edits have the same
shapes whatever they change, which lets a battery vmap channels and seeds in one compiled call.

Source: docs/spec/environment.md, "Edits in mid-episode" and "Probes before an episode".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from pathb_jax.envs import fields
from pathb_jax.envs.world import (
    MAX_OBSERVATION,
    Decay,
    Decoy,
    EditChannel,
    Edits,
    EnvParams,
)

KEEP_DELAY = -1
"""Delay code of a probe that leaves the sensor delay as it is."""
_LINEAR_REACH = 3.0


def no_edit() -> Edits:
    """Return an edit that changes nothing: the other half of a matched pair."""
    return _edit(0, EditChannel.NONE)


def reward_edit(step: Any, scale: Any = 1.0, shift: Any = 0.0) -> Edits:
    """Return an edit after which dense, phase3 and sparse are `scale * r + shift`."""
    return _edit(step, EditChannel.REWARD, scale=scale, shift=shift)


def sensor_edit(step: Any, scale: Any = 1.0, shift: Any = 0.0) -> Edits:
    """Return an edit after which samples measure `clip01(scale * (S + decoy) + shift)`."""
    return _edit(step, EditChannel.SIGNATURE_SENSOR, scale=scale, shift=shift)


def geometry_edit(step: Any, goal: Any) -> Edits:
    """Return an edit that moves the goal to `goal` `[2]`."""
    return _edit(step, EditChannel.GEOMETRY, point=goal)


def basin_position_edit(step: Any, basin: Any) -> Edits:
    """Return an edit that moves the false basin x_false `[2]`; only rewards notice."""
    return _edit(step, EditChannel.BASIN_POSITION, point=basin)


def basin_observation_edit(step: Any, basin: Any) -> Edits:
    """Return an edit that moves the observed basin x_observed `[2]`; only the channel notices."""
    return _edit(step, EditChannel.BASIN_OBSERVATION, point=basin)


def observation_edit(step: Any, mask: Any, replacement: Any) -> Edits:
    """Return an edit that replaces masked entries of the observation vector.

    Args:
        step: the time index it takes effect in.
        mask: `[D]` of truth values, D at most `MAX_OBSERVATION`; missing entries are not masked.
        replacement: `[D]`, read where the mask is set.

    Raises:
        ValueError: mask and replacement differ in length, or are longer than any observation.
    """
    mask, replacement = jnp.asarray(mask), jnp.asarray(replacement)
    if mask.ndim != 1 or mask.shape != replacement.shape or mask.size > MAX_OBSERVATION:
        raise ValueError(
            f"mask {mask.shape} and replacement {replacement.shape} must be equally long vectors "
            f"of at most {MAX_OBSERVATION} entries"
        )
    pad = (0, MAX_OBSERVATION - mask.size)
    return _edit(
        step,
        EditChannel.OBSERVATION,
        mask=jnp.pad(mask.astype(bool), pad),
        replacement=jnp.pad(_number(replacement), pad),
    )


def stack_edits(edits: Sequence[Edits]) -> Edits:
    """Return the edits as one pytree with leading axis K, for `EnvParams.edits`.

    The order matters only between edits of one channel at one step, where the last one counts.

    Raises:
        ValueError: the sequence is empty (an environment without edits has `edits=None`).
    """
    if not edits:
        raise ValueError("no edits to stack: leave EnvParams.edits at None instead")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *edits)


def latest(
    edits: Edits | None, channel: EditChannel, time: jax.Array, *pairs: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, ...]:
    """Return what a channel's values are at time index `time`.

    A later edit of the channel replaces an earlier one as a whole; edits at the same step count in
    their order.

    Args:
        edits: K edits, or None for the original world at no cost.
        channel: whose values.
        time: scalar int32; edits with `step < time` have taken effect.
        *pairs: for each value its payload in the edits `[K, ...]` and its original `[...]`.
    """
    values = [original for _, original in pairs]
    if edits is None:
        return tuple(values)
    since = jnp.int32(-1)
    for k in range(edits.step.shape[0]):
        step = edits.step[k]
        takes = (edits.channel[k] == int(channel)) & (step < time) & (step >= since)
        values = [
            jnp.where(takes, payload[k].astype(value.dtype), value)
            for value, (payload, _) in zip(values, pairs, strict=True)
        ]
        since = jnp.where(takes, step, since)
    return tuple(values)


def edited_point(
    edits: Edits | None,
    channel: EditChannel,
    time: jax.Array,
    original: jax.Array,
    half_width: Any,
) -> jax.Array:
    """Return goal, x_false or x_observed `[2]` at time index `time`.

    A place that an edit names is clipped to the arena, whichever channel it is for.
    """
    if edits is None:
        return original
    point = jnp.clip(edits.point, -half_width, half_width)
    return latest(edits, channel, time, (point, original))[0]


def edited_scale(
    edits: Edits, channel: EditChannel, time: jax.Array, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array]:
    """Return scale and shift of the reward or signature-sensor channel, 1 and 0 without edit."""
    one, zero = jnp.ones((), dtype), jnp.zeros((), dtype)
    scale, shift = latest(edits, channel, time, (edits.scale, one), (edits.shift, zero))
    return scale, shift


def edit_observation(edits: Edits | None, time: jax.Array, observation: jax.Array) -> jax.Array:
    """Return the observation `[D]` with masked entries replaced."""
    if edits is None:
        return observation
    size = observation.shape[0]
    untouched = jnp.zeros((size,), bool)
    mask, replacement = latest(
        edits,
        EditChannel.OBSERVATION,
        time,
        (edits.mask[:, :size], untouched),
        (edits.replacement[:, :size], observation),
    )
    return jnp.where(mask, replacement, observation)


class Mirror(IntEnum):
    """Which component of the world a probe flips: "x" the second, "y" the first."""

    NONE = 0
    X = 1
    Y = 2


@struct.dataclass
class Probe:
    """A change of the world before an episode starts; the defaults change nothing.

    Attributes:
        rotate: angle in radians about the origin.
        translate: `[2]`.
        scale: factor on start, goal and signature_sigma.
        mirror: a `Mirror`.
        delay: sensor delay in steps, `KEEP_DELAY` leaves it.
        decoy: a `Decoy`, or None, which is a different program.
    """

    rotate: Any
    translate: Any
    scale: Any
    mirror: Any
    delay: Any
    decoy: Decoy | None = None


def decoy(strength: Any, decay: Decay | int, at: Any) -> Decoy:
    """Return a decoy whose leaves are arrays of a fixed type, so that decoys share a program."""
    return Decoy(_number(strength), jnp.asarray(decay, jnp.int32), _number(at))


def probe(
    *,
    rotate: Any = 0.0,
    translate: Any = (0.0, 0.0),
    scale: Any = 1.0,
    mirror: Mirror | int = Mirror.NONE,
    delay: Any = KEEP_DELAY,
    decoy: Decoy | None = None,
) -> Probe:
    """Return a probe whose leaves are arrays of a fixed type, so that probes share a program."""
    return Probe(
        rotate=_number(rotate),
        translate=_number(translate),
        scale=_number(scale),
        mirror=jnp.asarray(mirror, jnp.int32),
        delay=jnp.asarray(delay, jnp.int32),
        decoy=decoy,
    )


def stack_probes(probes: Sequence[Probe]) -> Probe:
    """Return the probes as one pytree with a leading axis to vmap over.

    If one of them has a decoy, the others get one of strength 0.

    Raises:
        ValueError: the sequence is empty.
    """
    if not probes:
        raise ValueError("no probes to stack")
    if any(each.decoy is not None for each in probes):
        nothing = decoy(0.0, Decay.LINEAR, (0.0, 0.0))
        probes = [replace(each, decoy=each.decoy or nothing) for each in probes]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *probes)


def apply_probe(params: EnvParams, probe: Probe) -> EnvParams:
    """Return bound parameters of the probed world; start and goal may have leading axes.

    The sensor history needs no clearing here: it begins with the reset that follows.

    Raises:
        ValueError: the parameters are not bound to a start and a goal.
    """
    if not params.bound:
        raise ValueError("a probe needs bound parameters: bind(params, start, goal) first")
    delay = jnp.where(probe.delay == KEEP_DELAY, params.delay, probe.delay)
    return replace(
        params,
        start=_moved(params.start, probe, params.half_width),
        goal=_moved(params.goal, probe, params.half_width),
        signature_sigma=params.signature_sigma * probe.scale,
        delay=delay,
        decoy=params.decoy if probe.decoy is None else probe.decoy,
    )


def decoy_weight(squared: jax.Array, decay: Any, sigma: Any) -> jax.Array:
    """Return `w(d)` of a decoy at squared distances of any shape.

    `linear` max(0, 1 - d/3), `inv_sq` 1 / (1 + d^2 / sigma^2), `gaussian` exp(-d^2 / (2 sigma^2)).
    """
    linear = jnp.maximum(0.0, 1.0 - jnp.sqrt(squared) / _LINEAR_REACH)
    inv_sq = 1.0 / (1.0 + squared / (sigma * sigma))
    gaussian = fields.bump(squared, sigma)
    return jnp.where(
        decay == int(Decay.LINEAR), linear, jnp.where(decay == int(Decay.INV_SQ), inv_sq, gaussian)
    )


def decoy_samples(decoy: Decoy, points: jax.Array, sigma: Any) -> jax.Array:
    """Return what the decoy adds at the sensor points: `[4, 2] -> [4]`."""
    at = jnp.asarray(decoy.at, points.dtype)
    squared = fields.squared_distance(points, at[None, :])
    return decoy.strength * decoy_weight(squared, decoy.decay, sigma)


def _moved(points: Any, probe: Probe, half_width: Any) -> jax.Array:
    """Rotate, translate, scale, mirror and clip `[..., 2]`."""
    points = jnp.asarray(points)
    cosine, sine = jnp.cos(probe.rotate), jnp.sin(probe.rotate)
    x, y = points[..., 0], points[..., 1]
    moved_x = (cosine * x - sine * y + probe.translate[0]) * probe.scale
    moved_y = (sine * x + cosine * y + probe.translate[1]) * probe.scale
    moved_x = jnp.where(probe.mirror == int(Mirror.Y), -moved_x, moved_x)
    moved_y = jnp.where(probe.mirror == int(Mirror.X), -moved_y, moved_y)
    moved = jnp.stack([moved_x, moved_y], axis=-1).astype(points.dtype)
    return jnp.clip(moved, -half_width, half_width)


def _number(value: Any) -> jax.Array:
    """Return a strongly typed float array of JAX's default precision."""
    return jnp.asarray(value, jnp.result_type(float))


def _edit(step: Any, channel: EditChannel, **payload: Any) -> Edits:
    if isinstance(step, int | np.integer) and step < 0:
        raise ValueError(f"an edit is scheduled for a step from 0, not {step}")
    return Edits(
        step=jnp.asarray(step, jnp.int32),
        channel=jnp.asarray(channel, jnp.int32),
        scale=_number(payload.get("scale", 1.0)),
        shift=_number(payload.get("shift", 0.0)),
        point=_number(payload.get("point", (0.0, 0.0))),
        mask=jnp.asarray(payload.get("mask", np.zeros(MAX_OBSERVATION, bool))),
        replacement=_number(payload.get("replacement", np.zeros(MAX_OBSERVATION))),
    )
