"""Saving checkpoints in the background: which there are, which stay, what failed.

One writer per folder is assumed (the run holds a lock); any number may read.
"""

import errno
import math
import os
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from pathb_jax.errors import CheckpointError
from pathb_jax.store.atomic import sync_folder, write_atomically
from pathb_jax.store.checkpoints import STATE, State, read_state
from pathb_jax.store.integrity import seal
from pathb_jax.store.json_files import READ_LIMIT, encode_json
from pathb_jax.store.orbax_arrays import ARRAYS, write_arrays
from pathb_jax.store.step_folders import (
    DELETING,
    REPLACED,
    SAVING,
    clear_interrupted,
    complete_steps,
    make_room,
)
from pathb_jax.store.trees import snapshot

KEEP_LAST = 2
"""How many of the newest checkpoints stay; the best one, and those to keep, stay besides."""


class CheckpointStore:
    """Saves into one folder ``checkpoints/<slug>``; keeps the last few, the best and the marked.

    ``save`` copies the arrays and returns; one background thread writes them. Its errors surface as
    CheckpointError at the next ``save``, ``wait`` or ``close``. Leaving the context waits for the
    last write.

    Retention is decided here and not by an Orbax policy, because a checkpoint counts only once its
    manifest is there, and Orbax would already have deleted an older one by then.

    Args:
        directory: the folder; made if missing. What an interrupted save left in it is cleared.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._opened = os.open(self.directory, os.O_RDONLY)  # keeps its number its own
        clear_interrupted(self.directory)
        steps = complete_steps(self.directory)
        self._kept = {step for step in steps if _is_kept(self.directory / str(step))}
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._pending_update = 0

    def save(
        self,
        update: int,
        tree: Any,
        meta: Mapping[str, Any],
        success_rate: float | None,
        *,
        keep: bool = False,
    ) -> None:
        """Snapshot ``tree`` and write it in the background as checkpoint ``update``.

        The arrays are copied before this returns, so the caller may donate them at once. A
        checkpoint of the same update (saved again after a resume) is replaced; its success rate
        carries over when none is given, and what was to be kept still is.

        Args:
            update: index of the last finished update.
            tree: pytree of arrays.
            meta: whatever the caller needs back, as JSON.
            success_rate: of an evaluation of exactly this state, in 0..1, or None.
            keep: never delete it, now or later.

        Raises:
            CheckpointError: the previous save failed.
            ValueError, TypeError: something in the arguments cannot be stored.
        """
        self.wait()
        if update < 0 or (success_rate is not None and not math.isfinite(success_rate)):
            raise ValueError(f"cannot save update {update} with success rate {success_rate}")
        if success_rate is None:
            success_rate = _success_rate(self.directory / str(update))
        arrays, leaves = snapshot(tree)
        state = State(update=update, success_rate=success_rate, leaves=leaves, meta=dict(meta))
        if keep or update in self._kept:
            self._kept.add(update)
            state.kept = True
        text = encode_json(state.model_dump(exclude_unset=True))
        if len(text.encode()) > READ_LIMIT:
            raise ValueError(f"meta is too large: state.json would exceed {READ_LIMIT} bytes")
        self._pending_update = update
        self._pending = self._writer.submit(self._write, update, arrays, text)

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
        keep = {*steps[-KEEP_LAST:], *self._kept, best_step(self.directory, self._kept)}
        for update in steps:
            if update not in keep:
                # renamed first: a deletion cut short must not look like a damaged checkpoint
                doomed = self.directory / f"{update}{DELETING}"
                (self.directory / str(update)).rename(doomed)
                make_room(doomed)


def best_step(directory: Path, apart_from: Collection[int] = ()) -> int | None:
    """Return the update with the highest success rate, the latest of equals.

    Args:
        directory: of the checkpoints.
        apart_from: updates not to look at: reading very many takes time.
    """
    steps = [update for update in complete_steps(directory) if update not in apart_from]
    rates = {update: _success_rate(directory / str(update)) for update in steps}
    rated = [(rate, update) for update, rate in rates.items() if rate is not None]
    return max(rated, default=(0, None))[1]


def _is_kept(step_dir: Path) -> bool:
    """Return whether a checkpoint stays for good; a damaged one may say so no more."""
    try:
        return read_state(step_dir).kept
    except CheckpointError:
        return False


def _success_rate(step_dir: Path) -> float | None:
    """Return a checkpoint's success rate; None without one, or when it cannot be trusted."""
    try:
        return read_state(step_dir).success_rate
    except CheckpointError:
        return None


def _reason(error: Exception) -> str:
    """Say in one line why saving failed; what the system said is deep in a story of Orbax's."""
    story = " ".join(f"{type(error).__name__}: {error}".split())
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPERM, errno.EACCES)
    said = (os.strerror(code) for code in (*codes, errno.EIO, errno.ENOENT))
    return next((text for text in said if text in story), story[:400])
