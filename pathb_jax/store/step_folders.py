"""The folders of one run's checkpoints: ``<update>/`` is a checkpoint, every other name is not."""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.errors import InputError
from pathb_jax.store.integrity import MANIFEST, CheckpointError, find_damage
from pathb_jax.store.json_files import read_json
from pathb_jax.store.trees import Leaf

ARRAYS = "arrays"
STATE = "state.json"
SAVING, REPLACED, DELETING, DAMAGED = ".saving", ".replaced", ".deleting", ".damaged-"
"""Suffixes of ``<update>`` for folders that are no checkpoint (yet, or any more)."""

_UPDATE = "0|[1-9][0-9]*"
# Orbax and our own atomic writes work under longer names first.
_PART = rf"{ARRAYS}(\.orbax-checkpoint-tmp.*)?|(state|manifest)\.json(\..*\.tmp)?"


class State(NamedTuple):
    """The content of state.json."""

    success_rate: float | None
    meta: dict[str, Any]
    leaves: dict[str, Leaf]


def list_steps(directory: Path) -> list[int]:
    """Return the updates that have a folder, in ascending order."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch(_UPDATE, name, re.ASCII))


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
    """Undo what a kill cut short: half-written, half-replaced and half-deleted checkpoints.

    What this program did not make is left alone, whatever its name.
    """
    for leftover in sorted(directory.iterdir()):
        update, ending = leftover.stem, leftover.suffix
        if not re.fullmatch(_UPDATE, update, re.ASCII) or not is_checkpoint_or_part(leftover):
            continue
        if ending == REPLACED and not leftover.with_name(update).exists():
            leftover.rename(leftover.with_name(update))
        elif ending in (SAVING, REPLACED, DELETING):
            shutil.rmtree(leftover)


def is_checkpoint_or_part(folder: Path) -> bool:
    """Say whether a folder holds nothing but what a checkpoint consists of, finished or not."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = [entry.name.removeprefix(".") for entry in folder.iterdir()]
    return all(re.fullmatch(_PART, name) for name in names)


def make_room(folder: Path) -> None:
    """Delete an unfinished checkpoint of an earlier attempt, if there is one.

    Raises:
        FileExistsError: something else has that name.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not is_checkpoint_or_part(folder):
        raise FileExistsError(f"{folder} is in the way: this program did not make it")
    shutil.rmtree(folder)
