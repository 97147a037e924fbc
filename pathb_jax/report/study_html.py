"""A study's page of HTML: what it says, charts, and tables that can be sorted and searched."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from pathb_jax.report.html import write_html
from pathb_jax.report.page_figures import Spec
from pathb_jax.report.page_files import STUDY_MARKER
from pathb_jax.report.remarks import relative


class Chart(NamedTuple):
    """A chart with its data."""

    name: str
    caption: str
    text: str
    """What it shows, for those who do not see it."""
    spec: Spec


class Cell(NamedTuple):
    """A cell of a table; without a number it is sorted by its text."""

    text: str
    number: float | None = None
    is_number: bool = True
    """Whether its column is sorted by numbers: one that is missing comes last."""


def word(text: str) -> Cell:
    """Return a cell of a column that is sorted by its texts."""
    return Cell(text, is_number=False)


class Table(NamedTuple):
    """A table of the page."""

    link: str
    """What leads to it."""
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    """The first cell of each names it."""
    words: str = ""
    """Below it."""


class StudyPage(NamedTuple):
    """What a study's page tells."""

    name: str
    intro: Sequence[str]
    statements: Sequence[str]
    command: str
    """Repeats the study."""
    key: Sequence[tuple[str, str]]
    """Marks of the charts, and what they stand for."""
    charts: Sequence[Chart]
    tables: Sequence[Table]


def write_study_html(page: Path, study: StudyPage, files: Sequence[Path]) -> None:
    """Write a study's page, whole or not at all.

    Args:
        page: the HTML file.
        study: what it tells.
        files: that it leads to.

    Raises:
        InputError: what draws the charts is missing or fails.
        OSError: it cannot be written.
    """
    for chart in study.charts:
        chart.spec["description"] = chart.text
    write_html(
        page,
        "study.html.j2",
        marker=STUDY_MARKER,
        title=study.name,
        data={"specs": {chart.name: chart.spec for chart in study.charts}},
        filters={"sorted_by": _sorted_by},
        files=[(quote(os.fsencode(relative(file, page))), file.name) for file in files],
        **study._asdict(),
    )


def _sorted_by(cell: Cell) -> Markup:
    if not cell.is_number:
        return Markup("")
    return Markup(' data-value="{}"').format("" if cell.number is None else cell.number)
