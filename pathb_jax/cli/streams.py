"""A command outlives its output: a full disk or a closed pipe costs what is printed, no more."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class _Lasting:
    """A text stream that takes every text, whether or not the stream behind it can."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: Exception | None = None

    def write(self, text: str) -> int:
        """Write; a character that the stream's encoding lacks is written as its code."""
        with self._losing():
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                encoding = self.stream.encoding or "utf-8"
                escaped = text.encode(encoding, errors="backslashreplace")
                self.stream.write(escaped.decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be."""
        with self._losing():
            self.stream.flush()

    def end(self) -> None:
        """Flush; drop what cannot be written, or Python would try again when it ends."""
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.lost = self.lost or error
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)
                self.stream.flush()

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self.lost = self.lost or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def outlived() -> Iterator[None]:
    """Let nothing fail for want of standard output or error while the context lasts."""
    lasting = {
        name: _Lasting(stream)
        for name in ("stdout", "stderr")
        if (stream := getattr(sys, name)) is not None  # None: it was closed from the beginning
    }
    for name, stream in lasting.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in lasting.items():
            stream.end()
            if name == "stdout" and not isinstance(stream.lost, BrokenPipeError | None):
                sys.stderr.write(f"note: standard output was lost ({stream.lost})\n")
            setattr(sys, name, stream.stream)
