"""What is printed: lines and tables in which texts of files, paths and flags stay texts.

Results go to standard output; progress, notices and the paths of written files to standard error.
"""

import sys
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from pathb_jax.text import visible


def say(line: str, stream: TextIO | None = None) -> None:
    """Print one line of a result, on standard output unless another stream is given."""
    print(visible(line), file=stream or sys.stdout, flush=True)


def notice(line: str) -> None:
    """Print one line that is no result, on standard error."""
    say(line, sys.stderr)


def duration(seconds: float) -> str:
    """Return "m:ss", or "h:mm:ss" from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Terminal(Console):
    """A console that prints what it is given and takes none of it for markup or control codes.

    rich would read `[/x]` in a path as an end of markup that never began, and stop.
    """

    def __init__(self, stream: TextIO | None = None, *, soft_wrap: bool = True) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a line or a table's cell of a text, literally."""
        literally = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **(options | literally))
