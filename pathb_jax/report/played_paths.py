"""Paths of judged evaluation episodes, played again from a run's policy for its page.

The files keep where an episode ended, not the way there. A path is shown only where it ends as the
files say, so that what a reader sees is the episode that was judged.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.envs.shadow_field import EnvParams, EpisodeMetrics, MesaShadowField, bind
from pathb_jax.envs.start_states import start_states
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import episode_keys, record_episodes
from pathb_jax.evaluation.policies import Actor
from pathb_jax.report.run_evidence import Ends
from pathb_jax.runs.subjects import Subject, policy_subject
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import RunRecord

MOST_POINTS = 200_000
"""Points of all paths in a page, at most."""
FEWEST_POINTS = 51
"""Of a path, before fewer seeds of each set get one."""
TOLERANCE = 0.02
"""How far from the files' end a path may end, in units of length: two devices round differently."""


class PlayedPaths(NamedTuple):
    """Paths of the first episodes of an evaluation set."""

    positions: np.ndarray
    """float32 `[n, points, 2]`, every `every` steps; the last point is the last position."""
    every: int
    horizon: int
    """Step of the last point."""
    steps: np.ndarray
    """`[n]`, when each episode ended."""
    agree: np.ndarray
    """bool `[n]`: it ends where the files say, and as they say."""


def play_paths(
    runs: Sequence[RunRecord], ends: Sequence[Mapping[int, Ends]], folder: Path
) -> list[dict[int, PlayedPaths]]:
    """Play the first episodes of every set of every run again.

    Args:
        runs: entries of a record.
        ends: of each run, as `read_ends` returns them.
        folder: the record's.

    Returns:
        Of each run: first seed of the set -> paths. Empty without a policy file that can be read.
    """
    found: list[dict[int, PlayedPaths]] = [{} for _ in runs]
    sets = sum(map(len, ends))
    most = MOST_POINTS // (FEWEST_POINTS * max(1, sets))
    for place, run in enumerate(runs):
        if not (most and ends[place] and (subject := _subject(folder, run))):
            continue
        env = MesaShadowField(subject.sensor_tier)
        for start, of_set in ends[place].items():
            seeds = of_set.seeds[:most]
            try:
                bank = bind(env.default_params, *start_states(seeds))
            except ValueError:  # no seeds of episodes
                continue
            found[place][start] = _played(subject, env, bank, of_set, len(seeds), sets)
    return found


def _subject(folder: Path, run: RunRecord) -> Subject | None:
    try:
        subject = policy_subject(RunFiles(folder / run.run_dir, run.slug).policy, "page")
    except (InputError, OSError):
        return None
    shown = MesaShadowField(subject.sensor_tier).obs_dim
    return subject if subject.observed == shown else None


def _played(
    subject: Subject, env: MesaShadowField, bank: EnvParams, of_set: Ends, count: int, sets: int
) -> PlayedPaths:
    horizon = int(bank.max_steps_in_episode)
    positions, metrics = jax.device_get(
        _record(env, subject.actor, horizon, subject.data, bank, of_set.seeds[:count])
    )
    away = np.abs(positions[:, -1] - of_set.positions[:count]).max(-1)
    agree = (away <= TOLERANCE) & (metrics.success == of_set.succeeded[:count])
    every = -(-sets * count * (horizon + 1) // MOST_POINTS)
    shown = np.r_[0:horizon:every, horizon]
    return PlayedPaths(positions[:, shown], every, horizon, metrics.steps, agree)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _record(
    env: MesaShadowField,
    actor: Actor,
    horizon: int,
    data: Any,
    bank: EnvParams,
    seeds: np.ndarray,
) -> tuple[jax.Array, EpisodeMetrics]:
    controller = actor.controller(env, bank, data)
    keys = episode_keys(jnp.asarray(seeds, jnp.uint32))
    played = record_episodes(env, controller, bank, keys, horizon)
    return played.positions, played.metrics
