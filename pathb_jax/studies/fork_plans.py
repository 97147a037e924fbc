"""What a study of forks trains: changes as they are written, and every fork's configuration."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.config import SEED_LIMIT, EvaluationConfig, Hparams, OutputConfig, RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.store.run_files import LONGEST_LABEL

NONE = "none"
"""The reference: no change, with the same noises."""
OFF = "off"

Change = Mapping[str, Any]
"""Hyper-parameters and their new numbers; None switches an option off."""


class Floor(NamedTuple):
    """What a fork's end is held to: a protocol's first stage."""

    protocol: str
    seed_sets: tuple[int, ...]
    """First seeds of the protocol's sets; the first is judged."""
    threshold: float
    """Least success rate that passes."""


class ForkStudy(NamedTuple):
    """What all forks share."""

    run: Path
    at: int
    base: RunConfig
    """The parent's settings, as its state says them."""
    updates: int
    """Updates that each fork trains."""
    seeds: list[int]
    """Of the noise; none is the parent's own."""
    eval_seeds: int
    floor: Floor
    out: Path


def parse_change(text: str) -> Change:
    """Read `name=number`, or several joined by commas: one change.

    >>> parse_change("value_coef=0.25,critic_lr=1e-4")
    {'value_coef': 0.25, 'critic_lr': 0.0001}

    Raises:
        InputError: not of that form, or no such hyper-parameter.
    """
    names = [field.name for field in dataclasses.fields(Hparams)]
    switches = [name for name in names if getattr(Hparams(), name) is None]
    change: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        name = name.replace("-", "_")
        if name not in names:
            allowed = f"give name=number, name one of {', '.join(names)}"
            raise InputError("--change", text, allowed)
        if name in change:
            raise InputError("--change", text, f"{name} is there twice")
        try:
            change[name] = None if value == OFF and name in switches else float(value)
        except ValueError:
            or_off = f", or {name}={OFF}" if name in switches else ""
            raise InputError("--change", text, f"give {name}=number{or_off}") from None
    return change


def change_name(change: Change) -> str:
    """Return a change as it is written.

    >>> change_name({"value_coef": 0.25, "critic_lr": None})
    'value_coef=0.25,critic_lr=off'
    """
    parts = [f"{name}={OFF if value is None else repr(value)}" for name, value in change.items()]
    return ",".join(parts) or NONE


def noise_seeds(own: int, count: int) -> list[int]:
    """Return so many seeds that are not the parent's own: those that follow it.

    >>> noise_seeds(2**32 - 2, 3)
    [4294967295, 0, 1]
    """
    return [(own + 1 + k) % SEED_LIMIT for k in range(count)]


def fork_config(study: ForkStudy, change: Change, seed: int, output: OutputConfig) -> RunConfig:
    """Return the configuration of one fork; its files go into a folder of its own in `study.out`.

    Args:
        study: what it shares with the others.
        change: its change.
        seed: of its noise.
        output: backend and the like.

    Raises:
        InputError: the change is none, or not allowed.
    """
    name = change_name(change)
    base = study.base.hparams
    for knob, value in change.items():
        if getattr(base, knob) == value:
            raise InputError("--change", name, f"{knob} is that already in {study.run}")
    tag = "".join(c if c.isalnum() or c in "_-" else "_" for c in name.replace("=", "_"))
    label = f"fork_{study.at}_{tag}"
    if len(label) > LONGEST_LABEL:
        allowed = (
            f"it names its runs' files; at most {LONGEST_LABEL} characters with fork_{study.at}_"
        )
        raise InputError("--change", name, allowed)
    config = dataclasses.replace(
        study.base,
        hparams=dataclasses.replace(base, **change),
        schedule=dataclasses.replace(study.base.schedule, updates=study.updates, seed=seed),
        evaluation=EvaluationConfig(
            eval_seed_start=study.floor.seed_sets, eval_seeds=study.eval_seeds
        ),
        output=dataclasses.replace(
            output,
            run_label=label,
            out=study.out / f"{label}_seed_{seed}",
            load_checkpoint=study.run,
            fork_at=study.at,
        ),
    )
    try:
        return validated(config)
    except InputError as error:
        if error.field.removeprefix("--").replace("-", "_") in change:
            raise InputError("--change", name, error.allowed) from None
        raise


def fork_configs(
    study: ForkStudy, changes: Sequence[Change], output: OutputConfig
) -> list[tuple[Change, list[RunConfig]]]:
    """Return every change, no change first, with its forks' configurations in the order of seeds.

    Raises:
        InputError: as `fork_config`, or a change is there twice.
    """
    asked: list[Change] = [{}, *changes]
    names = [change_name(dict(sorted(change.items()))) for change in asked]
    for name in names:
        if names.count(name) > 1:
            raise InputError("--change", name, "it is there twice")
    return [
        (change, [fork_config(study, change, seed, output) for seed in study.seeds])
        for change in asked
    ]
