"""A command as a process: what happens once it has said all there is to say."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from pathb_jax.cli.exit_codes import SIGNAL_BASE


def end_with(command: Callable[[], int]) -> NoReturn:
    """Run a command and end this process with its exit code.

    From its last line on SIGINT is not heard: nothing is left to stop, and Python's own end would
    print a traceback.

    Args:
        command: returns the exit code.
    """
    try:
        code = command()
    except KeyboardInterrupt:  # between the command's last line and here
        code = SIGNAL_BASE + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
