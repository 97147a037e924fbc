"""Curves of runs, from files written by hand after the likeness of a stored run."""

import csv
import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from small_runs import bad_input_line, read, rows, tree_of

from pathb_jax.cli.plot import main
from pathb_jax.report.curves_figure import draw_curves
from pathb_jax.report.style import COLOURS
from pathb_jax.store.own_files import is_own_picture
from pathb_jax.studies.curves import read_curves

ROWS = 40
STEPS = [64 * (row + 1) for row in range(ROWS)]


@pytest.fixture
def write(repository, tmp_path):
    """Return what writes a run's folder: settings, reward by row, successes by evaluation."""

    def write_run(name, reward, success=(0.0, 0.25), status="completed", **settings):
        folder = tmp_path / "runs" / name
        for part in ("manifests", "logs"):
            shutil.copytree(repository / "tests/stored/run" / part, folder / part)
        (path,) = (folder / "manifests").glob("*.json")
        manifest = read(path) | {"status": status}
        for setting, value in settings.items():
            group = next((g for g in manifest["config"].values() if setting in g), {})
            group[setting] = value
            if value == "missing":
                del group[setting]
        path.write_text(json.dumps(manifest))
        (history,) = (folder / "logs").glob("*_history.csv")
        first = rows(history)[0]
        columns = [
            first | {"update": row + 1, "env_steps": STEPS[row], "mean_reward": value}
            for row, value in enumerate(reward)
        ]
        write_rows(history, columns, first)
        (evaluations,) = (folder / "logs").glob("*_evaluations.csv")
        first = rows(evaluations)[0]
        columns = [
            first | {"update": 20 * k, "env_steps": 20 * 64 * k, "success_rate": rate} | other
            for k, rate in enumerate(success, start=1)
            for other in ({}, {"seed_start": 20000, "success_rate": 1.0})
        ]
        write_rows(evaluations, columns, first)
        return folder

    def write_rows(path, columns, like):
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, like)
            writer.writeheader()
            writer.writerows(columns)

    return write_run


def flat(value, count=ROWS):
    return [value] * count


def test_seeds_are_one_curve_and_its_band_says_how_many_there_are(write, tmp_path):
    for seed, level in enumerate([1.0, 2.0, 4.0, 8.0, 16.0]):
        write(f"a{seed}", flat(level), (0.0, level / 16), seed=seed)
    for seed, level in enumerate([3.0, 5.0, 13.0]):
        write(f"b{seed}", flat(level), seed=seed, lr=0.001)
    write("c", flat(7.0), lr=0.01)
    curves = read_curves([tmp_path / "runs"], ["reward", "success"])
    five, three, one = (curve.figures["reward"] for curve in curves)
    assert [curve.label for curve in curves] == ["lr 0.0003", "lr 0.001", "lr 0.01"]
    assert [curve.band for curve in curves] == ["interquartile", "min-max", "none"]
    assert five.env_steps == STEPS
    assert five.runs == flat(5)
    assert (five.low[0], five.median[0], five.high[0]) == pytest.approx((2.0, 4.0, 8.0))
    assert (three.low[0], three.median[0], three.high[0]) == pytest.approx((3.0, 5.0, 13.0))
    assert (one.low[0], one.median[0], one.high[0]) == pytest.approx((7.0, 7.0, 7.0))
    success = curves[0].figures["success"]  # on the run's own set
    assert success.env_steps == [1280, 2560]
    assert success.median == pytest.approx([0.0, 0.25])
    assert [run.seed for run in curves[0].runs] == [0, 1, 2, 3, 4]


def test_a_run_that_still_trains_counts_as_far_as_it_got(write, tmp_path):
    write("a", flat(1.0), seed=0)
    write("b", flat(3.0, 10), (), status="running", seed=1)
    (curve,) = read_curves([tmp_path / "runs"], ["reward", "success"])
    band = curve.figures["reward"]
    assert band.runs == flat(2, 10) + flat(1, 30)
    assert band.median == pytest.approx(flat(2.0, 10) + flat(1.0, 30))
    assert [(run.status, run.env_steps) for run in curve.runs] == [
        ("completed", 2560),
        ("running", 640),
    ]


def test_figures_of_the_history_are_running_means_of_what_is_finite(write, tmp_path):
    values = np.random.default_rng(0).normal(size=ROWS)
    broken = values.copy()
    broken[30:] = np.nan
    write("a", values)
    write("b", broken, lr=1.0)
    whole, part = (c.figures["reward"] for c in read_curves([tmp_path / "runs"], ["reward"]))
    means = np.convolve(values, np.full(5, 0.2), mode="valid")
    assert whole.median[2:-2] == pytest.approx(means)
    assert part.env_steps == STEPS[:30]
    assert part.median[2:-2] == pytest.approx(means[:26])


def test_no_more_points_than_can_be_seen(write):
    folder = write("a", flat(1.0))
    (history,) = (folder / "logs").glob("*_history.csv")
    lines = history.read_text().splitlines()
    cells = lines[1].split(",", 2)[2]
    many = [f"{row},{64 * row},{cells}" for row in range(1, 1001)]
    history.write_text("\n".join([lines[0], *many]) + "\n")
    (curve,) = read_curves([folder], ["entropy"])
    steps = curve.figures["entropy"].env_steps
    assert (len(steps), steps[0], steps[-1]) == (100, 64, 64000)


def test_labels_say_what_differs_from_the_defaults(write, tmp_path):
    write("a", flat(1.0))
    write("b", flat(1.0), lr=0.001)
    write("c", flat(1.0), clip_range=0.1, mixed_lambda=0.95)
    write("d", flat(1.0), load_checkpoint="/somewhere/parent")
    write("e", flat(1.0), seed=1, critic_lr="missing")  # as an earlier program wrote it
    curves = read_curves([tmp_path / "runs"], ["reward"])
    assert {curve.label: len(curve.runs) for curve in curves} == {
        "defaults": 2,
        "lr 0.001": 1,
        "clip_range 0.1, mixed_lambda 0.95": 1,
        "load_checkpoint parent": 1,
    }


def test_a_second_run_of_a_seed_is_another_curve(write, tmp_path):
    folders = [write(name, flat(level)) for name, level in (("a", 1.0), ("b", 2.0))]
    again = tmp_path / "runs" / ".." / "runs" / "a"
    curves = read_curves([*folders, again], ["reward"])
    assert [curve.figures["reward"].median[0] for curve in curves] == pytest.approx([1.0, 2.0])
    label = "mixed_ppo_phase3_lambda_0_9, Small"
    assert [curve.label for curve in curves] == [f"{label} ({folder})" for folder in folders]


def test_a_curve_has_one_colour_in_all_panels(write, tmp_path):
    for lr in (0.1, 0.2):
        write(f"{lr}", flat(-1.0), lr=lr)
    names = ["reward", "success", "value_loss"]
    svg = draw_curves(read_curves([tmp_path / "runs"], names), names, "svg")
    spaced = "{http://www.w3.org/2000/svg}g"
    panels = [g for g in ElementTree.fromstring(svg).iter(spaced) if "axes_" in g.get("id", "")]
    assert len(panels) == 3
    for panel in panels:
        text = ElementTree.tostring(panel).decode().lower()
        assert [f"stroke: {colour.lower()}" in text for colour in COLOURS[:3]] == [
            True,
            True,
            False,
        ]


def test_the_command(write, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    write("a", flat(1.0))
    write("b", flat(3.0), seed=1)
    before = tree_of(tmp_path / "runs")
    numbers = tmp_path / "numbers.json"
    words = [str(tmp_path / "runs"), "--figures", "reward", "success", "--json", str(numbers)]
    for ending in ("png", "svg", "pdf", "pdf"):
        out = tmp_path / f"curves.{ending}"
        assert main([*words, "--out", str(out)]) == 0
        assert is_own_picture(out.read_bytes())
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert any(line.split()[-3:] == ["0.00", "2.000", "0.250"] for line in printed)
    (curve,) = read(numbers)["curves"]
    assert curve["figures"]["reward"]["high"] == pytest.approx(flat(3.0))
    assert [run["folder"] for run in curve["runs"]] == [
        str(tmp_path / "runs" / name) for name in "ab"
    ]
    assert tree_of(tmp_path / "runs") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.png"], "DIR...: '(missing)'"),
        (["runs"], "--out"),
        (["runs", "--out", "x.jpg"], "--out: 'x.jpg' is not allowed; give the path of a .png"),
        (["runs", "--out", "mine.pdf"], "--out: 'mine.pdf'"),
        (["runs", "--out", "x.png", "--figures", "sucess"], "sucess"),
        (["runs", "--out", "x.png", "--figures"], "--figures"),
        (["runs", "--out", "x.png", "--json", "x.png"], "--json"),
        (["runs", "--out", "x.png", "--json", "runs/x.json"], "--json"),
        (["none", "--out", "x.png"], "DIR...: 'none'"),
        (["empty", "--out", "x.png"], "no ladder and no run"),
        (["begun", "--out", "x.png"], "no run there has a figure yet"),
        (["broken", "--out", "x.png"], "history.csv, line 2: value_loss"),
    ],
)
def test_bad_input(words, told, write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = write("a", flat(1.0))
    begun = shutil.copytree(folder, tmp_path / "begun")
    shutil.rmtree(begun / "logs")
    broken = shutil.copytree(folder, tmp_path / "broken")
    (history,) = (broken / "logs").glob("*_history.csv")
    lines = rows(history)
    history.write_text(
        history.read_text().replace(lines[0]["value_loss"], "much", 1), encoding="utf-8"
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.pdf").write_bytes(b"%PDF-1.4 of my own")
    assert told in bad_input_line(main, words, capsys, tmp_path)


def test_more_curves_than_can_be_told_apart(write, tmp_path, capsys):
    for lr in range(1, 30):
        write(f"{lr}", flat(1.0, 2), lr=float(lr))
    words = [str(tmp_path / "runs"), "--out", str(tmp_path / "x.png")]
    assert "29 curves" in bad_input_line(main, words, capsys, tmp_path)
