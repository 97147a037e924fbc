"""The folders of one run's checkpoints: ``<update>/`` is a checkpoint, every other name is not."""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.errors import InputError
from pathb_jax.store.integrity import MANIFEST, CheckpointError, find_damage
from pathb_jax.store.json_files import read_json
from pathb_jax.store.trees import Leaf

STATE = "state.json"
SAVING, REPLACED, DELETING, DAMAGED = ".saving", ".replaced", ".deleting", ".damaged-"
"""Suffixes of ``<update>`` for folders that are no checkpoint (yet, or any more)."""


class State(NamedTuple):
    """The content of state.json."""

    success_rate: float | None
    meta: dict[str, Any]
    leaves: dict[str, Leaf]


def list_steps(directory: Path) -> list[int]:
    """Return the updates that have a folder, in ascending order."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name, re.ASCII))


def complete_steps(directory: Path) -> list[int]:
    """Return the updates whose folder has a manifest, in ascending order; nothing is verified."""
    return [step for step in list_steps(directory) if (directory / str(step) / MANIFEST).is_file()]


def best_step(directory: Path) -> int | None:
    """Return the update with the highest success rate, the latest of equals."""
    rated = [
        (read_success_rate(directory / str(update)), update) for update in complete_steps(directory)
    ]
    return max(((rate, update) for rate, update in rated if rate is not None), default=(0, None))[1]


def read_success_rate(step_dir: Path) -> float | None:
    """Return a checkpoint's success rate; None without one, or when it cannot be trusted."""
    try:
        return read_state(step_dir).success_rate
    except CheckpointError:
        return None


def read_state(step_dir: Path) -> State:
    """Read state.json, verifying that one file.

    Raises:
        CheckpointError: the checkpoint is incomplete, or the file is damaged or not of this kind.
    """
    damage = find_damage(step_dir, only=STATE)
    if damage is not None:
        raise CheckpointError(f"checkpoint {step_dir}: {damage}")
    try:
        state = read_json(step_dir / STATE)
        rate, meta, leaves = state["success_rate"], state["meta"], state["leaves"]
        if not isinstance(meta, dict):
            raise TypeError("meta")
        named = {name: Leaf.from_json(leaf) for name, leaf in leaves.items()}
        return State(None if rate is None else float(rate), meta, named)
    except (InputError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = f"{STATE} is not what this program writes ({error})"
        raise CheckpointError(f"checkpoint {step_dir}: {what}") from None


def clear_interrupted(directory: Path) -> None:
    """Undo what a kill cut short: half-written, half-replaced and half-deleted checkpoints."""
    for old in list(directory.glob(f"*{REPLACED}")):
        final = old.with_name(old.name.removesuffix(REPLACED))
        if final.exists():
            remove_folder(old)
        else:
            old.rename(final)
    for leftover in (*directory.glob(f"*{SAVING}"), *directory.glob(f"*{DELETING}")):
        remove_folder(leftover)


def remove_folder(folder: Path) -> None:
    """Delete a folder and what is in it, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)
