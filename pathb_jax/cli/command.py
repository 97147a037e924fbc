"""What every command does the same way: parse flags, report bad input, exit codes."""

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import tyro

from pathb_jax.cli.output import outlived
from pathb_jax.cli.terminal import say
from pathb_jax.config import Backend, ParallelRuns, Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.report.style import FigureError
from pathb_jax.store.integrity import CheckpointError
from pathb_jax.store.json_files import read_bounded
from pathb_jax.store.own_files import IsOwn, is_own_picture
from pathb_jax.system.signals import StopRequested, stopping_at_safe_points

if TYPE_CHECKING:
    from pathb_jax.cluster.driver import Cluster

FAILED = 1
FAILURE = 1
BAD_INPUT = 2
MOST_RUNS_PER_DEVICE = 1024
RUNS_PER_CORE = 8
LARGEST_OUTPUT = 64 * 2**20
"""Bytes of a file that are looked at to tell whether this tool wrote it."""
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
        stoppable: whether it reaches safe points, so that SIGINT, SIGTERM and SIGHUP need not be
            obeyed at once.

    Returns:
        The body's exit code; 2 for bad input, 1 for a failure to write or read files, 128 plus
        the signal's number after a stop.
    """
    with outlived():
        return _run(command, stoppable)


def _run(command: Callable[[], int], stoppable: bool) -> int:
    resume = "what is on disk is valid; the same command goes on from the last checkpoint"
    try:
        with stopping_at_safe_points() if stoppable else contextlib.nullcontext():
            return command()
    except InputError as error:
        return _fail(str(error), BAD_INPUT)
    except StopRequested as stop:
        saved = ": saved; the same command goes on from here" if stoppable else ""
        say(f"{stop}{saved}", sys.stderr)
        return SIGNAL_BASE + stop.signum
    except KeyboardInterrupt:
        say(f"interrupted: {resume}", sys.stderr)
        return SIGNAL_BASE + signal.SIGINT
    except FigureError as error:
        return _fail(f"the picture could not be drawn: {error}", FAILURE)
    except (OSError, CheckpointError) as error:
        return _fail(f"{' '.join(str(error).split())}; {resume}", FAILURE)


def _fail(message: str, code: int) -> int:
    say(f"error: {message}", sys.stderr)
    return code


def check_parallel_runs(parallel_runs: ParallelRuns, tier: Tier) -> None:
    """Raise InputError unless it is auto or a number that this machine's cores can drive."""
    from pathb_jax.runs.memory import size, training_bytes
    from pathb_jax.system.backend import available_cores

    cores = available_cores()
    most = RUNS_PER_CORE * cores
    if parallel_runs != "auto" and not 1 <= parallel_runs <= most:
        each = training_bytes(TrainConfig(tier=tier))
        needed = f"; they would take {size(each * parallel_runs)}" if parallel_runs > most else ""
        allowed = (
            f"give auto or a whole number from 1 to {most}, {RUNS_PER_CORE} for each of {cores} "
            f"cores{needed}"
        )
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
    from pathb_jax.system.backend import host_devices, select_backend

    devices = host_devices(parallel_runs, tier)
    select_backend(backend, deterministic=deterministic, host_devices=devices)
    yield None


def check_writable(flag: str, folder: Path | None) -> None:
    """Raise InputError unless `folder` can be created or written to; create nothing."""
    if folder is None:
        return
    existing = folder.absolute()
    try:
        str(existing).encode()
    except UnicodeEncodeError:  # checkpoints cannot be written there
        allowed = "its whole path has to be UTF-8, and so has the locale (LC_ALL=C.UTF-8)"
        raise InputError(flag, str(folder), allowed) from None
    try:
        while not os.path.lexists(existing):  # a link that leads nowhere is in the way
            existing = existing.parent
    except OSError as error:  # a name that is too long
        raise InputError(flag, str(folder), error.strerror or "the system refuses it") from None
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(flag, str(folder), f"{existing} is not a folder you can write to")


def check_output(flag: str, path: Path | None, is_own: IsOwn, kind: str) -> None:
    """Raise InputError unless a file can be written, and replaces none but this tool's own.

    Args:
        flag: what asks for the file.
        path: where it goes; None: it is not asked for.
        is_own: recognises what this command wrote there earlier.
        kind: what that is, in words.
    """
    if path is None:
        return
    check_writable(flag, path.parent)
    try:
        if not path.exists():
            return
    except OSError as error:  # a name that is too long
        raise InputError(flag, str(path), error.strerror or "the system refuses it") from None
    if path.is_dir():
        raise InputError(flag, str(path), "it is a folder; give the path of a file")
    # A run's own evaluations look like those on request; they are what verdicts are read from.
    folder = _real(path).parent
    evidence = folder.name == "logs" and (folder.parent / "manifests").is_dir()
    try:
        own = not evidence and is_own(read_bounded(path, LARGEST_OUTPUT))
    except (InputError, OSError):
        own = False
    if not own:
        allowed = f"it is there and no {kind} that this command wrote; give another name or move it"
        raise InputError(flag, str(path), allowed)


def check_page(flag: str, page: Path, is_own: IsOwn, figures: Sequence[str]) -> None:
    """Raise InputError unless a page and its figures (paths from its folder) can be written.

    A figure that a page of this tool shows was written with it, whatever it looks like.
    """
    if page.suffix != ".md":
        raise InputError(flag, str(page), "give the path of a Markdown file (.md)")
    check_output(flag, page, is_own, "page")
    shown = page.read_text(encoding="utf-8", errors="replace") if page.exists() else ""
    for figure in figures:
        check_writable(flag, (page.parent / figure).parent)
        if f"({figure})" not in shown:
            check_output(flag, page.parent / figure, is_own_picture, "figure")


def study_files(out: Path, table: Path | None, doc: Path | None, name: str) -> tuple[Path, Path]:
    """Return a study's table and page: by default NAME.csv in `out`, and NAME.md beside the table.

    Raises:
        InputError: the table cannot be one.
    """
    table = table or out / f"{name}.csv"
    if table.suffix != ".csv" or table.is_dir():
        raise InputError("--table", str(table), "give the path of a CSV file (.csv)")
    return table, doc or table.with_name(f"{name.upper()}.md")


def check_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Raise InputError if two flags name the same file."""
    taken: dict[Path, str] = {}
    for flag, path in outputs.items():
        if path is not None and (other := taken.setdefault(_real(path), flag)) != flag:
            raise InputError(flag, str(path), f"{other} names the same file")


def _real(path: Path) -> Path:
    """Return a path without links; unlike `Path.resolve` it takes a circle of them too."""
    return Path(os.path.realpath(path))
