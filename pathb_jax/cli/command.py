"""What every command does the same way: parse flags, report bad input, exit codes."""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import tyro

from pathb_jax.config import Backend, ParallelRuns, Tier
from pathb_jax.errors import InputError
from pathb_jax.signals import StopRequested, stopping_at_safe_points
from pathb_jax.store.integrity import CheckpointError

if TYPE_CHECKING:
    from pathb_jax.cluster.driver import Cluster

FAILED = 1
FAILURE = 1
BAD_INPUT = 2
MOST_PARALLEL_RUNS = 1024
SIGNAL_BASE = 128
"""Exit codes after a signal are this plus its number: 130 for SIGINT, 143 for SIGTERM."""

Config = TypeVar("Config")


def parse(
    config: type[Config],
    arguments: Sequence[str] | None,
    description: str,
    default: Config | None = None,
) -> Config:
    """Build `config` from command-line flags.

    Args:
        config: the class.
        arguments: the words.
        description: for `--help`.
        default: what flags that are not given stand for, if not the class's own defaults.

    Raises:
        InputError: an unknown flag, a missing one, or a value of the wrong type.
        SystemExit: after printing `--help`.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            parsed = tyro.cli(
                config,
                args=arguments,
                default=default,
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
            )
            return cast(Config, parsed)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(_first_section(printed.getvalue())) from None


class UsageError(InputError):
    """Flags that cannot be parsed; the message is the parser's own, on one line."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)


def _first_section(box: str) -> str:
    """Turn the parser's box into one line: its text up to the first rule."""
    lines = []
    for line in box.splitlines():
        text = line.strip("│ ")
        if re.fullmatch(r"[─╰╯]+", text):
            break
        if not text.startswith("╭"):
            lines.append(text)
    return f"{' '.join(lines)} (see --help)"


def run(command: Callable[[], int], *, stoppable: bool = False) -> int:
    """Run a command's body; turn bad input, stops and failures into exit codes.

    Args:
        command: the body; it returns the exit code.
        stoppable: whether it reaches safe points, so that SIGINT and SIGTERM need not be obeyed
            at once.

    Returns:
        The body's exit code; 2 for bad input, 1 for a failure to write or read files, 128 plus
        the signal's number after a stop.
    """
    resume = "what is on disk is valid; the same command goes on from the last checkpoint"
    try:
        with stopping_at_safe_points() if stoppable else contextlib.nullcontext():
            return command()
    except InputError as error:
        return _fail(str(error), BAD_INPUT)
    except StopRequested as stop:
        print(f"{stop}: saved; the same command goes on from here", file=sys.stderr)
        return SIGNAL_BASE + stop.signum
    except KeyboardInterrupt:
        print(f"interrupted: {resume}", file=sys.stderr)
        return SIGNAL_BASE + signal.SIGINT
    except (OSError, CheckpointError) as error:
        return _fail(f"{' '.join(str(error).split())}; {resume}", FAILURE)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def check_parallel_runs(parallel_runs: ParallelRuns) -> None:
    """Raise InputError unless it is auto or a sensible number."""
    if parallel_runs != "auto" and not 1 <= parallel_runs <= MOST_PARALLEL_RUNS:
        allowed = f"give auto or a whole number from 1 to {MOST_PARALLEL_RUNS}"
        raise InputError("--parallel-runs", parallel_runs, allowed)


def check_ray(ray: str | None, parallel_runs: ParallelRuns, runs_per_device: int = 1) -> None:
    """Raise InputError if flags say both that a cluster places runs and how this machine does."""
    if ray is None:
        return
    if parallel_runs != "auto":
        allowed = "with --ray as many runs train at once as the cluster has room for; leave it out"
        raise InputError("--parallel-runs", parallel_runs, allowed)
    if runs_per_device != 1:
        allowed = "with --ray each run has a device to itself; leave it out"
        raise InputError("--runs-per-device", runs_per_device, allowed)


@contextlib.contextmanager
def computing(
    backend: Backend,
    tier: Tier,
    parallel_runs: ParallelRuns,
    ray: str | None,
    *,
    accept_environment_change: bool,
    deterministic: bool = True,
) -> Iterator["Cluster | None"]:
    """Choose what trains while the context lasts: a Ray cluster, or with None this machine.

    Raises:
        InputError: there is no such device or cluster.
    """
    if ray is not None:
        from pathb_jax.cluster.connection import connected

        with connected(
            ray,
            backend,
            deterministic=deterministic,
            accept_environment_change=accept_environment_change,
        ) as cluster:
            yield cluster
        return
    from pathb_jax.backend import host_devices, select_backend

    devices = host_devices(parallel_runs, tier)
    select_backend(backend, deterministic=deterministic, host_devices=devices)
    yield None


def check_writable(flag: str, folder: Path | None) -> None:
    """Raise InputError unless `folder` can be created or written to; create nothing."""
    if folder is None:
        return
    existing = folder.absolute()
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:  # a name that is too long
        raise InputError(flag, str(folder), error.strerror or "the system refuses it") from None
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(flag, str(folder), f"{existing} is not a folder you can write to")
