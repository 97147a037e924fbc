"""How the point starts, moves, is paid and is counted.

Source: docs/spec/environment.md, "Action and dynamics", "Rewards" and "Episode metrics".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from pathb_jax.envs import fields
from pathb_jax.envs.fields import Channels
from pathb_jax.envs.fresh_starts import draw_start
from pathb_jax.envs.interventions import edited_point, edited_scale
from pathb_jax.envs.world import EditChannel, EnvParams, EnvState, EpisodeMetrics, Outcome

SATURATION = 0.99
"""A step counts as saturated from this fraction of action_max on."""

_MOVING, SENSING = 1_000_001, 1_000_002
"""Folded into a step's key, apart from the attempts that draw_start folds in."""


def first_state(key: jax.Array, params: EnvParams, wanted: jax.Array) -> EnvState:
    """Return a first state without history; an unwanted one costs no random numbers."""
    if params.bound:
        start, goal = jnp.asarray(params.start), jnp.asarray(params.goal)
    else:
        start, goal = draw_start(key, wanted)
    # The copies keep the state's buffers apart from each other and from the parameters',
    # so that a loop may donate the state.
    return EnvState(
        time=jnp.zeros((), jnp.int32),
        position=jnp.copy(start),
        start=jnp.copy(start),
        goal=jnp.copy(goal),
        streak=jnp.zeros((), jnp.int32),
        path_length=jnp.zeros((), start.dtype),
        saturation_count=jnp.zeros((), jnp.int32),
        clipped_count=jnp.zeros((), jnp.int32),
        regime_count=jnp.zeros((), jnp.int32),
    )


def advance(
    key: jax.Array, state: EnvState, action: Any, params: EnvParams, *, noisy: bool
) -> tuple[EnvState, Outcome]:
    """Move, count and pay; the history of samples is left as it is.

    Args:
        key: used only if `noisy`.
        state: of one episode.
        action: `[2]`, of any norm.
        params: bound or not.
        noisy: whether `dynamics_sigma` acts.
    """
    dtype = state.position.dtype
    time = state.time + 1
    goal = edited_point(params.edits, EditChannel.GEOMETRY, time, state.goal, params.half_width)
    applied, norm = limit_action(jnp.asarray(action, dtype), params.action_max)
    target = state.position + params.dt * applied
    if noisy:
        push = jax.random.normal(jax.random.fold_in(key, _MOVING), (2,), dtype)
        target += params.dynamics_sigma * push
    position = jnp.clip(target, -params.half_width, params.half_width)
    channels = _channels(position, goal, applied, time, params)
    gap = fields.distance(position, goal)
    streak = jnp.where(gap < params.success_radius, state.streak + 1, 0)
    advanced = replace(
        state,
        time=time,
        position=position.astype(dtype),
        goal=goal,
        streak=streak,
        path_length=state.path_length + fields.distance(position, state.position),
        saturation_count=state.saturation_count + (norm >= SATURATION * params.action_max),
        clipped_count=state.clipped_count + jnp.any(position != target),
        regime_count=state.regime_count + (gap < params.regime_radius),
    )
    terminated = is_terminated(advanced, params)
    truncated = advanced.time >= params.max_steps_in_episode
    reward = fields.training_reward(
        channels,
        terminated | truncated,
        mode=params.reward_mode,
        mixed_lambda=params.mixed_lambda,
        channel_scale=params.reward_channel_scale,
        shape=params.signature_shape,
        threshold=params.signature_threshold,
        compose_delta=params.compose_delta,
    )
    return advanced, Outcome(reward, terminated, truncated, applied, channels)


def is_terminated(state: EnvState, params: EnvParams) -> jax.Array:
    """Return whether the goal has been held long enough."""
    return state.streak >= params.success_dwell


def episode_metrics(state: EnvState, params: EnvParams) -> EpisodeMetrics:
    """Return the metrics of the episode up to `state`, all scalars."""
    steps = jnp.asarray(state.time, jnp.int32)
    gap = fields.distance(state.position, state.goal)
    moved = fields.distance(state.position, state.start)
    some = state.path_length > 0
    basin = _false_basin(state.time, state.position.dtype, params)
    return EpisodeMetrics(
        steps=steps,
        terminal_alignment=fields.bump(gap * gap, params.signature_sigma),
        terminal_distance=gap,
        terminal_basin_distance=fields.distance(state.position, basin),
        terminal_x=state.position[0],
        terminal_y=state.position[1],
        path_length=state.path_length,
        path_efficiency=jnp.where(some, moved / jnp.where(some, state.path_length, 1), 0),
        saturation_count=state.saturation_count,
        clipped_count=state.clipped_count,
        regime_retention=state.regime_count / jnp.maximum(steps, 1).astype(gap.dtype),
        success=is_terminated(state, params),
    )


def limit_action(action: jax.Array, limit: Any) -> tuple[jax.Array, jax.Array]:
    """Return the action `[2]` scaled to norm <= limit, direction kept, and its norm before.

    Where squares overflow the action is made smaller first; elsewhere it is multiplied by 1, which
    changes no bit. A component that is infinite or NaN gives NaN.
    """
    norm = fields.norm(action)
    overflows = jnp.isinf(norm)
    root = 2.0 ** (jnp.finfo(action.dtype).maxexp // 2)  # its square is the first that overflows
    action = action * jnp.where(overflows, 0.25 / root, 1.0)
    length = jnp.where(overflows, fields.norm(action), norm)
    return action * jnp.where(norm > limit, limit / length, 1.0), norm


def _channels(
    position: jax.Array, goal: jax.Array, applied: jax.Array, time: jax.Array, params: EnvParams
) -> Channels:
    """Return the reward channels of the edited world."""
    channels = fields.reward_channels(
        position,
        goal,
        _false_basin(time, position.dtype, params),
        applied,
        signature_sigma=params.signature_sigma,
        basin_sigma=params.basin_sigma,
        basin_bonus=params.basin_bonus,
        control_cost=params.control_cost,
        success_radius=params.success_radius,
    )
    if params.edits is None:
        return channels
    scale, shift = edited_scale(params.edits, EditChannel.REWARD, time, position.dtype)
    return channels._replace(
        dense=scale * channels.dense + shift,
        phase3=scale * channels.phase3 + shift,
        sparse=scale * channels.sparse + shift,
    )


def _false_basin(time: jax.Array, dtype: jnp.dtype, params: EnvParams) -> jax.Array:
    """Return x_false `[2]`, edited, at time index `time`."""
    basin = jnp.asarray(params.basin_center, dtype)
    return edited_point(params.edits, EditChannel.BASIN_POSITION, time, basin, params.half_width)
