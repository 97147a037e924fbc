"""One writer per folder: a lock that a crash cannot leave behind."""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json

LOCK = ".lock"
HOLDER = ".lock.json"


@contextlib.contextmanager
def locked_with_all_below(folder: Path, flag: str = "--out") -> Iterator[None]:
    """Hold `folder` and every folder below it that ever had a lock, for whoever moves it.

    Raises:
        InputError: somebody holds one of them; the message names which, and who.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder, flag))
        for lock in sorted(folder.rglob(LOCK)):
            if lock.parent != folder:
                stack.enter_context(locked(lock.parent, flag))
        yield


@contextlib.contextmanager
def locked(folder: Path, flag: str = "--out") -> Iterator[None]:
    """Hold `folder` (created if missing) while the context lasts.

    The lock is the operating system's, so it ends with the process however that ends. Who holds
    it stands in a file beside it.

    Args:
        folder: what to lock.
        flag: what an error message blames.

    Raises:
        InputError: another process holds it, and the message names its pid, host and start; or
            the folder cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # below /proc, say
        raise InputError(flag, str(folder), "the file system makes no folders there") from None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _in_use(folder, flag) from None
    try:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        write_json(folder / HOLDER, holder)
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may have become read-only
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Say whether somebody holds a folder; create nothing."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def refuse_if_held(folder: Path, flag: str = "--out") -> None:
    """Raise InputError, naming who, if somebody holds a folder; create nothing."""
    if is_held(folder):
        raise _in_use(folder, flag)


def _in_use(folder: Path, flag: str) -> InputError:
    return InputError(flag, str(folder), f"it is in use by {_holder(folder)}")


def _holder(folder: Path) -> str:
    try:
        holder = read_json(folder / HOLDER)
        return f"pid {holder['pid']} on {holder['host']} since {holder['since']}"
    except (InputError, OSError, KeyError, TypeError):
        return "another process"  # it has not written who it is yet
