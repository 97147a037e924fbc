"""`pathb report`: note and page from a ladder's files, or one line that says why not."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from quick import hurry
from small_runs import bad_input_line, tree_of

from pathb_jax.cli import ladder
from pathb_jax.cli.report import main
from pathb_jax.report import html, page_files
from pathb_jax.report.note_files import NOTE_NAME
from pathb_jax.report.page_files import PAGE_NAME
from pathb_jax.store.json_files import read_json, write_json

EXAMPLE = Path(__file__).parents[2] / "docs/examples/ladder_rejected/ladder.json"


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for what draws; figures of the note are not rendered."""
    monkeypatch.setattr(page_files, "can_draw", lambda: True)
    monkeypatch.setattr(html, "_bundle", lambda: "")
    hurry(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "ladder.json", read_json(EXAMPLE))
    return tmp_path


def test_note_and_page_are_written_and_named(folder: Path, capsys: Any) -> None:
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"note: {folder / NOTE_NAME}",
        f"page: {folder / PAGE_NAME}",
    ]
    before = (folder / PAGE_NAME).read_bytes()
    (folder / PAGE_NAME).write_bytes(before[:2000])
    assert main([str(folder)]) == 0
    assert (folder / PAGE_NAME).read_bytes() == before


def test_without_the_library(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "can_draw", lambda: False)
    line = bad_input_line(main, [str(folder)], capsys, folder)
    assert "install pathb-jax[page], or give --no-page" in line
    assert main([str(folder), "--no-page"]) == 0
    assert (folder / NOTE_NAME).exists()
    assert not (folder / PAGE_NAME).exists()


@pytest.mark.parametrize("name", [PAGE_NAME, NOTE_NAME])
def test_files_of_others_are_not_replaced(name: str, folder: Path, capsys: Any) -> None:
    (folder / name).write_text("mine")
    assert name in bad_input_line(main, [str(folder)], capsys, folder)


def test_no_folder_and_no_record(tmp_path: Path, capsys: Any) -> None:
    assert "no such folder" in bad_input_line(main, [str(tmp_path / "a")], capsys, tmp_path)
    assert "ladder.json" in bad_input_line(main, [str(tmp_path)], capsys, tmp_path)


def test_a_ladder_says_where_its_page_is_or_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: Any = SimpleNamespace(out=folder, record_path=folder / "ladder.json")
    assert ladder._page(plan) == str(folder / PAGE_NAME)
    (folder / PAGE_NAME).unlink()
    before = tree_of(folder)
    monkeypatch.setitem(sys.modules, "vl_convert", SimpleNamespace(javascript_bundle=fail))
    monkeypatch.setattr(html, "_bundle", LIBRARY)
    html._bundle.cache_clear()
    assert ladder._page(plan).endswith("vl-convert: no more memory")
    monkeypatch.setattr(page_files, "can_draw", lambda: False)
    told = ladder._page(plan)
    assert "install pathb-jax[page]" in told
    assert f"pathb report {folder}" in told
    assert tree_of(folder) == before


LIBRARY = html._bundle


def fail(snippet: str) -> str:
    raise RuntimeError("no more memory\n\nStack backtrace: ...")
