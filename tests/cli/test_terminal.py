"""Texts of files, paths and flags reach a terminal as texts: no markup, no control sequences."""

import io
import re

import pytest
from rich.table import Table
from small_protocol import shipped_table, write_toml
from small_runs import bad_input_line

from pathb_jax.cli import evaluate, ladder, train
from pathb_jax.display.terminal import Terminal, say
from pathb_jax.errors import InputError
from pathb_jax.ladder import estimate
from pathb_jax.text import visible

HOSTILE = "see [/ref] [bold]x[/bold] :smile: \x1b[2J\x1b]0;title\x07 \r\x9b31m \u202eback\u2028end"
SHOWN = r"see [/ref] [bold]x[/bold] :smile: \x1b[2J\x1b]0;title\x07 \r\x9b31m \u202eback\u2028end"


def controls(text):
    return re.findall(r"[^\n\x20-\x7e\xa1-\u1fff\u2030-\uffff]", text)


def test_visible_changes_nothing_that_can_be_seen():
    assert visible("Grüße, 日本, λ = 0.9 [/x] \\x1b") == "Grüße, 日本, λ = 0.9 [/x] \\x1b"
    assert visible(visible(HOSTILE)) == visible(HOSTILE) == SHOWN


def test_a_console_takes_nothing_for_markup():
    stream = io.StringIO()
    console = Terminal(stream)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    text = stream.getvalue()
    assert text.splitlines()[-1] == SHOWN
    assert not controls(text)
    say(HOSTILE, stream)
    assert stream.getvalue().splitlines()[-1] == SHOWN


@pytest.mark.parametrize("place", ["field", "value", "allowed"])
def test_an_error_message_is_one_printable_line(place):
    parts = {"field": "--out", "value": "x", "allowed": "give another"} | {place: HOSTILE}
    message = str(InputError(**parts))
    assert message.isprintable()
    assert "[/ref]" in message


def test_no_command_prints_past_the_terminal(repository):
    """One mechanism: a print or a console of another module would not spell anything out."""
    rooms = [repository / "pathb_jax" / name for name in ("cli", "display")]
    for path in (path for room in rooms for path in room.glob("*.py")):
        if path.name != "terminal.py":
            found = re.findall(r"(?<![\w.])(?:print|Console)\(", path.read_text("utf-8"))
            assert not found, path.name


@pytest.fixture
def _measured(monkeypatch):
    figures = estimate.Estimate(1.0, 1.0, 1.0, 1.0, 50)
    monkeypatch.setattr(estimate, "measure", lambda plan: figures)


@pytest.mark.usefixtures("_measured")
@pytest.mark.parametrize("name", ["q[/y]", "x\x1b[31m", "a\nverdict: adopted lr1e4"])
def test_a_plan_shows_paths_and_protocols_as_they_are(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = shipped_table()
    table["candidates"][0]["why"] = HOSTILE
    write_toml(tmp_path / "own.toml", table)
    assert ladder.main(["--protocol", "own.toml", "--out", name, "--plan"]) == 0
    out = capsys.readouterr().out
    assert f"files: {visible(name)}" in out.splitlines()
    assert "[/ref]" in out
    assert not controls(out)
    assert not [line for line in out.splitlines() if line.startswith("verdict: ")]


@pytest.mark.parametrize("main", [ladder.main, train.main, evaluate.main])
@pytest.mark.parametrize("word", ["[/y]", "\x1b[31mred", "a\rb", "\x9b2J"])
def test_words_in_error_lines(main, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["--tier", word], ["--sensor-tier", word], [f"--{word}"], [word]):
        assert not controls(bad_input_line(main, words, capsys, tmp_path))


@pytest.mark.parametrize("name", ["[x].toml", "\x1b[31m.toml", "a\rb.toml"])
def test_names_of_files_in_error_lines(name, tmp_path, capsys):
    (tmp_path / name).write_text("run = 1")
    line = bad_input_line(ladder.main, ["--protocol", str(tmp_path / name)], capsys, tmp_path)
    assert visible(" ".join(name.split())) in line
    assert not controls(line)
