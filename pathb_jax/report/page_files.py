"""What file a ladder's page is, and whether it can be drawn; known before heavy imports."""

import importlib.util

PAGE_NAME = "report.html"
"""The page's name beside the record."""

MARKER = "written by pathb_jax: the page of a ladder"
"""Begins every page, so that it is recognised and may be written anew."""

MISSING = "it needs vl-convert-python; install pathb-jax[page]"
"""Why there is no page."""


def is_own_page(data: bytes) -> bool:
    """Recognise a page by its marker."""
    return data.startswith(f"<!doctype html>\n<!-- {MARKER} -->".encode())


def can_draw() -> bool:
    """Whether what draws the page's charts is installed."""
    return importlib.util.find_spec("vl_convert") is not None
