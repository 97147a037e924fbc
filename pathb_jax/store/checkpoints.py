"""Checkpoints: the whole train state as one unit, complete and verified or not there at all.

Arrays and JSON are all there is, so loading runs no code::

    checkpoints/<slug>/<update>/arrays/        Orbax: the tree's leaves by name, as host arrays
                                state.json     the caller's meta, success rate, names and shapes
                                manifest.json  SHA-256 of every file, written last (integrity.py)

One writer per folder is assumed (the run holds a lock); any number may read.
"""

import errno
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import sync_folder, write_atomically
from pathb_jax.store.integrity import MANIFEST, CheckpointError, find_damage, listed_bytes, seal
from pathb_jax.store.json_files import READ_LIMIT, encode_json
from pathb_jax.store.orbax_arrays import read_arrays, write_arrays
from pathb_jax.store.step_folders import (
    ARRAYS,
    DAMAGED,
    DELETING,
    REPLACED,
    SAVING,
    STATE,
    best_step,
    clear_interrupted,
    complete_steps,
    list_steps,
    make_room,
    read_state,
    read_success_rate,
)
from pathb_jax.store.trees import Leaf, find_mismatch, named_leaves, rebuild, snapshot

__all__ = [
    "CheckpointError",
    "CheckpointStore",
    "LatestGood",
    "SetAside",
    "latest_good",
    "named_arrays",
    "read_leaves",
    "read_meta",
    "read_newest",
    "resolve_checkpoint",
    "restore",
]

ATTEMPTS = 100
"""How often a reader begins again because the run has replaced what it was reading."""
INLINE_BYTES = 2**16
"""What small arrays, which Orbax packs together, may gain by packing."""

Content = TypeVar("Content")


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
        self._opened = os.open(self.directory, os.O_RDONLY)  # keeps its number its own
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
            if self._opened >= 0:
                os.close(self._opened)
                self._opened = -1

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
        make_room(building)
        try:
            building.mkdir()
            write_arrays(building / ARRAYS, arrays)
            write_atomically(building / STATE, state)
            seal(building)
            if not os.path.samestat(self.directory.stat(), os.fstat(self._opened)):
                # Removed meanwhile, and made again on the way: a run's other files are gone.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.directory)
            self._publish(building, self.directory / str(update))
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)  # makes room again on a full disk
            raise
        self._prune()

    def _publish(self, building: Path, final: Path) -> None:
        replaced = final.with_name(final.name + REPLACED)
        if final.exists():
            final.rename(replaced)  # a kill before the next line is undone by clear_interrupted
        building.rename(final)
        sync_folder(self.directory)
        make_room(replaced)

    def _prune(self) -> None:
        steps = complete_steps(self.directory)
        keep = {*steps[-self.keep_last :], best_step(self.directory)}
        for update in steps:
            if update not in keep:
                # renamed first: a deletion cut short must not look like a damaged checkpoint
                doomed = self.directory / f"{update}{DELETING}"
                (self.directory / str(update)).rename(doomed)
                make_room(doomed)


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
        if any((given.absolute() / "checkpoints").glob(f"*/*{SAVING}")):
            allowed = "its first checkpoint is being written; try again in a moment"
        raise InputError(field, str(given), allowed)
    return path / str(steps[-1])


def read_newest(path: Path, read: Callable[[Path], Content], *, field: str) -> Content:
    """Return what ``read`` makes of the step's folder that ``path`` stands for.

    A run at work deletes and replaces its checkpoints. If that happens under the reader, this
    begins again with what is the newest then.

    Args:
        path: as for ``resolve_checkpoint``.
        read: raises InputError, CheckpointError or OSError for a checkpoint it cannot read.
        field: the flag that an error message blames.

    Raises:
        InputError: as ``resolve_checkpoint``, or the checkpoints change faster than they are read.
    """
    for _ in range(ATTEMPTS):
        step_dir = resolve_checkpoint(path, field=field)
        before = _identity(step_dir)
        try:
            return read(step_dir)
        except (InputError, CheckpointError, OSError):
            if before is not None and _identity(step_dir) == before:
                raise
    allowed = "a run is writing its checkpoints faster than they can be read; try again later"
    raise InputError(field, str(path), allowed)


def _identity(step_dir: Path) -> bytes | None:
    """Return what tells a checkpoint from another under the same name; None: there is none."""
    try:
        return (step_dir / MANIFEST).read_bytes()
    except OSError:
        return None


def read_meta(step_dir: Path) -> dict[str, Any]:
    """Return the meta that was given to ``save``.

    Raises:
        CheckpointError: the checkpoint is incomplete, or this file of it is damaged.
    """
    return read_state(Path(step_dir)).meta


def read_leaves(step_dir: Path) -> dict[str, Leaf]:
    """Return what arrays a checkpoint declares; verifies one file, reads no array.

    Raises:
        CheckpointError: as ``read_meta``, or it declares more than its files can hold: reading
            would allocate all of it.
    """
    leaves = read_state(step_dir).leaves
    try:
        declared = sum(leaf.nbytes for leaf in leaves.values())
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {step_dir}: {STATE}: {error}") from None
    there = listed_bytes(step_dir)
    if declared > there + INLINE_BYTES:
        raise CheckpointError(
            f"checkpoint {step_dir}: {STATE} declares {declared} bytes of arrays, "
            f"its files have {there}"
        )
    return leaves


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
    saved = _verified_leaves(step_dir)
    mismatch = find_mismatch(saved, template, partial=partial)
    if mismatch is not None:
        raise CheckpointError(f"checkpoint {step_dir} does not fit: {mismatch}")
    wanted = {name: saved[name] for name in named_leaves(template)[0]}
    return rebuild(template, read_arrays(step_dir / ARRAYS, wanted))


def named_arrays(step_dir: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Verify a checkpoint and return its arrays by name, without a template.

    Args:
        step_dir: one step's folder.
        names: of the arrays to read; None: all. Those that the checkpoint lacks are left out.

    Raises:
        CheckpointError: a file is damaged.
    """
    step_dir = Path(step_dir).absolute()
    leaves = _verified_leaves(step_dir)
    wanted = {name: leaf for name, leaf in leaves.items() if names is None or name in names}
    empty = {name: np.zeros(*leaf.stored_as) for name, leaf in wanted.items() if not leaf.size}
    return read_arrays(step_dir / ARRAYS, wanted) | ({} if names is None else empty)


def _verified_leaves(step_dir: Path) -> dict[str, Leaf]:
    damage = find_damage(step_dir)
    if damage is not None:
        raise CheckpointError(f"checkpoint {step_dir}: {damage}")
    return read_leaves(step_dir)


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
