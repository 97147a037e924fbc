"""Connecting to a Ray cluster, or saying in one line why that cannot be."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from pathb_jax.cluster.driver import RayCluster, answers
from pathb_jax.cluster.worker import Settings
from pathb_jax.config import Backend
from pathb_jax.errors import InputError
from pathb_jax.system import signals

HEALTH_SECONDS = 30.0
"""How long a head may take to say that it is well, at the beginning."""

_NO_ACCESS = re.compile("AuthenticationError|InvalidAuthToken|Unauthenticated", re.IGNORECASE)
_OPEN = (
    "note: the Ray cluster asks for no token, so whoever reaches its ports runs programs on its "
    "machines; start it with RAY_AUTH_MODE=token"
)
_TOKEN = "give the cluster's in RAY_AUTH_TOKEN or in the file that RAY_AUTH_TOKEN_PATH names"


@contextlib.contextmanager
def connected(
    address: str,
    backend: Backend = "auto",
    *,
    deterministic: bool = True,
    accept_environment_change: bool = False,
) -> Iterator[RayCluster]:
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
    _check_head(address)
    import jax

    jax.config.update("jax_platforms", "cpu")  # accelerators are the workers'
    with signals.ending_at_once():
        _init(ray, address)
    try:
        settings = Settings(address, str(Path.cwd()), backend, deterministic)
        with signals.ending_at_once():
            cluster = RayCluster(ray, settings, accept_environment_change)
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
    """Refuse what is no address, or where nobody answers."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host or int(port) > 65535:
        allowed = "give host:port of the cluster's head, as `ray start --head` shows it, or auto"
        raise InputError("--ray", address, allowed)
    if not answers(host, int(port)):
        allowed = f"nobody answers there; start the head with `ray start --head --port {port}`"
        raise InputError("--ray", address, allowed)


def _check_head(address: str) -> None:
    """Refuse a head that is not well or does not let us in, and say if it lets everybody in.

    Raises:
        InputError: it is none of Ray's or does not answer, or it asks for another token.
    """
    why = _health(address, {"RAY_AUTH_MODE": "disabled"})
    if why is None:
        print(_OPEN, file=sys.stderr)
    elif _NO_ACCESS.search(why):
        if os.environ.get("RAY_AUTH_MODE") != "token":
            allowed = f"the Ray cluster asks for a token; set RAY_AUTH_MODE=token and {_TOKEN}"
            raise InputError("--ray", address, allowed)
        if _health(address, {}) is not None:
            allowed = f"the Ray cluster asks for another token than is here, if one is; {_TOKEN}"
            raise InputError("--ray", address, allowed)
    elif address != "auto":  # of which Ray itself says what it looked for
        last = (why.splitlines() or ["no reason"])[-1]
        allowed = f"what answers there is no healthy head of a Ray cluster ({last})"
        raise InputError("--ray", address, allowed)


def _health(address: str, variables: Mapping[str, str]) -> str | None:
    """Return what Ray's own check says against a head, or None; Ray would try for minutes."""
    words = [] if address == "auto" else ["--address", address]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "health-check", *words],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=HEALTH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {HEALTH_SECONDS:.0f} s"
    return None if done.returncode == 0 else done.stderr.strip()


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
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        said = " ".join(str(error).split())
        why = f"Ray cannot connect ({said}); the command has to run on a machine of the cluster"
        raise InputError("--ray", address, why) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
