"""What every command does the same way: parse flags, report bad input, exit codes."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from pathb_jax.errors import InputError
from pathb_jax.store.integrity import CheckpointError

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

Config = TypeVar("Config")


def parse(config: type[Config], arguments: Sequence[str] | None, description: str) -> Config:
    """Build `config` from command-line flags.

    Raises:
        InputError: an unknown flag, a missing one, or a value of the wrong type.
        SystemExit: after printing `--help`.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                config,
                args=arguments,
                description=description,
                config=(tyro.conf.OmitArgPrefixes,),
            )
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


def run(command: Callable[[], int]) -> int:
    """Run a command's body; turn bad input, interruption and I/O failure into exit codes."""
    try:
        return command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    except (OSError, CheckpointError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED


def check_writable(flag: str, folder: Path | None) -> None:
    """Raise InputError unless `folder` can be created or written to; create nothing."""
    if folder is None:
        return
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(flag, str(folder), f"{existing} is not a folder you can write to")
