"""Checkpoints: the whole train state as one unit, complete and verified or not there at all.

The only module that knows Orbax. Arrays and JSON are all there is, so loading runs no code::

    checkpoints/<slug>/<update>/arrays/        Orbax: the tree's leaves by name, as host arrays
                                state.json     the caller's meta, success rate, names and shapes
                                manifest.json  SHA-256 of every file, written last (integrity.py)

One writer per folder is assumed (the run holds a lock); any number may read.
"""

import errno
import functools
import logging
import math
import os
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import sync_folder, write_atomically
from pathb_jax.store.integrity import MANIFEST, CheckpointError, find_damage, seal
from pathb_jax.store.json_files import READ_LIMIT, encode_json
from pathb_jax.store.step_folders import (
    DAMAGED,
    DELETING,
    REPLACED,
    SAVING,
    STATE,
    best_step,
    clear_interrupted,
    complete_steps,
    list_steps,
    read_state,
    read_success_rate,
    remove_folder,
)
from pathb_jax.store.trees import Leaf, find_mismatch, named_leaves, rebuild, snapshot

__all__ = [
    "CheckpointError",
    "CheckpointStore",
    "LatestGood",
    "SetAside",
    "latest_good",
    "named_arrays",
    "read_meta",
    "resolve_checkpoint",
    "restore",
]

ARRAYS = "arrays"


class SetAside(NamedTuple):
    """A damaged checkpoint: its update, where it lies now, and what is wrong with it."""

    update: int
    moved_to: Path
    reason: str


class LatestGood(NamedTuple):
    """The newest undamaged checkpoint (None: there was none at all), and those set aside."""

    path: Path | None
    set_aside: tuple[SetAside, ...]


class CheckpointStore:
    """Saves into one folder ``checkpoints/<slug>``; keeps the last few and the best.

    ``save`` copies the arrays and returns; one background thread writes them. Its errors surface as
    CheckpointError at the next ``save``, ``wait``, ``close``, ``latest`` or ``best``. Leaving the
    context waits for the last write.

    Retention is decided here and not by an Orbax policy, because a checkpoint counts only once its
    manifest is there, and Orbax would already have deleted an older one by then.

    Args:
        directory: the folder; made if missing. What an interrupted save left in it is cleared.
        keep_last: how many of the newest checkpoints stay; the best one stays besides.
    """

    def __init__(self, directory: Path, *, keep_last: int = 2) -> None:
        if keep_last < 1:
            raise ValueError(f"keep_last is {keep_last}, it has to be 1 or more")
        self.directory = Path(directory).absolute()
        self.keep_last = keep_last
        self.directory.mkdir(parents=True, exist_ok=True)
        clear_interrupted(self.directory)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._pending_update = 0

    def save(
        self, update: int, tree: Any, meta: Mapping[str, Any], success_rate: float | None
    ) -> None:
        """Snapshot ``tree`` and write it in the background as checkpoint ``update``.

        The arrays are copied before this returns, so the caller may donate them at once. A
        checkpoint of the same update (saved again after a resume) is replaced; its success rate
        carries over when none is given.

        Args:
            update: index of the last finished update.
            tree: pytree of arrays.
            meta: whatever the caller needs back, as JSON.
            success_rate: of an evaluation of exactly this state, in 0..1, or None.

        Raises:
            CheckpointError: the previous save failed.
            ValueError, TypeError: something in the arguments cannot be stored.
        """
        self.wait()
        if update < 0 or (success_rate is not None and not math.isfinite(success_rate)):
            raise ValueError(f"cannot save update {update} with success rate {success_rate}")
        if success_rate is None:
            success_rate = read_success_rate(self.directory / str(update))
        arrays, leaves = snapshot(tree)
        state = encode_json(
            {
                "update": int(update),
                "success_rate": None if success_rate is None else float(success_rate),
                "leaves": {name: leaf.to_json() for name, leaf in leaves.items()},
                "meta": dict(meta),
            }
        )
        if len(state.encode()) > READ_LIMIT:
            raise ValueError(f"meta is too large: state.json would exceed {READ_LIMIT} bytes")
        self._pending_update = update
        self._pending = self._writer.submit(self._write, update, arrays, state)

    def latest(self) -> int | None:
        """Return the newest complete checkpoint's update; waits for a write under way."""
        self.wait()
        return max(complete_steps(self.directory), default=None)

    def best(self) -> int | None:
        """Return the update with the highest success rate, the latest of equals; waits likewise."""
        self.wait()
        return best_step(self.directory)

    def wait(self) -> None:
        """Wait until the last save is on the disk.

        Raises:
            CheckpointError: it failed; the cause is attached. The older checkpoints are untouched.
        """
        if self._pending is None:
            return
        try:
            self._pending.result()
        except Exception as error:
            self._pending = None
            raise CheckpointError(
                f"saving update {self._pending_update} in {self.directory} failed: {_reason(error)}"
            ) from error
        self._pending = None

    def close(self) -> None:
        """Wait as ``wait`` does, with the same errors, and end the background thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close; an error of the body is not hidden behind one of the last save."""
        try:
            self.close()
        except CheckpointError as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    def _write(self, update: int, arrays: dict[str, np.ndarray], state: str) -> None:
        """Build the checkpoint under another name, then rename it: its name means complete."""
        building = self.directory / f"{update}{SAVING}"
        try:
            remove_folder(building)
            _write_arrays(building / ARRAYS, arrays)
            write_atomically(building / STATE, state)
            seal(building)
            self._publish(building, self.directory / str(update))
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)  # makes room again on a full disk
            raise
        self._prune()

    def _publish(self, building: Path, final: Path) -> None:
        replaced = final.with_name(final.name + REPLACED)
        if final.exists():
            final.rename(replaced)  # a kill before the next line is undone by _clear_interrupted
        building.rename(final)
        sync_folder(self.directory)
        remove_folder(replaced)

    def _prune(self) -> None:
        steps = complete_steps(self.directory)
        keep = {*steps[-self.keep_last :], best_step(self.directory)}
        for update in steps:
            if update not in keep:
                # renamed first: a deletion cut short must not look like a damaged checkpoint
                doomed = self.directory / f"{update}{DELETING}"
                (self.directory / str(update)).rename(doomed)
                remove_folder(doomed)


def resolve_checkpoint(path: Path, *, field: str = "--load-checkpoint") -> Path:
    """Return the step's folder that ``path`` stands for.

    Args:
        path: a run folder (its last checkpoint), a ``checkpoints/<slug>`` folder (likewise), or one
            step's folder, which is returned whether or not it is the last.
        field: the flag that an error message blames.

    Returns:
        The absolute folder; complete, but verified only by ``restore``.

    Raises:
        InputError: nothing there, not a checkpoint, or checkpoints of several slugs.
    """
    given, path = path, Path(path).absolute()
    if not path.is_dir():
        raise InputError(field, str(given), "there is no such folder")
    if (path / MANIFEST).is_file() and (path / STATE).is_file():
        return path
    if (path / "checkpoints").is_dir():
        slugs = [slug for slug in sorted((path / "checkpoints").iterdir()) if complete_steps(slug)]
        if len(slugs) > 1:
            names = ", ".join(slug.name for slug in slugs)
            allowed = f"it holds several runs, name one of checkpoints/: {names}"
            raise InputError(field, str(given), allowed)
        path = slugs[0] if slugs else path
    if not (steps := complete_steps(path)):
        allowed = (
            "it has to be a run folder, a checkpoints/<slug> folder or one complete step's folder"
        )
        raise InputError(field, str(given), allowed)
    return path / str(steps[-1])


def read_meta(step_dir: Path) -> dict[str, Any]:
    """Return the meta that was given to ``save``.

    Raises:
        CheckpointError: the checkpoint is incomplete, or this file of it is damaged.
    """
    return read_state(Path(step_dir)).meta


def restore(step_dir: Path, template: Any, *, partial: bool = False) -> Any:
    """Verify a checkpoint and return its arrays in the structure of ``template``.

    Args:
        step_dir: one step's folder.
        template: pytree whose leaves have ``shape`` and ``dtype`` (``jax.eval_shape``'s output will
            do). Leaves are matched by name, and their shapes and dtypes have to agree exactly.
        partial: the template may lack some of the saved leaves (a continued run makes its own
            environment states, of another shape perhaps).

    Returns:
        The template's structure with NumPy leaves on the host, bit for bit as saved (typed random
        keys come back as such). They belong to no device: the caller puts them where it computes.

    Raises:
        CheckpointError: a file is damaged, or a leaf is missing, left over, or of another shape.
    """
    step_dir = Path(step_dir).absolute()
    damage = find_damage(step_dir)
    if damage is not None:
        raise CheckpointError(f"checkpoint {step_dir}: {damage}")
    saved = read_state(step_dir).leaves
    mismatch = find_mismatch(saved, template, partial=partial)
    if mismatch is not None:
        raise CheckpointError(f"checkpoint {step_dir} does not fit: {mismatch}")
    wanted = {name: saved[name] for name in named_leaves(template)[0]}
    return rebuild(template, _read_arrays(step_dir / ARRAYS, wanted))


def named_arrays(step_dir: Path) -> dict[str, np.ndarray]:
    """Verify a checkpoint and return its arrays by name, without a template.

    Raises:
        CheckpointError: a file is damaged.
    """
    step_dir = Path(step_dir).absolute()
    damage = find_damage(step_dir)
    if damage is not None:
        raise CheckpointError(f"checkpoint {step_dir}: {damage}")
    return _read_arrays(step_dir / ARRAYS, read_state(step_dir).leaves)


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
        reasons = "".join(f"; update {found.update}: {found.reason}" for found in set_aside)
        raise CheckpointError(
            f"no good checkpoint is left in {directory} (set aside: {', '.join(damaged)}){reasons}"
        )
    return LatestGood(None, ())


def _reason(error: Exception) -> str:
    """Say in one line why saving failed; what the system said is deep in a story of Orbax's."""
    story = " ".join(f"{type(error).__name__}: {error}".split())
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPERM, errno.EACCES)
    said = (os.strerror(code) for code in (*codes, errno.EIO, errno.ENOENT))
    return next((text for text in said if text in story), story[:400])


@functools.cache
def _orbax() -> Any:
    """Import Orbax (seconds) on first use, and keep its notes and traces out of our output."""
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # errors reach us as exceptions
    shown = sys.unraisablehook

    def show(late: "sys.UnraisableHookArgs") -> None:
        # what TensorStore's threads still had to say after a save had failed
        if str(late.exc_value) != "Event loop is closed":
            shown(late)

    sys.unraisablehook = show
    return ocp


def _checkpointer() -> Any:
    # uncompressed: float32 noise shrinks by 8 % at six times the time (see test_checkpoints.py)
    handler = _orbax().PyTreeCheckpointHandler(
        use_ocdbt=True, use_zarr3=True, use_compression=False
    )
    return _orbax().Checkpointer(handler)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    # Orbax refuses arrays without elements (a history of no rows): state.json describes them fully
    stored = {name: array for name, array in arrays.items() if array.size}
    with _checkpointer() as checkpointer:
        checkpointer.save(path, args=_orbax().args.PyTreeSave(stored))


def _read_arrays(path: Path, leaves: dict[str, Leaf]) -> dict[str, np.ndarray]:
    """Read the named leaves, those without elements apart: they were never written.

    Raises:
        CheckpointError: Orbax cannot, or holds another shape than state.json says.
    """
    stored = [name for name, leaf in leaves.items() if leaf.size]
    if not stored:
        return {}
    as_numpy = _orbax().RestoreArgs(restore_type=np.ndarray)
    args = _orbax().args.PyTreeRestore(
        item=dict.fromkeys(stored, 0),
        restore_args=dict.fromkeys(stored, as_numpy),
        partial_restore=True,
    )
    try:
        with _checkpointer() as checkpointer:
            # asked for first: reading allocates whatever the files declare
            found = checkpointer.metadata(path).item_metadata.tree
            for name in stored:
                declared = (tuple(found[name].shape), str(found[name].dtype))
                if declared != leaves[name].stored_as:
                    raise ValueError(f"{name} is stored as {declared}")
            arrays: dict[str, np.ndarray] = checkpointer.restore(path, args=args)
    except Exception as error:  # Orbax and TensorStore raise whatever they like
        what = " ".join(str(error).split())[:400]
        raise CheckpointError(f"checkpoint {path.parent}: {ARRAYS}: {what}") from error
    return arrays
