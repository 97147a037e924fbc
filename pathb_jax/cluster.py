"""Runs on the machines of a Ray cluster: the only module that knows Ray.

Each run is a Ray task with a core or an accelerator to itself. Its files go to the same paths as
without Ray, in a folder that all machines share. If its worker is lost Ray starts the task again,
elsewhere if need be, and the run goes on from its last checkpoint as any run does.
"""

import contextlib
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from pathb_jax import signals
from pathb_jax.config import Backend, RunConfig
from pathb_jax.errors import InputError
from pathb_jax.store import lock
from pathb_jax.store.integrity import CheckpointError

if TYPE_CHECKING:
    from pathb_jax.outcome import RunOutcome
    from pathb_jax.run import Observer

POLL_SECONDS = 0.5
"""How often driver and workers hear of each other."""
HEALTH_SECONDS = 15.0
"""How long a head may take to say that it is well, at the beginning."""
HEAD_SECONDS = 10.0
"""A head that does not answer for so long is gone."""
REPLY_SECONDS = 30.0
"""Without an answer for so long a worker saves its run and ends, and the driver gives up."""
LOCK_SECONDS = 120.0
"""How long a network file system may take to see that a lock's machine died."""
MOST_LOSSES = 20
"""Workers that one run may lose; more look like the run's own doing."""

_EXPECTED = (InputError, CheckpointError, OSError, signals.StopRequested)
_RESOURCES = {"gpu": "GPU", "tpu": "TPU", "cpu": "CPU"}
_CODE = ("python", "versions")
"""What of a device report is code; the rest is the machine."""


class _Settings(NamedTuple):
    """What a worker needs to compute as the driver would without Ray."""

    address: str
    folder: str
    backend: Backend
    deterministic: bool
    environment: Mapping[str, Any] | None = None
    """What a worker's environment has to be; None: anything."""


class Cluster:
    """A cluster that this process is connected to; `connected` makes one."""

    def __init__(self, ray: ModuleType, settings: _Settings, accept_environment_change: bool):
        self._ray, self._settings = ray, settings
        self._head = ray.get_runtime_context().gcs_address
        self._answered = time.monotonic()
        there = ray.cluster_resources()
        kind = _RESOURCES.get(settings.backend) or next(
            name for name in _RESOURCES.values() if there.get(name, 0) or name == "CPU"
        )
        self.slots = int(there.get(kind, 0))
        """Runs that can train at once."""
        if self.slots < 1:
            raise InputError("--backend", settings.backend, f"the Ray cluster has no {kind}")
        options = {"num_cpus": 1} if kind == "CPU" else {"num_cpus": 0, "resources": {kind: 1}}
        if kind == "GPU":
            options = {"num_cpus": 0, "num_gpus": 1}
        self._task: dict[str, Any] = {**options, "max_retries": MOST_LOSSES}
        (self.environment,) = self.each(_environment, [None])
        """What equal bits depend on, as a worker tells it."""
        _check_code(settings.address, self.environment)
        if not accept_environment_change:
            self._settings = settings._replace(environment=self.environment)

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Return `function` of each argument, computed on workers, as many at once as can be.

        Raises:
            InputError: a worker's code or device differs.
            ConnectionError: the cluster is gone.
        """
        task = self._ray.remote(_call).options(**self._task)
        waiting = [task.remote(self._settings, function, argument) for argument in arguments]
        left = waiting
        while left:
            _, left = self._ray.wait(left, num_returns=len(left), timeout=POLL_SECONDS)
            self._check_head()
        found = [self._result(result, function.__name__) for result in waiting]
        for value in found:
            if isinstance(value, Exception):
                raise value
        return found

    def train_all(
        self, configs: Mapping[int, RunConfig], observer: "Observer"
    ) -> Generator[tuple[int, "RunOutcome"], None, None]:
        """Train every run as a task of its own; yield key and outcome as they end.

        Raises:
            StopRequested: a signal asked to stop; all runs are saved and marked incomplete.
            ConnectionError: the cluster is gone; workers that are left save their runs and end.
            Exception: what the first run that failed raised. The others are saved.
        """
        training = _Training(self, configs, observer)
        try:
            yield from training.outcomes()
        except GeneratorExit:
            training.end()
            raise
        except ConnectionError:
            training.leave()
            raise

    def _check_head(self) -> None:
        host, _, port = self._head.rpartition(":")
        if _answers(host, int(port)):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > HEAD_SECONDS:
            raise self._gone()

    def _gone(self) -> ConnectionError:
        return ConnectionError(f"the Ray cluster at {self._head} is gone")

    def _result(self, result: Any, name: str) -> Any:
        """Return what a task returned, with an error for a task that could not end."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(result)
        except errors.RayTaskError:
            raise  # a fault of ours: with the worker's traceback
        except errors.TaskCancelledError:
            return signals.StopRequested(signal.SIGTERM)
        except errors.RayError as error:
            why = str(error).strip().splitlines()[0]
            return OSError(f"{name}: its workers were lost {MOST_LOSSES + 1} times ({why})")


class _Training:
    """Runs on a cluster, from the driver's side."""

    def __init__(
        self, cluster: Cluster, configs: Mapping[int, RunConfig], observer: "Observer"
    ) -> None:
        self._cluster, self._ray, self._observer = cluster, cluster._ray, observer
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        mailbox = self._ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=here)
        self._mailbox = mailbox.remote()
        task = self._ray.remote(_train).options(**cluster._task)
        self._labels = {key: config.output.run_label for key, config in configs.items()}
        self._waiting = {
            task.remote(self._mailbox, cluster._settings, key, config): key
            for key, config in configs.items()
        }
        self._stop: int | None = None
        self._failure: Exception | None = None

    def outcomes(self) -> Iterator[tuple[int, "RunOutcome"]]:
        """Yield key and outcome of runs as they end; raise what the first that failed raised."""
        while self._waiting:
            done, _ = self._ray.wait(list(self._waiting), timeout=POLL_SECONDS)
            self._stop = self._stop or signals.requested()
            self._hear()
            for result in done:
                key = self._waiting.pop(result)
                ended = self._cluster._result(result, self._labels[key])
                if not isinstance(ended, Exception):
                    yield key, ended
                    continue
                if self._stop is not None and isinstance(ended, signals.StopRequested):
                    ended = signals.StopRequested(self._stop)
                self._failure = self._failure or ended
                self._stop = self._stop or signal.SIGTERM  # the others save and end
        self._ray.kill(self._mailbox)
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Let runs save and end that nobody waits for any more."""
        self._stop = signal.SIGTERM
        with contextlib.suppress(*_EXPECTED):
            for _ in self.outcomes():
                pass

    def leave(self) -> None:
        """Ask workers that can still be reached to save and end, without waiting for them."""
        self._ray.wait([self._mailbox.collect.remote(signal.SIGTERM)], timeout=POLL_SECONDS)

    def _hear(self) -> None:
        """Pass on what workers told, tell them whether to stop, drop runs that have not begun."""
        collected = self._mailbox.collect.remote(self._stop)
        waited = 0.0
        while not self._ray.wait([collected], timeout=POLL_SECONDS)[0]:
            self._cluster._check_head()
            waited += POLL_SECONDS
            if waited > REPLY_SECONDS:
                raise self._cluster._gone()
        try:
            told, begun = self._ray.get(collected)
        except self._ray.exceptions.RayError:
            raise self._cluster._gone() from None
        self._cluster._check_head()
        for kind, content in told:
            self._tell(kind, content)
        if self._stop is not None:
            for result, key in self._waiting.items():
                if key not in begun:
                    self._ray.cancel(result)

    def _tell(self, kind: str, content: Any) -> None:
        from pathb_jax.run import Progress

        if kind == "progress":
            self._observer.progress(Progress(**content))
        elif kind == "lost":
            self._observer.notice(f"{self._labels[content]}: its worker was lost; another goes on")
        else:
            self._observer.notice(content)


class _Mailbox:
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


class _Link:
    """A worker's connection to the mailbox.

    A thread of its own talks: while the main thread of a task waits for an answer Ray would lend
    its core to another task.
    """

    def __init__(self, mailbox: Any, key: int) -> None:
        self._mailbox, self._key = mailbox, key
        self._begun, self._over = threading.Event(), threading.Event()
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._talk, name="link", daemon=True)

    def __enter__(self) -> "_Link":
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


@contextlib.contextmanager
def connected(
    address: str,
    backend: Backend = "auto",
    *,
    deterministic: bool = True,
    accept_environment_change: bool = False,
) -> Iterator[Cluster]:
    """Connect to a Ray cluster while the context lasts; this process computes on a CPU only.

    Args:
        address: host:port of the head, or "auto", the cluster that this machine belongs to.
        backend: where workers compute. auto: on GPUs or TPUs if the cluster has any.
        deterministic: as `backend.select_backend`.
        accept_environment_change: whether workers may be of other kinds of machine.

    Raises:
        InputError: there is no Ray or no such cluster, or its workers' code differs from ours.
    """
    ray = _import_ray()
    _check_address(address)
    import jax

    jax.config.update("jax_platforms", "cpu")  # accelerators are the workers'
    with signals.ending_at_once():
        _init(ray, address)
    try:
        settings = _Settings(address, str(Path.cwd()), backend, deterministic)
        with signals.ending_at_once():
            cluster = Cluster(ray, settings, accept_environment_change)
        yield cluster
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns
    try:
        import ray
        import ray.util.scheduling_strategies
    except ModuleNotFoundError:
        allowed = "that package is missing here: install pathb-jax[cluster]"
        raise InputError("--ray", "ray", allowed) from None
    return ray


def _check_address(address: str) -> None:
    """Refuse an address where there is no cluster.

    Raises:
        InputError: it is not an address, nobody answers there, or it is not a Ray head that does.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host or int(port) > 65535:
        allowed = "give host:port of the cluster's head, as `ray start --head` shows it, or auto"
        raise InputError("--ray", address, allowed)
    if not _answers(host, int(port)):
        allowed = f"nobody answers there; start the head with `ray start --head --port {port}`"
        raise InputError("--ray", address, allowed)
    # Ray itself would try for minutes.
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(check, capture_output=True, text=True, timeout=HEALTH_SECONDS)
        healthy, why = done.returncode == 0, (done.stderr.strip() or "no reason").splitlines()[-1]
    except subprocess.TimeoutExpired:
        healthy, why = False, f"no answer in {HEALTH_SECONDS:.0f} s"
    if not healthy:
        allowed = (
            f"what answers there is no healthy head of a Ray cluster ({why}), or it asks for a "
            "token: then set RAY_AUTH_MODE=token"
        )
        raise InputError("--ray", address, allowed)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=HEAD_SECONDS / 2).close()
    except OSError:
        return False
    return True


def _init(ray: ModuleType, address: str) -> None:
    """Connect; leave signals to our own handlers, and give workers our variables for JAX."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("JAX_", "XLA_")) or name == "PYTHONPATH"
    }
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"XLA_FLAGS": "", **variables}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = f"Ray cannot connect ({error}); the command has to run on a machine of the cluster"
        raise InputError("--ray", address, why) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in handlers.items():
                signal.signal(signum, handler)


def _check_code(address: str, theirs: Mapping[str, Any]) -> None:
    """Raise InputError if workers would run other code than this process."""
    from pathb_jax import backend

    ours = backend.environment()
    changes = backend.environment_differences(_code(ours), _code(theirs))
    if changes:
        allowed = f"a worker's code differs from this command's ({'; '.join(changes)})"
        raise InputError("--ray", address, f"{allowed}; install the same everywhere")


def _code(environment: Mapping[str, Any]) -> dict[str, Any]:
    report = environment["backend"]
    return {"source": environment["source"]} | {name: report[name] for name in _CODE}


# In workers. What is expected to go wrong is returned, so that the driver raises it as it is.


def _prepare(settings: _Settings) -> None:
    """Make a worker compute where and as the driver would."""
    host = socket.gethostname()
    try:
        os.chdir(settings.folder)
    except OSError as error:
        allowed = f"{settings.folder} ({error.strerror}) has to be there on {host} too"
        raise InputError("--ray", settings.address, allowed) from None
    from pathb_jax import backend

    backend.select_backend(settings.backend, deterministic=settings.deterministic)
    if settings.environment is None:
        return
    here = backend.environment()
    changes = backend.environment_differences(settings.environment, here)
    if changes:
        raise InputError(
            "--ray",
            settings.address,
            f"{host} differs from another of its machines ({'; '.join(changes)}), so that bits "
            "may; use machines that are alike, or give --accept-environment-change",
        )


def _call(settings: _Settings, function: Callable[[Any], Any], argument: Any) -> Any:
    signals.request(None)
    try:
        _prepare(settings)
        return function(argument)
    except _EXPECTED as error:
        return error


def _environment(_: None) -> dict[str, Any]:
    from pathb_jax import backend

    return backend.environment()


def _train(mailbox: Any, settings: _Settings, key: int, config: RunConfig) -> Any:
    with _Link(mailbox, key) as link:
        try:
            signals.stop_if_requested()
            _prepare(settings)
            return _train_here(link, config)
        except _EXPECTED as error:
            return error
        finally:
            signals.request(None)


def _train_here(link: _Link, config: RunConfig) -> "RunOutcome":
    from pathb_jax import run

    class Teller(run.Observer):
        def progress(self, progress: run.Progress) -> None:
            link.put("progress", {**progress._asdict(), "row": dict(progress.row)})

        def notice(self, message: str) -> None:
            link.put("notice", message)

    assert config.output.out is not None  # filled in by `validated`
    end = time.monotonic() + LOCK_SECONDS
    while lock.is_held(config.output.out) and time.monotonic() < end:
        signals.stop_if_requested()
        time.sleep(POLL_SECONDS)
    return run.train(config, Teller())
