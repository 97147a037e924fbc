"""The pages of HTML that commands write beside their Markdown, where they can be drawn."""

from collections.abc import Callable
from pathlib import Path

from pathb_jax.cli.output_files import check_output
from pathb_jax.errors import InputError
from pathb_jax.report import page_files


def check_study_html(flag: str, doc: Path) -> Path:
    """Return the page of HTML that lies beside a study's page.

    Raises:
        InputError: it is somebody else's file. Where nothing can draw it, it is not looked at.
    """
    page = doc.with_suffix(".html")
    if page_files.can_draw():
        check_output(flag, page, page_files.is_own_study_page, "page")
    return page


def html_line(page: Path, write: Callable[[], None]) -> str:
    """Write a page of HTML; return its path, or why there is none, which fails no command."""
    if not page_files.can_draw():
        return f"not written, {page_files.MISSING}"
    try:
        write()
    except (InputError, OSError) as error:
        return f"not written: {error}"
    return str(page)
