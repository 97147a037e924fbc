"""The reference controllers: what is reachable with the gradient, and with the samples alone.

A controller is a pure function of (its state, observation, samples as read, step index), without
branches that depend on data, so that an evaluator can scan and vmap any of them alike.

Source: docs/spec/environment.md, "Reference controllers".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from pathb_jax.envs import fields
from pathb_jax.envs.dynamics import limit_action
from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.envs.world import EnvParams

_GRADIENT = slice(5, 7)
"""Where the privileged observation holds dS/dx and dS/dy."""
_SIGNATURE = 4
"""Where the privileged observation holds S."""


class Controller(NamedTuple):
    """What an evaluator scans.

    Attributes:
        init: `() -> state`, the controller's state before its first call.
        act: `(state, observation [D], samples [4], step index) -> (state, action [2])`.
    """

    init: Callable[[], Any]
    act: Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[Any, jax.Array]]


def oracle(env: MesaShadowField) -> Controller:
    """Return the Oracle: unit action along the true gradient, none while S >= 0.999.

    Raises:
        ValueError: the environment's tier does not observe the true gradient.
    """
    if not env.tier.privileged:
        raise ValueError(f"the oracle needs the privileged-field tier, not {env.tier.name}")

    def act(
        state: tuple[()], observation: jax.Array, samples: jax.Array, step_index: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        del samples, step_index
        direction = _direction(observation[_GRADIENT], 0.0)
        arrived = observation[_SIGNATURE] >= 0.999
        return state, jnp.where(arrived, jnp.zeros_like(direction), direction)

    return Controller(init=lambda: (), act=act)


class Phase(IntEnum):
    """Phases of HC-Signature, in the order they are evaluated within one call."""

    SCAN = 0
    SEEK = 1
    TRACK = 2
    REACQUIRE = 3


class HCTable(NamedTuple):
    """The numbers of HC-Signature (docs/spec/environment.md, "Reference controllers")."""

    smoothing: float = 0.05
    no_direction: float = 1e-9
    blind: float = 1e-8
    scan_steps: int = 6
    scan_samples: float = 0.08
    arrived: float = 0.991
    settle_samples: float = 0.45
    settle_steps: int = 5
    max_lost: int = 20
    lost_samples: float = 0.05
    track_speed: float = 0.65
    dither: float = 0.03
    dither_rates: tuple[float, float] = (2.0, 2.7)
    spiral_radius: float = 0.025
    spiral_angle: float = 1.35


@struct.dataclass
class HCState:
    """State of HC-Signature: the phase (int32), its counters (int32) and the gradient `[2]`."""

    phase: jax.Array
    phase_step: jax.Array
    lost: jax.Array
    settle: jax.Array
    gradient: jax.Array

    def enter(self, phase: Phase, when: jax.Array) -> HCState:
        """Return the state after a change of phase, if it happens."""
        return replace(
            self,
            phase=jnp.where(when, jnp.int32(phase), self.phase),
            phase_step=jnp.where(when, 0, self.phase_step),
        )


def hc_signature(
    env: MesaShadowField, params: EnvParams, table: HCTable | None = None
) -> Controller:
    """Return HC-Signature, hand-coded, for any tier.

    Args:
        env: says whether the observation holds the true gradient.
        params: probe_offset and action_max are read.
        table: its numbers, for studies that vary them.
    """
    numbers = HCTable() if table is None else table

    def init() -> HCState:
        def zero() -> jax.Array:
            return jnp.zeros((), jnp.int32)

        return HCState(zero(), zero(), zero(), zero(), jnp.zeros((2,), jnp.result_type(float)))

    def act(
        state: HCState, observation: jax.Array, samples: jax.Array, step_index: jax.Array
    ) -> tuple[HCState, jax.Array]:
        raw = observation[_GRADIENT] if env.tier.privileged else central_difference(samples, params)
        smoothed = numbers.smoothing * raw + (1.0 - numbers.smoothing) * state.gradient
        state = replace(state, gradient=smoothed.astype(state.gradient.dtype))
        sensed = jnp.mean(samples)
        action = jnp.zeros((2,), state.gradient.dtype)
        state, action = _scan(state, action, sensed, params, numbers)
        state, action = _seek(state, action, sensed, params, numbers)
        state, action = _track(state, action, sensed, step_index, params, numbers)
        state, action = _reacquire(state, action, params, numbers)
        state = replace(state, phase_step=state.phase_step + 1)
        return state, limit_action(action, params.action_max)[0]

    return Controller(init, act)


def central_difference(samples: jax.Array, params: EnvParams) -> jax.Array:
    """Return the gradient `[2]` estimated from the four samples `[4]`."""
    ahead = jnp.stack([samples[0] - samples[1], samples[2] - samples[3]])
    return ahead / (2.0 * params.probe_offset)


def _scan(
    state: HCState, action: jax.Array, sensed: jax.Array, params: EnvParams, table: HCTable
) -> tuple[HCState, jax.Array]:
    here = state.phase == int(Phase.SCAN)
    leaves = (
        (state.phase_step >= table.scan_steps)
        | (sensed > table.scan_samples)
        | (fields.norm(state.gradient) > table.blind)
    )
    action = jnp.where(here & ~leaves, _spiral(state.phase_step, params, table), action)
    return state.enter(Phase.SEEK, here & leaves), action


def _seek(
    state: HCState, action: jax.Array, sensed: jax.Array, params: EnvParams, table: HCTable
) -> tuple[HCState, jax.Array]:
    here = state.phase == int(Phase.SEEK)
    arrived = sensed >= table.arrived
    blind = ~arrived & (fields.norm(state.gradient) <= table.blind)
    lost = jnp.where(arrived, state.lost, jnp.where(blind, state.lost + 1, 0))
    settle = jnp.where(sensed >= table.settle_samples, state.settle + 1, 0)
    ahead = _direction(state.gradient, table.no_direction) * params.action_max
    chosen = jnp.where(blind, _spiral(state.phase_step, params, table), ahead)
    chosen = jnp.where(arrived, jnp.zeros_like(chosen), chosen)
    state = replace(
        state, lost=jnp.where(here, lost, state.lost), settle=jnp.where(here, settle, state.settle)
    )
    settled = here & (settle >= table.settle_steps)
    state = state.enter(Phase.TRACK, settled)
    gone = here & ~settled & blind & (lost > table.max_lost)
    return state.enter(Phase.REACQUIRE, gone), jnp.where(here, chosen, action)


def _track(
    state: HCState,
    action: jax.Array,
    sensed: jax.Array,
    step_index: jax.Array,
    params: EnvParams,
    table: HCTable,
) -> tuple[HCState, jax.Array]:
    here = state.phase == int(Phase.TRACK)
    rates = jnp.asarray(table.dither_rates, action.dtype)
    dither = table.dither * jnp.sin(rates * jnp.asarray(step_index, action.dtype))
    ahead = _direction(state.gradient, table.no_direction) * params.action_max
    chosen = table.track_speed * ahead + dither
    chosen = jnp.where(sensed >= table.arrived, jnp.zeros_like(chosen), chosen)
    lost = jnp.where(sensed < table.lost_samples, state.lost + 1, 0)
    state = replace(state, lost=jnp.where(here, lost, state.lost))
    state = state.enter(Phase.REACQUIRE, here & (lost > table.max_lost))
    return state, jnp.where(here, chosen, action)


def _reacquire(
    state: HCState, action: jax.Array, params: EnvParams, table: HCTable
) -> tuple[HCState, jax.Array]:
    here = state.phase == int(Phase.REACQUIRE)
    state = state.enter(Phase.SCAN, here)
    state = replace(
        state, lost=jnp.where(here, 0, state.lost), settle=jnp.where(here, 0, state.settle)
    )
    return state, jnp.where(here, _spiral(jnp.int32(0), params, table), action)


def _spiral(phase_step: jax.Array, params: EnvParams, table: HCTable) -> jax.Array:
    """Return the spiral action `[2]` at a phase step: ever wider, never beyond action_max."""
    turn = jnp.asarray(phase_step + 1, jnp.result_type(float))
    radius = jnp.minimum(params.action_max, table.spiral_radius * turn)
    angle = table.spiral_angle * turn
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)])


def _direction(vector: jax.Array, threshold: float) -> jax.Array:
    """Return the unit vector of `[2]`, or 0 where the norm is at most `threshold`.

    Scaled by the larger component first: far from the goal the square of a gradient underflows.
    """
    largest = jnp.max(jnp.abs(vector))
    scaled = vector / jnp.where(largest > 0, largest, 1)
    length = fields.norm(scaled)
    known = (largest > 0) & (largest * length > threshold)
    return jnp.where(known, scaled / jnp.where(known, length, 1), jnp.zeros_like(vector))
