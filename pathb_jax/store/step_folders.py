"""The folders of one run's checkpoints: ``<update>/`` is a checkpoint, every other name is not."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from pathb_jax.errors import CheckpointError
from pathb_jax.store.integrity import MANIFEST, find_damage

SAVING, REPLACED, DELETING, DAMAGED = ".saving", ".replaced", ".deleting", ".damaged-"
"""Suffixes of ``<update>`` for folders that are no checkpoint (yet, or any more)."""

_UPDATE = "0|[1-9][0-9]*"
# Orbax and our own atomic writes work under longer names first.
_PART = r"arrays(\.orbax-checkpoint-tmp.*)?|(state|manifest)\.json(\..*\.tmp)?"


class SetAside(NamedTuple):
    """A damaged checkpoint: its update, where it lies now, and what is wrong with it."""

    update: int
    moved_to: Path
    reason: str


class LatestGood(NamedTuple):
    """The newest undamaged checkpoint (None: there was none at all), and those set aside."""

    path: Path | None
    set_aside: tuple[SetAside, ...]


def list_steps(directory: Path) -> list[int]:
    """Return the updates that have a folder, in ascending order."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch(_UPDATE, name, re.ASCII))


def complete_steps(directory: Path) -> list[int]:
    """Return the updates whose folder has a manifest, in ascending order; nothing is verified."""
    return [step for step in list_steps(directory) if (directory / str(step) / MANIFEST).is_file()]


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


def latest_good(directory: Path) -> LatestGood:
    """Walk back from the newest checkpoint of ``checkpoints/<slug>`` to one that is undamaged.

    Damaged ones on the way are renamed to ``<update>.damaged-<n>``, never deleted. For the run's
    one writer, before it resumes: what an interrupted save left behind is cleared, too.

    Raises:
        CheckpointError: there were checkpoints, now or before an earlier call, and none is good.
    """
    directory = Path(directory).absolute()
    if not directory.is_dir():
        return LatestGood(None, ())
    clear_interrupted(directory)
    set_aside: list[SetAside] = []
    for update in reversed(list_steps(directory)):
        path = directory / str(update)
        reason = find_damage(path)
        if reason is None:
            return LatestGood(path, tuple(set_aside))
        n = 1 + sum(1 for _ in directory.glob(f"{update}{DAMAGED}*"))
        moved_to = path.rename(directory / f"{update}{DAMAGED}{n}")
        set_aside.append(SetAside(update, moved_to, reason))
    damaged = sorted(entry.name for entry in directory.glob(f"*{DAMAGED}*"))
    if damaged:
        reasons = "".join(f"; update {aside.update}: {aside.reason}" for aside in set_aside)
        raise CheckpointError(
            f"no good checkpoint is left in {directory} (set aside: {', '.join(damaged)}){reasons}"
        )
    return LatestGood(None, ())
