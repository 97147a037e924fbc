"""Figures have a style of their own, and one that cannot be drawn costs nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pytest
from hand_made_ladders import adopted, written
from small_rows import envelope_run

from pathb_jax.cli import evaluate
from pathb_jax.envs.drawing import Arena
from pathb_jax.report.anchors_page import write_anchors_page
from pathb_jax.report.envelope_page import write_envelope_page
from pathb_jax.report.figures import Line, draw_sets
from pathb_jax.report.paths import EpisodePath, draw_paths
from pathb_jax.report.remarks import REMARKS
from pathb_jax.report.style import FigureError
from pathb_jax.store.own_files import is_own_picture
from pathb_jax.studies.anchors import ANCHORS, compare
from pathb_jax.studies.envelope import envelope

LINES = {"lr1e4": Line("#0072B2", "lr1e4")}
RATES = {"lr1e4": {"10000": (0.5, 0.3, 0.7)}}
RC = b"text.usetex: True\nfigure.facecolor: red\nfont.size: 3\nbackend: nonsense\n"
PROGRAM = """
import pathb_jax.envs, sys
from pathlib import Path
from pathb_jax.report.figures import Line, draw_sets
rates = {"lr1e4": {"10000": (0.5, 0.3, 0.7)}}
Path(sys.argv[1]).write_bytes(draw_sets(rates, {"lr1e4": Line("#0072B2", "lr1e4")}, 0.4).png)
"""


def test_settings_of_the_user_have_no_say() -> None:
    plain = draw_sets(RATES, LINES, 0.4)
    assert is_own_picture(plain.png)
    assert is_own_picture(plain.svg)
    with mpl.rc_context({"text.usetex": True, "figure.facecolor": "red", "font.size": 3}):
        assert draw_sets(RATES, LINES, 0.4) == plain
        assert mpl.rcParams["font.size"] == 3


@pytest.mark.parametrize(
    ("backend", "rc"),
    [
        *(pytest.param(name, RC, marks=pytest.mark.slow) for name in ("agg", "nonsense")),
        ("module://nonsense", RC + b"\xff"),
    ],
)
def test_settings_of_the_working_folder_have_no_say(
    backend: str, rc: bytes, tmp_path: Path
) -> None:
    """gymnax imports matplotlib with the environment: there the last two ended every command."""
    (tmp_path / "matplotlibrc").write_bytes(rc)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, "figure.png"],
        env={**os.environ, "MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "figure.png").read_bytes() == draw_sets(RATES, LINES, 0.4).png


@pytest.mark.parametrize("name", [r"$\frac{", "a$b$c", r"\x", "x" * 300, "日本"])
def test_a_name_is_no_formula(name: str) -> None:
    ElementTree.fromstring(
        draw_sets({name: RATES["lr1e4"]}, {name: Line("#0072B2", name)}, 0.4).svg
    )
    episode = EpisodePath("1", *np.zeros((3, 2, 2)), success=True)
    picture = draw_paths([episode], Arena(5.0, 1.5, 0.5, 1.0), f"{name}\x1b[31m\r")
    assert picture.png.startswith(b"\x89PNG")
    ElementTree.fromstring(picture.svg)


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError("no\nfont |x| at all")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)


@pytest.mark.usefixtures("_no_figures")
def test_why_a_figure_was_not_drawn() -> None:
    with pytest.raises(FigureError, match=r"^RuntimeError: no font \|x\| at all$"):
        draw_sets(RATES, LINES, 0.4)


@pytest.mark.usefixtures("_no_figures")
def test_the_note_says_which_figure_is_missing(tmp_path: Path) -> None:
    text = written(adopted(tmp_path), tmp_path)
    assert "Training curves of every candidate. RuntimeError: no font \\|x\\| at all)" in text
    assert "Success rate per run and seed set, with intervals. RuntimeError" in text
    assert "![" not in text
    assert not (tmp_path / "figures").exists()
    assert "**Adopted: vc0_25" in text


@pytest.mark.usefixtures("_no_figures")
def test_pages_say_which_figure_is_missing(tmp_path: Path) -> None:
    run = envelope_run().model_copy(update={"settings": "--tier Small`\n# x"})
    for name in ("a.md", "e.md"):
        (tmp_path / name).write_text(f"{REMARKS}\n\nRemarks.\n")
    write_anchors_page(tmp_path / "a.md", [compare(ANCHORS[0], [])], tmp_path / "a.csv")
    write_envelope_page(tmp_path / "e.md", envelope([run]), tmp_path / "e.csv")
    for name in ("a.md", "e.md"):
        text = (tmp_path / name).read_text()
        assert "could not be drawn" in text
        assert "Remarks." in text
        assert "\n# x" not in text


@pytest.mark.usefixtures("_no_figures")
def test_a_picture_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, rows = tmp_path / "picture.png", tmp_path / "rows.csv"
    words = ["--controller", "oracle", "--eval-seeds", "1"]
    assert evaluate.main([*words, "--render", str(picture), "--csv", str(rows)]) == 1
    line = capsys.readouterr().err.splitlines(keepends=True)[-1]
    assert line == "error: the picture could not be drawn: RuntimeError: no font |x| at all\n"
    assert rows.exists()
    assert not picture.exists()
