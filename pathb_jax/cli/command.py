"""What every command does the same way: parse flags, run, turn errors into exit codes."""

import contextlib
import io
import re
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import tyro

from pathb_jax.cli.exit_codes import BAD_INPUT, FAILURE, SIGNAL_BASE
from pathb_jax.cli.hints import REGISTRY
from pathb_jax.cli.streams import outlived
from pathb_jax.display.terminal import notice
from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.report.style import FigureError
from pathb_jax.system.signals import StopRequested, stopping_at_safe_points

Config = TypeVar("Config")


def parse(
    config: type[Config],
    arguments: Sequence[str] | None,
    description: str,
    default: Config | None = None,
    prog: str | None = None,
) -> Config:
    """Build `config` from command-line flags.

    Args:
        config: the class.
        arguments: the words.
        description: for `--help`.
        default: what flags that are not given stand for, if not the class's own defaults.
        prog: what the command is called, if not as it was started.

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
                default=tyro.MISSING_NONPROP if default is None else default,
                description=description,
                prog=prog,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=REGISTRY,
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
        The body's exit code, or that of what it raised.
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
        notice(f"{stop}{saved}")
        return SIGNAL_BASE + stop.signum
    except KeyboardInterrupt:
        notice(f"interrupted: {resume}")
        return SIGNAL_BASE + signal.SIGINT
    except FigureError as error:
        return _fail(f"the picture could not be drawn: {error}", FAILURE)
    except (OSError, CheckpointError) as error:
        return _fail(f"{' '.join(str(error).split())}; {resume}", FAILURE)


def _fail(message: str, code: int) -> int:
    notice(f"error: {message}")
    return code
