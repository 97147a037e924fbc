"""A fork: a run that goes on from another's exact state, with other numbers or other noise."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.learn.training import TrainState
from pathb_jax.runs.manifest import Lineage, read_manifest
from pathb_jax.runs.tables import length
from pathb_jax.store.run_files import RunFiles

if TYPE_CHECKING:
    from pathb_jax.runs.loading import Loaded

_OWN = ("updates", "seed", "log_std_init")
"""Settings of a run's schedule that change nothing of what a state does next, or but its noise."""


def check_fork(config: RunConfig, parent: "Loaded") -> None:
    """Refuse a fork that could not go on from its parent's state as it is.

    Raises:
        InputError: the shapes of the two runs differ, or a schedule would go on beyond its end.
    """
    for name, ours in dataclasses.asdict(config.train).items():
        theirs = getattr(parent.train_config, name)
        if theirs != ours:
            allowed = f"a fork goes on as the run it forks, which has {theirs!r}"
            raise InputError(f"--{name.replace('_', '-')}", ours, allowed)
    schedule, left = config.schedule, updates_left(parent)
    ends = schedule.lr_end, schedule.entropy_coef_end
    if schedule.updates > left and any(end is not None for end in ends):
        allowed = f"its schedule ends with the plan of the run it forks: give {left} at most"
        raise InputError("--updates", schedule.updates, allowed)


def forked_state(config: RunConfig, parent: "Loaded") -> TrainState:
    """Return a fork's first state: the parent's, with the noise of the fork's own seed.

    Update u draws from fold_in(key(seed), u), so that a fork of the parent's seed and
    hyper-parameters repeats the parent.
    """
    key = jax.random.key_data(jax.random.key(config.schedule.seed))
    return dataclasses.replace(parent.state, key=jnp.asarray(key))


def lineage_of(config: RunConfig, parent: "Loaded") -> Lineage:
    """Return what a fork's manifest says of where it comes from."""
    files = parent_files(parent)
    first_update, updates = planned_span(parent)
    return Lineage(
        parent=str(files.out),
        slug=files.slug,
        update=parent.meta.update,
        change=_changes(config, parent),
        seed=parent.meta.config.schedule["seed"],
        first_update=first_update,
        updates=updates,
    )


def planned_span(parent: "Loaded") -> tuple[int, int]:
    """Return the update index that a run's plan begins after, and how many updates it spans.

    A fork's plan is that of the run it forks.
    """
    files = parent_files(parent)
    if files.manifest.exists() and (fork := read_manifest(files).fork) is not None:
        return fork.first_update, fork.updates
    first = parent.meta.update - length(parent.history)
    return first, parent.meta.config.schedule["updates"]


def updates_left(parent: "Loaded") -> int:
    """Return how many updates a run's plan has after a state; none, or fewer, at its end."""
    first, updates = planned_span(parent)
    return first + updates - parent.meta.update


def parent_files(parent: "Loaded") -> RunFiles:
    """Return the files of the run that a state is of."""
    folder = parent.path.parent
    return RunFiles(folder.parent.parent, folder.name)


def _changes(config: RunConfig, parent: "Loaded") -> dict[str, Any]:
    ours, theirs = config.to_dict(), parent.meta.config
    return {
        name: value
        for group in ("task", "hparams", "schedule")
        for name, value in ours[group].items()
        if value != getattr(theirs, group).get(name) and name not in _OWN
    }
