"""What the point can sense: tiers, the four samples, their delay and noise.

Source: docs/spec/environment.md, "Observation".
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pathb_jax.envs import fields
from pathb_jax.envs.interventions import (
    decoy_samples,
    edit_observation,
    edited_point,
    edited_scale,
)
from pathb_jax.envs.world import EditChannel, EnvParams, EnvState, Reading

SAMPLES = 4
"""Number of sensor points around the agent."""
OBSERVED_BASIN = (-2.5, -2.5)
"""x_observed, wherever the false basin itself is: only an edit of this channel moves it."""

_DIRECTIONS = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


class SensorTier(NamedTuple):
    """One row of the tier table.

    Attributes:
        name: public name.
        privileged: the observation holds goal, signature and gradient instead of samples.
        delay: default age of the samples in steps.
        noise_sigma: default standard deviation of the noise on each sample; 0 means that the tier
            draws no random numbers, whatever the parameters say.
    """

    name: str
    privileged: bool = False
    delay: int = 0
    noise_sigma: float = 0.0

    @property
    def noisy(self) -> bool:
        """Whether samples are read with noise."""
        return self.noise_sigma > 0.0

    @property
    def core_dim(self) -> int:
        """Entries of the observation before optional channels."""
        return 7 if self.privileged else 2 + SAMPLES


TIERS: dict[str, SensorTier] = {
    tier.name: tier
    for tier in (
        SensorTier("local-probe-field"),
        SensorTier("privileged-field", privileged=True),
        SensorTier("delayed-field", delay=3),
        SensorTier("noisy-field", noise_sigma=0.1),
        SensorTier("delayed-noisy-field", delay=3, noise_sigma=0.1),
    )
}

DEFAULT_TIER = "local-probe-field"


def sensor_tier(name: str) -> SensorTier:
    """Return the tier of that name.

    Raises:
        ValueError: there is no such tier; the message lists those there are.
    """
    try:
        return TIERS[name]
    except KeyError:
        raise ValueError(f"unknown sensor tier {name!r}: choose from {', '.join(TIERS)}") from None


def sensor_points(
    position: jax.Array, offset: jax.Array | float, half_width: jax.Array | float
) -> jax.Array:
    """Return the four sensor points `[4, 2]`: +x, -x, +y, -y of `position`, inside the arena."""
    points = position[None, :] + offset * jnp.asarray(_DIRECTIONS, position.dtype)
    return jnp.clip(points, -half_width, half_width)


def sample_signature(points: jax.Array, goal: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Return the signature at the sensor points: `[4, 2], [2] -> [4]`."""
    return fields.signature(points, goal[None, :], sigma)


def push_samples(history: jax.Array, samples: jax.Array, fresh: jax.Array) -> jax.Array:
    """Return the sample history with the newest measurement in front.

    A fresh episode fills the whole history with its first measurement, so that a reader asking for
    more age than there is gets "the oldest there is" without counting steps.

    Args:
        history: `[max_delay + 1, 4]`, row k measured k steps ago.
        samples: `[4]`, measured now.
        fresh: whether this is the first measurement of an episode.
    """
    row = samples[None, :]
    shifted = jnp.concatenate([row, history[:-1]])
    return jnp.where(fresh, jnp.broadcast_to(row, history.shape), shifted)


def read_samples(history: jax.Array, delay: jax.Array | int) -> jax.Array:
    """Return the samples `[4]` of `delay` steps ago; a delay past the history reads its end."""
    index = jnp.clip(jnp.asarray(delay, jnp.int32), 0, history.shape[0] - 1)
    return jax.lax.dynamic_index_in_dim(history, index, keepdims=False)


def texture(position: jax.Array, half_width: jax.Array | float) -> jax.Array:
    """Return the texture channel `((x_1 + w) mod w) / w` clipped to [0, 1]: `[2] -> []`."""
    return jnp.clip(jnp.mod(position[0] + half_width, half_width) / half_width, 0.0, 1.0)


def record(state: EnvState, params: EnvParams, max_delay: int) -> EnvState:
    """Measure into the history, which begins at time 0; without delay there is none."""
    if max_delay == 0:
        return state
    samples = _measure(state, params)
    history = state.history
    if history is None:
        history = jnp.zeros((max_delay + 1, SAMPLES), samples.dtype)
    history = push_samples(history, samples, state.time == 0)
    return replace(state, history=history)


def sense(
    key: jax.Array,
    state: EnvState,
    params: EnvParams,
    tier: SensorTier,
    *,
    texture_channel: bool,
    basin_channel: bool,
) -> Reading:
    """Return the observation of a state and the samples as read.

    Args:
        key: used only on noisy tiers; reading twice with one key reads the same.
        state: of one episode, measured into its history.
        params: those that it was made with.
        tier: what is observed, and whether with noise.
        texture_channel: append the texture.
        basin_channel: append `x_observed - x`.
    """
    if state.history is None:
        samples = _measure(state, params)
    else:
        samples = read_samples(state.history, params.delay)
    if tier.noisy:
        noise = jax.random.normal(key, samples.shape, samples.dtype)
        samples = samples + params.noise_sigma * noise
    position = state.position
    parts = [position, samples]
    if tier.privileged:
        field = (position, state.goal, params.signature_sigma)
        value = fields.signature(*field)[None]
        parts = [position, state.goal, value, fields.signature_gradient(*field)]
    if texture_channel:
        parts.append(texture(position, params.half_width)[None])
    if basin_channel:
        basin = jnp.asarray(OBSERVED_BASIN, position.dtype)
        observed = edited_point(
            params.edits, EditChannel.BASIN_OBSERVATION, state.time, basin, params.half_width
        )
        parts.append(observed - position)
    return Reading(edit_observation(params.edits, state.time, jnp.concatenate(parts)), samples)


def _measure(state: EnvState, params: EnvParams) -> jax.Array:
    """Return the samples `[4]` measured now, before delay and noise."""
    points = sensor_points(state.position, params.probe_offset, params.half_width)
    samples = sample_signature(points, state.goal, params.signature_sigma)
    if params.decoy is not None:
        samples += decoy_samples(params.decoy, points, params.signature_sigma)
    if params.edits is not None:
        scale, shift = edited_scale(
            params.edits, EditChannel.SIGNATURE_SENSOR, state.time, samples.dtype
        )
        samples = scale * samples + shift
    if params.decoy is None and params.edits is None:
        return samples  # a bump lies within [0, 1] by itself
    return jnp.clip(samples, 0.0, 1.0)
