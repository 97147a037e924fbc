"""Stopping on request: the first signal lets the work reach a safe point, the second does not."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequested(Exception):  # noqa: N818  # a request, not an error
    """Raised at a safe point after a signal to stop; everything needed to resume is saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    def __reduce__(self) -> tuple[type["StopRequested"], tuple[int]]:
        return type(self), (self.signum,)


_GRACE_SECONDS = 1.0
"""What a second SIGINT leaves to Python, which cannot act while compiled code runs."""

_requested: int | None = None
_may_end_at_once = False
_deferred = False


def requested() -> int | None:
    """Return the signal that asked to stop, or None."""
    return _requested


def request(signum: int | None) -> None:
    """Ask to stop as if this signal had come, or with None take that back."""
    global _requested
    _requested = signum


def stop_if_requested() -> None:
    """Raise StopRequested if a signal has asked to stop. Call where stopping loses nothing."""
    if _requested is not None:
        raise StopRequested(_requested)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Let a request end the process while the context lasts: for compiling, with nothing to save.

    Compiling takes many seconds in which Python's own handlers do not run. Outside the main
    thread other runs may be at work, which have something to save: there it only raises.

    Raises:
        StopRequested: a signal has asked to stop before.
    """
    global _may_end_at_once
    stop_if_requested()
    if threading.current_thread() is not threading.main_thread():
        yield
        stop_if_requested()
        return
    _may_end_at_once = True
    try:
        yield
    finally:
        _may_end_at_once = False
    stop_if_requested()


def _watch(wakeups: int) -> None:
    """Act on signals where the main thread cannot; each arrives as a byte, 0 is the end."""
    requests, timers = 0, []
    while signum := os.read(wakeups, 1)[0]:
        requests += 1
        if _may_end_at_once:
            name = signal.Signals(signum).name
            print(f"stopped by {name}; the same command goes on from here", file=sys.stderr)
            _end(signum)
        if requests == 1:
            _acknowledge(signum)
        if requests > 1 and signum == signal.SIGINT:
            timers.append(threading.Timer(_GRACE_SECONDS, _end, [signum]))
            timers[-1].daemon = True
            timers[-1].start()
    for timer in timers:
        timer.cancel()


def _acknowledge(signum: int) -> None:
    again = "; again to stop at once" if signum == signal.SIGINT else ""
    with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
        print(f"{signal.Signals(signum).name}: saving ...{again}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _watching() -> Iterator[None]:
    wakeups, wake = os.pipe()
    if hasattr(os, "set_blocking"):  # on Windows from Python 3.12 on
        os.set_blocking(wake, False)
    watcher = threading.Thread(target=_watch, args=[wakeups], name="signals", daemon=True)
    watcher.start()
    previous = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        os.write(wake, b"\0")
        watcher.join()
        os.close(wake)
        os.close(wakeups)


def _end(signum: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + signum)


@contextlib.contextmanager
def stopping_at_safe_points() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into requests while the context lasts.

    A second SIGINT interrupts at once: by KeyboardInterrupt, or if compiled code does not return
    soon by the end of the process. Signals reach Python's main thread only; elsewhere this does
    nothing.
    """
    global _requested
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, _frame: FrameType | None) -> None:
        global _requested
        if _requested is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        _requested = signum

    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, *_ending())}
    _requested = None
    try:
        with _watching():
            yield
    finally:
        _requested = None
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _ending() -> list[signal.Signals]:
    """Return what else asks a process to end: SIGHUP too, unless `nohup` has it ignored.

    Windows has neither in earnest: SIGTERM ends a process there at once. Ctrl-Break is its own.
    """
    ending = [signal.SIGTERM]
    for name in ("SIGHUP", "SIGBREAK"):
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) != signal.SIG_IGN:
            ending.append(signum)
    return ending


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise StopRequested wherever this process is, as SIGINT does.

    For waiting for another process, which is then ended, and for temporary folders.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, _frame: FrameType | None) -> None:
        global _requested
        if not _deferred:
            raise StopRequested(signum)
        _requested = signum

    previous = {signum: signal.signal(signum, handle) for signum in _ending()}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within `stopping_at_once`, let signals raise at the context's end rather than inside it.

    For starting a child: a signal inside `Popen` would leave a child that nobody knows of.

    Raises:
        StopRequested: a signal came meanwhile.
    """
    global _deferred, _requested
    _deferred = True
    try:
        yield
    finally:
        _deferred = False
    try:
        stop_if_requested()
    finally:
        _requested = None
