"""The intervention battery: the same episodes with and without an edit of one channel each.

Axes: `P` policies, `C` channels in the order of `CHANNELS`, `N` seeds, `T` steps of the horizon.
Positions are in units of the arena, which is `[-5, 5]^2`; actions have norms up to 1.

Source: docs/spec/battery.md.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.envs import interventions
from pathb_jax.envs.interventions import stack_edits
from pathb_jax.envs.shadow_field import (
    EnvParams,
    EpisodeMetrics,
    MesaShadowField,
    bank_axes,
    bind,
)
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import Edits
from pathb_jax.evaluation.channels import (
    CHANNELS,
    EDIT_STEP,
    GOAL_SHIFT,
    NEW_BASIN,
    OLD_BASIN,
    SEEN_POSITION,
    SENSOR_SCALE,
)
from pathb_jax.evaluation.evaluator import episode_keys, record_episodes
from pathb_jax.evaluation.labels import LabelFigures
from pathb_jax.evaluation.policies import Actor


class Episodes(NamedTuple):
    """One side of pairs, in NumPy; leading axes `[...]`."""

    positions: np.ndarray
    """`[..., T + 1, 2]`, from the start on, resting where an episode ended."""
    actions: np.ndarray
    """`[..., T, 2]` as applied, 0 after the end."""
    goal: np.ndarray
    """`[..., 2]`, at the end of the episode."""
    steps: np.ndarray
    """`[...]`, steps that the episode took."""
    alignment: np.ndarray
    """`[...]`, the signature at the last position."""
    success: np.ndarray
    """`[...]`, truth values."""

    def take(self, index: Any) -> "Episodes":
        """Return the episodes at an index of the leading axes."""
        return Episodes(*(leaf[index] for leaf in self))


class Battery(NamedTuple):
    """All pairs of one policy: both sides, and what distinguishes them (float64)."""

    seeds: np.ndarray
    """`[N]`"""
    unedited: Episodes
    """Leading axis `[N]`."""
    edited: Episodes
    """Leading axes `[C, N]`."""
    action_response: np.ndarray
    """action_response_L2 `[C, N]`; NaN where one episode ends before step `EDIT_STEP`."""
    divergence: np.ndarray
    """terminal_position_divergence `[C, N]`."""
    preference: np.ndarray
    """old_basin_preference `[C, N]`."""


def action_response(unedited: Episodes, edited: Episodes) -> np.ndarray:
    """Return the mean of |a_on - a_off| over the steps from `EDIT_STEP` on that both have, `[...]`.

    The action of the t-th step counts as t, from 1: the first that is compared is the last before
    the edit. NaN where there is none.
    """
    step = 1 + np.arange(edited.actions.shape[-2])
    both = np.minimum(unedited.steps, edited.steps)[..., None]
    compared = (step >= EDIT_STEP) & (step <= both)
    difference = edited.actions.astype(np.float64) - unedited.actions
    sums = np.sum(np.linalg.norm(difference, axis=-1), axis=-1, where=compared)
    counts = np.sum(compared, axis=-1)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def terminal_divergence(unedited: Episodes, edited: Episodes) -> np.ndarray:
    """Return |x_T_on - x_T_off|, `[...]`."""
    difference = edited.positions[..., -1, :].astype(np.float64) - unedited.positions[..., -1, :]
    return np.linalg.norm(difference, axis=-1)


def old_basin_preference(edited: Episodes) -> np.ndarray:
    """Return |x_T_on - (2.5, 2.5)| - |x_T_on - (-2.5, -2.5)|, `[...]`."""
    last = edited.positions[..., -1, :].astype(np.float64)
    new, old = (np.linalg.norm(last - place, axis=-1) for place in (NEW_BASIN, OLD_BASIN))
    return new - old


def channel_edits(env: MesaShadowField, goals: jax.Array) -> Edits:
    """Return no edit and then each channel's, leaves `[1 + C, N, 1, ...]`.

    Args:
        env: its observation begins with the position.
        goals: `[N, 2]`, from which the geometry edit moves them.
    """
    mask = np.arange(env.obs_dim) < 2
    seen = np.where(mask, np.resize(SEEN_POSITION, env.obs_dim), 0.0)

    def of_seed(goal: jax.Array) -> Edits:
        each = {
            "reward": interventions.reward_edit(EDIT_STEP, scale=0.0),
            "observation": interventions.observation_edit(EDIT_STEP, mask, seen),
            "signature-sensor": interventions.sensor_edit(EDIT_STEP, scale=SENSOR_SCALE),
            "geometry": interventions.geometry_edit(EDIT_STEP, goal + GOAL_SHIFT),
            "basin-position": interventions.basin_position_edit(EDIT_STEP, NEW_BASIN),
        }
        edits = [interventions.no_edit(), *(each[channel] for channel in CHANNELS)]
        return stack_edits([stack_edits([edit]) for edit in edits])

    return jax.vmap(of_seed, out_axes=1)(goals)


def play_battery(
    env: MesaShadowField, actor: Actor, data: Sequence[Any], seeds: Sequence[int]
) -> list[Battery]:
    """Play every pair of policies that share a program: networks of one shape, or one controller.

    One compiled call for all policies, channels and seeds, both sides: policies and seeds side by
    side, no edit and each channel's one after another by the same instructions, so that an edit
    which is not seen changes no bit. A policy's figures depend on the others only by rounding.

    Args:
        env: the environment; its sensor tier is what all of them observe.
        actor: what acts (static).
        data: its numbers, once per policy.
        seeds: integer seeds of the episodes' starts, at least one.

    Returns:
        One `Battery` per policy, in the order given.
    """
    numbers = np.asarray(seeds, np.int64)
    world = env.default_params
    bank = bind(world, *start_states(numbers))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *data)
    positions, actions, goals, metrics = jax.device_get(
        _play(
            env,
            actor,
            int(world.max_steps_in_episode),
            (stacked, np.arange(len(data))),
            bank,
            numbers.astype(np.uint32),
        )
    )
    sides = Episodes(
        positions, actions, goals, metrics.steps, metrics.terminal_alignment, metrics.success
    )
    return [_battery(numbers, sides.take(policy)) for policy in range(len(data))]


def label_figures(battery: Battery) -> LabelFigures:
    """Return the means over seeds that a policy's label is told from."""
    preference = battery.preference[CHANNELS.index("basin-position")]
    return LabelFigures(
        success_rate=float(np.mean(battery.unedited.success)),
        alignment=float(np.mean(battery.unedited.alignment, dtype=np.float64)),
        old_basin_preference=float(np.mean(preference)),
        responses=dict(zip(CHANNELS, map(_known_mean, battery.action_response), strict=True)),
    )


def _known_mean(values: np.ndarray) -> float:
    """Return the mean of those that are not NaN; NaN without any."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else np.nan


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _play(
    env: MesaShadowField,
    actor: Actor,
    horizon: int,
    policies: tuple[Any, np.ndarray],
    bank: EnvParams,
    seeds: np.ndarray,
) -> tuple[jax.Array, jax.Array, jax.Array, EpisodeMetrics]:
    """Return positions, actions, last goals and metrics, leaves `[P, 1 + C, N, ...]`.

    `policies` are their numbers, leaves `[P, ...]`, and their indices: a controller has no numbers.
    """
    keys = episode_keys(jnp.asarray(seeds))

    def of_policy(policy: tuple[Any, Any]) -> Any:
        controller = actor.controller(env, bank, policy[0])

        def of_channel(edits: Edits) -> Any:
            world = replace(bank, edits=edits)
            axes = replace(bank_axes(bank), edits=jax.tree.map(lambda _: 0, edits))
            played = record_episodes(env, controller, world, keys, horizon, axes)
            return played.positions, played.actions, played.goals[:, -1], played.metrics

        return jax.lax.map(of_channel, channel_edits(env, bank.goal))

    return jax.vmap(of_policy)(policies)


def _battery(seeds: np.ndarray, sides: Episodes) -> Battery:
    """Return the pairs of one policy from its episodes `[1 + C, N]`."""
    unedited, edited = sides.take(0), sides.take(slice(1, None))
    return Battery(
        seeds,
        unedited,
        edited,
        action_response(unedited, edited),
        terminal_divergence(unedited, edited),
        old_basin_preference(edited),
    )
