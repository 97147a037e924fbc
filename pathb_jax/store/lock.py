"""One writer per folder: a lock that a crash cannot leave behind."""

import contextlib
import datetime
import errno
import os
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.system.processes import is_alive

LOCK = ".lock"
HOLDER = ".lock.json"
MARKER = ".lock.marker"
"""The lock where the file system has none of its own: a file with pid, host and the process's start
in it, which the next one on that host removes if that process is no more."""
ANSWER_SECONDS = 30.0
"""How long a file system may take to say whether a lock is free: a lost server never answers."""

_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


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
            the folder cannot be, or its file system does not answer.
    """
    _make(folder, flag)
    try:
        lock = _taken(folder, flag)
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
    try:
        _taken(folder, "--out").release()
    except Timeout:
        return True
    return False


def seems_held(folder: Path) -> bool:
    """Say whether somebody says to hold a folder and, if it is a process of this host, lives.

    The lock itself is not touched: for whoever only looks, and must be in nobody's way.
    """
    holder = _read_holder(folder)
    if holder is None:
        return False
    pid, host, _ = holder
    if host != socket.gethostname():
        return True
    return is_alive(pid)


def _taken(folder: Path, flag: str) -> BaseFileLock:
    """Return the lock, taken; raise Timeout if somebody has it.

    Another thread asks: a system call that never returns, or is interrupted again and again, can
    be waited for no longer, but not be ended.
    """
    answers: queue.SimpleQueue[BaseFileLock | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_ask(folder))
        except Exception as error:  # raised again where it is waited for
            answers.put(error)

    threading.Thread(target=ask, name="lock", daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        allowed = f"its file system has not answered for {ANSWER_SECONDS:.0f} s who locks it"
        raise InputError(flag, str(folder), allowed) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _ask(folder: Path) -> BaseFileLock:
    lock: BaseFileLock = FileLock(folder / LOCK, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # Not in place of LOCK: one that an earlier holder left there says nothing about who lives.
        lock = SoftFileLock(folder / MARKER, thread_local=False)
        lock.acquire(timeout=0)
    return lock


def refuse_if_held(folder: Path, flag: str = "--out") -> None:
    """Raise InputError if a folder could not be locked, naming who holds it; leave nothing."""
    if is_held(folder):
        raise _in_use(folder, flag)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _make(folder, flag)
    finally:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()


def _make(folder: Path, flag: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # below /proc, say
        raise InputError(flag, str(folder), "the file system makes no folders there") from None


def _in_use(folder: Path, flag: str) -> InputError:
    return InputError(flag, str(folder), f"it is in use by {_holder(folder)}")


def _holder(folder: Path) -> str:
    holder = _read_holder(folder)
    # it may not have written who it is yet
    return f"pid {holder[0]} on {holder[1]} since {holder[2]}" if holder else "another process"


def _read_holder(folder: Path) -> tuple[int, str, str] | None:
    """Return the pid, host and start of whoever said last that it holds a folder."""
    try:
        holder = read_json(folder / HOLDER)
        return int(holder["pid"]), str(holder["host"]), str(holder["since"])
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None
