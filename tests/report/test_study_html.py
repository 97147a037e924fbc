"""Pages of the studies in HTML: their figures are those of the tables."""

from pathlib import Path
from typing import Any

import pytest
from test_page import STAND_IN, Read

from pathb_jax.cli import anchors, envelope
from pathb_jax.report import html, page_files
from pathb_jax.report.anchors_html import anchors_study_page
from pathb_jax.report.envelope_html import envelope_study_page
from pathb_jax.report.html import LARGEST
from pathb_jax.report.page_files import is_own_page, is_own_study_page
from pathb_jax.report.study_html import Cell, StudyPage, Table, word, write_study_html
from pathb_jax.studies.anchors import ANCHORS, anchors_table, compare
from pathb_jax.studies.envelope import envelope as summarised
from pathb_jax.studies.envelope_table import FIGURES, EnvelopeRun, envelope_table

DOCS = Path(__file__).parents[2] / "docs"
HOSTILE = "</script><script>alert(1)</script>{{ 7 * 7 }}\u202e"


@pytest.fixture(autouse=True)
def _quick_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A p-value like any other in the place of one that takes seconds."""
    monkeypatch.setattr("pathb_jax.studies.anchors.exact_difference_of_means", lambda *_: 0.5)


@pytest.fixture
def _quick_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "can_draw", lambda: True)
    monkeypatch.setattr(html, "_bundle", lambda: STAND_IN)


def study_page(name: str, path: Path) -> StudyPage:
    if name == "anchors":
        done = anchors_table(path).read()
        return anchors_study_page([compare(anchor, done) for anchor in ANCHORS])
    runs = envelope_table(path).read()
    return envelope_study_page(summarised(runs), runs)


def write_study(name: str, folder: Path) -> Path:
    """Write the page of the repository's own table."""
    table = DOCS / f"{name}.csv"
    page = folder / f"{name}.html"
    write_study_html(page, study_page(name, table), [table])
    return page


@pytest.mark.usefixtures("_quick_library")
@pytest.mark.parametrize("name", ["envelope", "anchors"])
def test_every_run_of_the_table_is_told(name: str, tmp_path: Path) -> None:
    page = write_study(name, tmp_path)
    read = Read(page.read_text())
    assert is_own_study_page(page.read_bytes())
    assert not is_own_page(page.read_bytes())  # no ladder's
    charts = {a["data-chart"]: a["aria-label"] for _, a in read.elements if "data-chart" in a}
    assert charts == {chart: spec["description"] for chart, spec in read.data["specs"].items()}
    table = (DOCS / f"{name}.csv").read_text().splitlines()
    rows = study_page(name, DOCS / f"{name}.csv").tables[1].rows
    assert len(rows) == len(table) - 1
    assert all(cell.text in read.text for row in rows for cell in row)
    points = [
        row
        for spec in read.data["specs"].values()
        for layer in spec["layer"]
        for row in layer["data"]["values"]
        if "run" in row or "seed" in row
    ]
    assert len(points) == len(rows) * len(read.data["specs"])


@pytest.mark.usefixtures("_quick_library")
def test_a_diverged_run_has_no_figure_and_comes_last(tmp_path: Path) -> None:
    runs = envelope_table(DOCS / "envelope.csv").read()
    figures = dict.fromkeys(FIGURES)
    lost = EnvelopeRun.model_validate(runs[0].model_dump() | figures | {"diverged": 1})
    told = envelope_study_page(summarised([lost, *runs[1:]]), [lost, *runs[1:]])
    row = told.tables[1].rows[0]
    assert row[3] == Cell("diverged", None)
    page = tmp_path / "page.html"
    write_study_html(page, told, [])
    assert Read(page.read_text()).text.count("diverged") >= 1


@pytest.mark.usefixtures("_quick_library")
def test_texts_of_others_are_shown_as_text(tmp_path: Path) -> None:
    def page(text: str) -> Read:
        table = Table(text, text, [text], [[word(text)], [Cell(text, 1.0)]], text)
        told = StudyPage(text, [text], [text], text, [(text, text)], [], [table])
        write_study_html(tmp_path / "page.html", told, [Path("a.csv")])
        return Read((tmp_path / "page.html").read_text())

    hostile, tame = page(HOSTILE), page("word")
    assert len(hostile.scripts) == 3
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in tame.elements]
    assert "<script>alert(1)</script>{{ 7 * 7 }}" in hostile.text
    assert "\u202e" not in hostile.text


def test_the_charts_are_what_the_library_takes() -> None:
    library: Any = pytest.importorskip("vl_convert", reason="the extra `page` is not installed")
    for name in ("envelope", "anchors"):
        for chart in study_page(name, DOCS / f"{name}.csv").charts:
            assert library.vegalite_to_vega(chart.spec)["marks"]


@pytest.mark.usefixtures("_quick_library")
@pytest.mark.parametrize(("main", "name"), [(envelope.main, "envelope"), (anchors.main, "anchors")])
def test_the_command_writes_it_beside_its_page(
    main: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / f"{name}.csv"
    table.write_bytes((DOCS / f"{name}.csv").read_bytes())
    words = ["--page-only", "--table", str(table)]
    page = tmp_path / f"{name.upper()}.html"
    assert main(words) == 0
    assert f"HTML:  {page}" in capsys.readouterr().err
    assert is_own_study_page(page.read_bytes())
    assert page.stat().st_size < LARGEST
    page.write_text("mine")
    assert main(words) == 2
    assert page.read_text() == "mine"
    assert page.name in capsys.readouterr().err


def test_without_what_draws_it_the_rest_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(page_files, "can_draw", lambda: False)
    table = tmp_path / "anchors.csv"
    table.write_bytes((DOCS / "anchors.csv").read_bytes())
    assert anchors.main(["--page-only", "--table", str(table)]) == 0
    assert "install pathb-jax[page]" in capsys.readouterr().err
    assert (tmp_path / "ANCHORS.md").exists()
    assert not (tmp_path / "ANCHORS.html").exists()
