"""Lines of progress, live and in a log."""

import re
from pathlib import Path

import pytest

from pathb_jax.display.progress import ProgressBar
from pathb_jax.runs.observer import Progress

ROW = {"entropy": 1.5, "log_std": -0.6, "value_loss": 321.0}
LONG = "mixed_ppo_phase3_lambda_0_9_large_seed_0_mixed_0_90_pathb_lr1e4"


def progress(slug, update, success=0.5):
    left = (100 - update) * 60.0
    return Progress(slug, update, 100, 1000.0, left, ROW, success, Path(slug), {}, {}, {})


@pytest.fixture
def terminal(monkeypatch):
    """Let standard error be a terminal."""

    def of(columns):
        for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": str(columns)}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("NO_COLOR", raising=False)

    return of


def shown(capsys):
    """Return what stood on the terminal last, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    return [line.split("\r")[-1].rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("columns", [80, 139, 140, 200])
def test_a_line_fits_and_shows_what_is_asked_first(terminal, capsys, columns):
    terminal(columns)
    with ProgressBar(names={"a": "lr1e4 seed 0"}) as bar:
        bar.progress(progress("a", 25))
        bar.progress(progress(LONG, 50, success=None))
    lines = shown(capsys)
    assert max(map(len, lines)) < columns
    (first, second) = lines[-2:]
    assert re.search(r"lr1e4 seed 0 .* 25% success 0\.500  1:15:00 left", first)
    assert re.search(r"mixed_ppo_phase3_lambda_0.*… .* 50% success -  50:00 left", second)
    assert ("value_loss 321.0" in first) == (columns >= 140)


def test_it_says_at_once_that_a_run_starts(terminal, capsys):
    terminal(80)
    with ProgressBar() as bar:
        assert "starting" in capsys.readouterr().err
        bar.progress(progress("a", 25))
    assert "starting" not in shown(capsys)[-1]


def test_all_planned_runs_have_a_line_of_their_own_which_stays_last(terminal, capsys):
    terminal(80)
    planned = dict.fromkeys("abcd", 100)
    with ProgressBar(names={"a": "first", "b": "second"}, planned=planned) as bar:
        bar.progress(progress("a", 100))
        bar.progress(progress("b", 50))
    lines = shown(capsys)
    assert "second" in lines[-2]
    assert re.search(r"all 4 runs .* 38% 4:10:00 left at most", lines[-1])  # 250 minutes
    with ProgressBar(planned=planned) as bar:
        bar.progress(progress("a", 100))
        bar.progress(progress("batch", 10))
    assert "batch" in shown(capsys)[-1]  # the planned ones are over, or spared


@pytest.mark.parametrize("how", ["no terminal", "dumb"])
def test_in_a_log_every_chunk_is_a_line(monkeypatch, terminal, capsys, how):
    if how == "dumb":
        terminal(80)
        monkeypatch.setenv("TERM", "dumb")
    with ProgressBar(planned={"a": 100, "b": 100}) as bar:
        bar.progress(progress("a", 50))
        bar.progress(progress("a", 100))
    first, second = shown(capsys)
    assert first.startswith("a update 50/100  50:00 left  success 0.500  1,000 steps/s")
    assert second.startswith("a update 100/100  trained  success 0.500")


def test_quietly_only_notices_are_shown(terminal, capsys):
    terminal(80)
    with ProgressBar(quiet=True, planned={"a": 100, "b": 100}) as bar:
        bar.progress(progress("a", 50))
        bar.notice("resuming")
    assert shown(capsys) == ["resuming"]
