"""What happens in a Ray cluster's workers, and how they and the driver leave word for each other.

What is expected to go wrong in a worker is returned, so that the driver raises it as it is.
"""

import os
import pickle
import queue
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pathb_jax.config import Backend, RunConfig
from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.store import lock
from pathb_jax.system import provenance, signals

if TYPE_CHECKING:
    from pathb_jax.runs.outcome import RunOutcome

POLL_SECONDS = 0.5
"""How often driver and workers hear of each other."""
REPLY_SECONDS = 30.0
"""Without an answer for so long a worker saves its run and ends, and the driver gives up."""
LOCK_SECONDS = 120.0
"""How long a network file system may take to see that a lock's machine died."""

EXPECTED = (InputError, CheckpointError, OSError, signals.StopRequested)


class Settings(NamedTuple):
    """What a worker needs to compute as the driver would without Ray."""

    address: str
    folder: str
    backend: Backend
    deterministic: bool
    environment: Mapping[str, Any] | None = None
    """What a worker's environment has to be; None: anything."""


class Mailbox:
    """Where workers and the driver leave word for each other; an actor beside the driver."""

    def __init__(self) -> None:
        self._told: list[tuple[str, Any]] = []
        self._begun: set[int] = set()
        self._stop: int | None = None

    def begin(self, key: int) -> int | None:
        """Note that a run is about to train; return the signal if it is not to."""
        if key in self._begun:
            self._told.append(("lost", key))
        self._begun.add(key)
        return self._stop

    def tell(self, messages: Sequence[tuple[str, Any]]) -> int | None:
        """Take messages for the driver; return the signal that asked to stop."""
        self._told += messages
        return self._stop

    def collect(self, stop: int | None) -> tuple[list[tuple[str, Any]], set[int]]:
        """Take the driver's wish to stop; return what was told, and which runs have begun."""
        self._stop = stop
        told, self._told = self._told, []
        return told, self._begun


class Link:
    """A worker's connection to the mailbox.

    A thread of its own talks: while the main thread of a task waits for an answer Ray would lend
    its core to another task.
    """

    def __init__(self, mailbox: Any, key: int) -> None:
        self._mailbox, self._key = mailbox, key
        self._begun, self._over = threading.Event(), threading.Event()
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._talk, name="link", daemon=True)

    def __enter__(self) -> "Link":
        signals.request(None)
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def put(self, kind: str, content: Any) -> None:
        """Leave a message for the driver."""
        self._messages.put((kind, content))

    def _talk(self) -> None:
        import ray

        def ask(answer: Any) -> None:
            try:
                stop = ray.get(answer, timeout=REPLY_SECONDS)
            except ray.exceptions.RayError:  # nobody is there any more
                stop = signal.SIGTERM
            if stop is not None:
                signals.request(stop)

        ask(self._mailbox.begin.remote(self._key))
        self._begun.set()
        over = False
        while not over:
            over = self._over.wait(POLL_SECONDS)
            messages = []
            while not self._messages.empty():
                messages.append(self._messages.get())
            ask(self._mailbox.tell.remote(messages))


def _prepare(settings: Settings) -> None:
    """Make a worker compute where and as the driver would."""
    host = socket.gethostname()
    try:
        os.chdir(settings.folder)
    except OSError as error:
        allowed = f"{settings.folder} ({error.strerror}) has to be there on {host} too"
        raise InputError("--ray", settings.address, allowed) from None
    from pathb_jax.system import backend

    backend.select_backend(settings.backend, deterministic=settings.deterministic)
    if settings.environment is None:
        return
    here = provenance.environment()
    changes = provenance.environment_differences(settings.environment, here)
    if changes:
        raise InputError(
            "--ray",
            settings.address,
            f"{host} differs from another of its machines ({'; '.join(changes)}), so that bits "
            "may; use machines that are alike, or give --accept-environment-change",
        )


def call(settings: Settings, work: bytes) -> Any:
    """Task: return a function of an argument, or the error that it raised.

    Both come pickled in one: unpickled by Ray they would start JAX before the device is chosen.
    """
    signals.request(None)
    try:
        _prepare(settings)
        function, argument = pickle.loads(work)
        return function(argument)
    except EXPECTED as error:
        return error


def environment(_: None) -> dict[str, Any]:
    """Return what equal bits depend on, here."""
    return provenance.environment()


def train(mailbox: Any, settings: Settings, key: int, config: RunConfig) -> Any:
    """Task: train a run, and return its outcome or the error that it raised."""
    with Link(mailbox, key) as link:
        try:
            signals.stop_if_requested()
            _prepare(settings)
            return _train_here(link, config)
        except EXPECTED as error:
            return error
        finally:
            signals.request(None)


def _train_here(link: Link, config: RunConfig) -> "RunOutcome":
    from pathb_jax.runs import trainer
    from pathb_jax.runs.observer import Observer, Progress

    class Teller(Observer):
        def progress(self, progress: Progress) -> None:
            link.put("progress", {**progress._asdict(), "row": dict(progress.row)})

        def notice(self, message: str) -> None:
            link.put("notice", message)

    assert config.output.out is not None  # filled in by `validated`
    end = time.monotonic() + LOCK_SECONDS
    while lock.is_held(config.output.out) and time.monotonic() < end:
        signals.stop_if_requested()
        time.sleep(POLL_SECONDS)
    return trainer.train(config, Teller())
