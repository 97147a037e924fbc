"""Generated pages: how they are recognised, and people's remarks on them, which are kept."""

import os
from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.report.markdown import Markdown
from pathb_jax.store.json_files import read_bounded
from pathb_jax.store.own_files import IsOwn

MOST_BYTES = 16 * 2**20

REMARKS = "<!-- remarks: kept when the page is written anew -->"


def kept_remarks(page: Path) -> Markdown:
    """Return the marker and all that follows it in a page; the marker alone if there is none.

    Raises:
        InputError: the page is not a file of text that could be kept.
        OSError: it cannot be read.
    """
    if not page.exists():
        return Markdown(REMARKS)
    try:
        old = read_bounded(page, MOST_BYTES).decode()
    except UnicodeDecodeError as error:
        raise InputError(str(page), str(error)[:200], "its remarks have to be UTF-8") from None
    return Markdown(REMARKS + old.partition(REMARKS)[2].rstrip())


def is_own_page(heading: str) -> IsOwn:
    """Recognise a study's page by its heading and the marker of its remarks."""

    def is_own(data: bytes) -> bool:
        return data.partition(b"\n")[0].strip() == heading.encode() and REMARKS.encode() in data

    return is_own


def relative(target: Path, page: Path) -> str:
    """Return a link from a page to a file."""
    return Path(os.path.relpath(target.resolve(), page.parent.resolve())).as_posix()
