"""How pages of Markdown are made: from templates, texts that others wrote, and figures."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from pathb_jax.report.style import FigureError, Picture
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.own_files import picture_files
from pathb_jax.text import visible

_ANYWHERE = re.compile(
    r"[\\`*\[\]|~$]"  # emphasis, code, links, a table's cells, formulas
    r"|<(?=[A-Za-z/!?])"  # tags; 0.2 < 0.4 is left as it is
    r"|&(?=[A-Za-z#])"  # names of characters
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; log_std is left as it is
)
_AT_START = re.compile(r"^(?:\d+(?=[.)](?:\s|$))|(?=[#>]|[-+](?:\s|$)|[-=]{2}))")
"""Where a text that begins a line would begin a heading, a list, a quotation or a rule."""


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def escaped(value: object) -> Markdown:
    r"""Return a value as one line of Markdown that shows it literally.

    >>> print(escaped("# a | <b>c</b> `log_std` 0.2 < 0.4 [x](y)"))
    \# a \| \<b>c\</b> \`log_std\` 0.2 < 0.4 \[x\](y)
    """
    if isinstance(value, Markdown):
        return value
    text = visible(" ".join(str(value).split()))
    text = _ANYWHERE.sub(lambda match: "\\" + match[0], text)
    return Markdown(_AT_START.sub(lambda match: match[0] + "\\", text))


def code(text: str) -> Markdown:
    """Return text for a block or span of code, where nothing can be escaped: one plain line."""
    return Markdown(visible(" ".join(text.split())).replace("`", "'"))


def link(text: str, target: str) -> Markdown:
    """Return a link to a file or folder near the page."""
    return Markdown(f"[{escaped(text)}]({quote(target, errors='surrogateescape')})")


def table_lines(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Markdown]:
    """Yield the lines of a table.

    Args:
        headings: of its columns.
        rows: cells that are Markdown already.
    """
    for row in (headings, ["---"] * len(headings), *rows):
        yield Markdown(f"| {' | '.join(row)} |")


def figure(page: Path, target: str, caption: str, draw: Callable[[], Picture]) -> Markdown:
    """Draw a page's figure and write it, whole or not at all; return the Markdown that shows it.

    The picture leads to its SVG. Where it cannot be drawn that is what the Markdown says.

    Args:
        page: the Markdown file.
        target: the figure's PNG file, relative to the page's folder.
        caption: what the figure shows, a few words of our own.
        draw: draws it, or raises FigureError.

    Raises:
        OSError: it cannot be written.
    """
    try:
        picture = draw()
    except FigureError as error:
        return Markdown(f"(The figure could not be drawn: {caption}. {escaped(error)})")
    png, svg = picture_files(target)
    write_atomically(page.parent / png, picture.png)
    write_atomically(page.parent / svg, picture.svg)
    return Markdown(f"[![{caption}]({quote(png)})]({quote(svg)})")


def rendered(name: str, filters: Mapping[str, Callable[..., Any]], **context: Any) -> str:
    """Fill in a template of this package, with every value shown literally.

    Args:
        name: the template's file; its own words are Markdown.
        filters: what it may apply to values; what they return as `Markdown` is left as it is.
        **context: the values.
    """
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # that is for HTML
        finalize=escaped,
    )
    environment.filters.update(filters)
    template = (resources.files("pathb_jax") / "report" / name).read_text("utf-8")
    return environment.from_string(template).render(context)
