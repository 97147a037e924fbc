"""How figures are drawn: in a style of their own, and as PNG and SVG bytes.

Neither the user's nor the working folder's matplotlib settings have a say.
"""

import contextlib
import functools
import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

from pathb_jax.store.own_files import SOFTWARE
from pathb_jax.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: told apart by colour-blind readers too."""

Given = ParamSpec("Given")


class Picture(NamedTuple):
    """A figure as the bytes of two files."""

    png: bytes
    svg: bytes


class FigureError(Exception):
    """A figure could not be drawn; the message is one line that says why."""


def drawn(draw: "Callable[Given, Figure]") -> Callable[Given, Picture]:
    """Make a function that draws a figure return it as the bytes of its files.

    The function made raises FigureError, whatever goes wrong: what a figure shows is in tables
    too, so that no page or record may be lost with it.
    """

    @functools.wraps(draw)
    def picture(*args: Given.args, **kwargs: Given.kwargs) -> Picture:
        with drawing():
            figure = draw(*args, **kwargs)
            png = encoded(figure, "png")
            figure.set_layout_engine("none")  # as it is laid out now
            return Picture(png, encoded(figure, "svg"))

    return picture


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw in this tool's style; raise FigureError, whatever goes wrong."""
    try:
        with _own_style():
            yield
    except Exception as error:  # matplotlib's, a font's or a missing program's
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise FigureError(visible(message)[:300]) from error


def encoded(figure: "Figure", kind: str) -> bytes:
    """Return a figure as a file's bytes, within `drawing`; `kind` is png, svg or pdf.

    No version and no date are inside: the same record gives the same bytes.
    """
    formats: dict[str, dict[str, Any]] = {
        "png": {"dpi": 110, "metadata": {"Software": SOFTWARE}},
        "svg": {"metadata": {"Title": SOFTWARE, "Creator": SOFTWARE, "Date": None}},
        "pdf": {"metadata": {"Creator": SOFTWARE, "Producer": None, "CreationDate": None}},
    }
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, **formats[kind])
    return stream.getvalue()


@contextlib.contextmanager
def _own_style() -> Iterator[None]:
    backend = os.environ.pop("MPLBACKEND", None)  # an unknown one ends matplotlib's import
    try:
        import matplotlib.style
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    # A dollar in a name begins no formula; that a name is too long or in letters that the font
    # lacks (UserWarning) is seen in the figure.
    # Text of an SVG stays text; its identifiers are not drawn by lot.
    own = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": SOFTWARE}
    plain = matplotlib.style.context(["default", own])
    with plain, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
