"""What files pages of HTML are, and whether they can be drawn; known before heavy imports."""

import importlib.util

PAGE_NAME = "report.html"
"""The name of a ladder's page, beside its record."""

MARKER = "written by pathb_jax: the page of a ladder"
STUDY_MARKER = "written by pathb_jax: the page of a study"
"""Begin every page, so that it is recognised and may be written anew."""

MISSING = "it needs vl-convert-python; install pathb-jax[page]"
"""Why there is no page."""


def is_own_page(data: bytes) -> bool:
    """Recognise a ladder's page by its marker."""
    return _is_marked(data, MARKER)


def is_own_study_page(data: bytes) -> bool:
    """Recognise a study's page by its marker."""
    return _is_marked(data, STUDY_MARKER)


def _is_marked(data: bytes, marker: str) -> bool:
    return data.startswith(f"<!doctype html>\n<!-- {marker} -->".encode())


def can_draw() -> bool:
    """Whether what draws the page's charts is installed."""
    return importlib.util.find_spec("vl_convert") is not None
