"""Stopping on request: the first signal lets the work reach a safe point, the second does not."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequested(Exception):  # noqa: N818  # a request, not an error
    """Raised at a safe point after SIGINT or SIGTERM; everything needed to resume is saved."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


_requested: int | None = None


def requested() -> int | None:
    """Return the signal that asked to stop, or None."""
    return _requested


def stop_if_requested() -> None:
    """Raise StopRequested if a signal has asked to stop. Call where stopping loses nothing."""
    if _requested is not None:
        raise StopRequested(_requested)


@contextlib.contextmanager
def stopping_at_safe_points() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into requests while the context lasts.

    A second SIGINT interrupts at once (KeyboardInterrupt). Signals reach Python's main thread
    only; elsewhere this does nothing.
    """
    global _requested
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        global _requested
        if _requested is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        _requested = signum

    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    _requested = None
    try:
        yield
    finally:
        _requested = None
        for signum, handler in previous.items():
            signal.signal(signum, handler)
