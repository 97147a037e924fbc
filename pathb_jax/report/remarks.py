"""Remarks that people add to a generated page, kept when it is written anew."""

from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_bounded

MOST_BYTES = 16 * 2**20

REMARKS = "<!-- remarks: kept when the page is written anew -->"


def kept_remarks(page: Path) -> str:
    """Return the marker and all that follows it in a page; the marker alone if there is none.

    Raises:
        InputError: the page is not a file of text that could be kept.
        OSError: it cannot be read.
    """
    if not page.exists():
        return REMARKS
    try:
        old = read_bounded(page, MOST_BYTES).decode()
    except UnicodeDecodeError as error:
        raise InputError(str(page), str(error)[:200], "its remarks have to be UTF-8") from None
    return REMARKS + old.partition(REMARKS)[2]
