"""Remarks that people add to a generated page, kept when it is written anew."""

from pathlib import Path

REMARKS = "<!-- remarks: kept when the page is written anew -->"


def kept_remarks(page: Path) -> str:
    """Return the marker and all that follows it in a page; the marker alone if there is none."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    return REMARKS + old.partition(REMARKS)[2]
