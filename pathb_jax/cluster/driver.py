"""The driver's side of a Ray cluster: tasks are sent out, heard of, and ended."""

import contextlib
import pickle
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pathb_jax.cluster.worker import (
    EXPECTED,
    POLL_SECONDS,
    REPLY_SECONDS,
    Mailbox,
    Settings,
    call,
    environment,
    train,
)
from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.system import provenance, signals

if TYPE_CHECKING:
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome

HEAD_SECONDS = 10.0
"""A head that does not answer for so long is gone."""
MOST_LOSSES = 20
"""Workers that one run may lose; more look like the run's own doing."""

_RESOURCES = {"gpu": "GPU", "tpu": "TPU", "cpu": "CPU"}
_CODE = ("python", "versions")
"""What of a device report is code; the rest is the machine."""


class RayCluster:
    """A Ray cluster that this process is connected to; `connected` makes one."""

    def __init__(self, ray: ModuleType, settings: Settings, accept_environment_change: bool):
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
        (self.environment,) = self.each(environment, [None])
        """What equal bits depend on, as a worker tells it."""
        _check_code(settings.address, self.environment)
        if not accept_environment_change:
            self._settings = settings._replace(environment=self.environment)

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """As `pathb_jax.runs.cluster.Cluster.each`."""
        task = self._ray.remote(call).options(**self._task)
        waiting = [
            task.remote(self._settings, pickle.dumps((function, argument)))
            for argument in arguments
        ]
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
        """As `pathb_jax.runs.cluster.Cluster.train_all`; every run is a task of its own."""
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
        if answers(host, int(port)):
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
        self, cluster: RayCluster, configs: Mapping[int, RunConfig], observer: "Observer"
    ) -> None:
        self._cluster, self._ray, self._observer = cluster, cluster._ray, observer
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        mailbox = self._ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here)
        self._mailbox = mailbox.remote()
        task = self._ray.remote(train).options(**cluster._task)
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
        with contextlib.suppress(*EXPECTED):
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
        from pathb_jax.runs.observer import Progress

        if kind == "progress":
            self._observer.progress(Progress(**content))
        elif kind == "lost":
            self._observer.notice(f"{self._labels[content]}: its worker was lost; another goes on")
        else:
            self._observer.notice(content)


def answers(host: str, port: int) -> bool:
    """Say whether anything listens there."""
    try:
        socket.create_connection((host, port), timeout=HEAD_SECONDS / 2).close()
    except OSError:
        return False
    return True


def _check_code(address: str, theirs: Mapping[str, Any]) -> None:
    """Raise InputError if workers would run other code than this process."""
    ours = provenance.environment()
    changes = provenance.environment_differences(_code(ours), _code(theirs))
    if changes:
        allowed = f"a worker's code differs from this command's ({'; '.join(changes)})"
        raise InputError("--ray", address, f"{allowed}; install the same everywhere")


def _code(environment: Mapping[str, Any]) -> dict[str, Any]:
    report = environment["backend"]
    return {"source": environment["source"]} | {name: report[name] for name in _CODE}
