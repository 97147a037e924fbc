"""How pages of HTML are made: one self-contained file each, that needs no network.

Vega-Lite draws; its program comes with vl-convert-python, the extra `page`, and is copied into the
page. What is common to all pages is in page_base.html.j2, page_base.js and page.css.
"""

import functools
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pathb_jax.errors import InputError
from pathb_jax.report import page_files
from pathb_jax.report.page_files import MISSING
from pathb_jax.store.atomic import write_atomically
from pathb_jax.text import visible

LARGEST = 5 * 10**6
"""Bytes of a page, at most."""


def write_html(
    page: Path,
    template: str,
    *,
    marker: str,
    title: str,
    name: str,
    data: Mapping[str, Any],
    script: str | None = None,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **context: Any,
) -> None:
    """Write a page, whole or not at all; every value is shown literally.

    Args:
        page: the HTML file.
        template: of this package; it extends page_base.html.j2.
        marker: begins it, so that it is recognised.
        title: of the window.
        name: at the top of the page.
        data: JSON for its script; `specs` has the specification of every chart by its name.
        script: of this package, after page_base.js; None: there is nothing but charts and tables.
        filters: what the template may apply to values.
        **context: the values.

    Raises:
        InputError: what draws the charts is missing or fails.
        OSError: it cannot be written.
    """
    check_can_draw(page.name)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_literal,
    )
    environment.filters |= dict(filters or {})
    scripts = ["page_base.js", *([script] if script else [])]
    text = environment.get_template(template).render(
        marker=marker,
        title=title,
        name=name,
        data=data,
        style=Markup(_source("page.css")),  # our own
        script=Markup("\n".join(map(_source, scripts))),
        library=Markup(_library(page.name)),
        **context,
    )
    write_atomically(page, text)


def check_can_draw(name: str) -> None:
    """Refuse to write a page where what draws its charts is not installed.

    Raises:
        InputError: it is not.
    """
    if not page_files.can_draw():
        raise InputError("page", name, MISSING)


def _literal(value: object) -> object:
    """Spell out what is not a printable character in texts that others wrote."""
    literal = isinstance(value, str) and not isinstance(value, Markup)
    return visible(str(value)) if literal else value


def _library(name: str) -> str:
    try:
        return _bundle()
    except (RuntimeError, ValueError) as error:
        raise InputError("page", name, f"vl-convert: {str(error).splitlines()[0]}") from error


@functools.cache
def _bundle() -> str:
    """Return the program that draws: Vega, Vega-Lite and Vega-Embed, as one script."""
    import vl_convert  # an extra

    program: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return program.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _source(name: str) -> str:
    return (resources.files("pathb_jax") / "report" / name).read_text("utf-8")
