import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_rows import envelope_run

from pathb_jax.cli import envelope as command
from pathb_jax.config import VARIANTS, Hparams, OutputConfig
from pathb_jax.studies.envelope import (
    Study,
    basin_preference,
    envelope,
    missing_runs,
    run_config,
    settings,
)
from pathb_jax.studies.envelope_table import EnvelopeRun, envelope_table

STUDY = Study("Small", 2, 4, Hparams())
LAMBDAS = ("0.0", "0.9")


def finished(mixed_lambda: float, seed: int, alignment: float = 0.95, **changes) -> EnvelopeRun:
    return envelope_run(
        **{
            "settings": settings(STUDY),
            "mixed_lambda": mixed_lambda,
            "training_seed": seed,
            "mean_terminal_alignment": alignment,
            "commit": "0123abc",
            **changes,
        }
    )


def diverged(mixed_lambda: float, seed: int) -> EnvelopeRun:
    names = ("successes", "mean_terminal_alignment", "mean_steps", "mean_basin_distance")
    nothing = dict.fromkeys((*names, "basin_preference"))
    return finished(mixed_lambda, seed, diverged=1, **nothing)


def words(folder: Path, *more: str) -> list[str]:
    """The command's words for a study of two updates in `folder`."""
    return [
        *("--lambdas", *LAMBDAS, "--train-seeds", "2", "--updates", "2", "--eval-seeds", "4"),
        *("--table", str(folder / "envelope.csv"), "--out", str(folder / "runs")),
        *("--no-progress", *more),
    ]


def table_of(folder: Path, *runs: EnvelopeRun):
    """The table of the study in `folder`, with these runs added."""
    table = envelope_table(folder / "envelope.csv")
    for run in runs:
        table.add(run)
    return table


@pytest.fixture
def trained(monkeypatch):
    """Replace training; returns what was asked for, as (lambda, seed)."""
    from pathb_jax.runs import side_by_side
    from pathb_jax.studies import envelope as study
    from pathb_jax.system import backend

    asked = []

    def train_all(configs, observer, parallel_runs, cluster=None):
        for position in reversed(range(len(configs))):  # in another order than asked for
            asked.append(configs[position].output.run_label)
            yield SimpleNamespace(position=position, outcome=None)

    monkeypatch.setattr(backend, "select_backend", lambda *_, **__: None)
    monkeypatch.setattr(side_by_side, "train_all", train_all)
    monkeypatch.setattr("pathb_jax.runs.outcome.check_trained_here", lambda *_: None)
    monkeypatch.setattr(
        study, "finished_run", lambda study, mixed_lambda, seed, _: finished(mixed_lambda, seed)
    )
    return asked


# Runs


def test_lambda_chooses_the_variant(tmp_path):
    output = OutputConfig(out=tmp_path)
    modes = {}
    for mixed_lambda in (0.0, 0.3, 0.97, 1.0):
        config = run_config(STUDY, mixed_lambda, 0, output)
        modes[mixed_lambda] = VARIANTS[config.task.variant].mode
        assert config.hparams.mixed_lambda == mixed_lambda
    assert list(modes.values()) == ["signature", "mixed_phase3", "mixed_phase3", "phase3"]


def test_runs_differ_in_nothing_but_lambda_seed_and_folder(tmp_path):
    study = Study("Medium", 10, 32, Hparams(value_coef=0.25))
    output = OutputConfig(out=tmp_path)
    configs = [run_config(study, at, seed, output) for at in (0.95, 0.97) for seed in (0, 1)]
    assert len({config.output.out for config in configs}) == 4
    assert {config.output.out.parent for config in configs} == {tmp_path}
    assert {dataclasses.replace(c.hparams, mixed_lambda=None) for c in configs} == {study.hparams}
    assert {config.train for config in configs} == {configs[0].train}
    assert [config.schedule.seed for config in configs] == [0, 1, 0, 1]


def test_every_lambda_gets_its_first_seed_first_and_no_run_is_repeated():
    done = [finished(0.5, 0), finished(0.0, 1), finished(0.7, 5)]
    left = list(missing_runs([0.0, 0.5], 2, done))
    assert left == [(0.0, 0), (0.5, 1)]
    assert [seed for _, seed in missing_runs([0.0, 0.5], 2, [])] == [0, 0, 1, 1]


def test_basin_preference_is_the_batterys():
    x, y = np.array([-2.5, 2.5, 0.0]), np.array([-2.5, 2.5, 0.0])
    distance = np.hypot(x + 2.5, y + 2.5)
    far = math.hypot(5, 5)
    np.testing.assert_allclose(basin_preference(x, y, distance), [far, -far, 0.0])


def test_the_command_that_trains_it_again_is_told():
    found = envelope([finished(0.9, 3), finished(0.0, 0)])
    assert found.command == (
        "python scripts/envelope.py --tier Small --updates 2 --eval-seeds 4 --lambdas 0.0 0.9 "
        "--train-seeds 4"
    )
    flags = command.command.parse(command.EnvelopeFlags, found.command.split()[2:], "")
    assert (flags.lambdas, flags.updates, flags.train_seeds) == ((0.0, 0.9), 2, 4)


# The command


def test_every_run_is_written_as_it_ends_and_none_is_repeated(tmp_path, trained, capsys):
    table = table_of(tmp_path, finished(0.9, 0))
    assert command.main(words(tmp_path)) == 0
    seconds = ["small_lambda_0_9_seed_1", "small_lambda_0_0_seed_1"]
    assert trained == [*seconds, "small_lambda_0_0_seed_0"]
    assert [(row.mixed_lambda, row.training_seed) for row in table.read()] == [
        *((0.0, 0), (0.0, 1)),
        *((0.9, 0), (0.9, 1)),
    ]
    trained.clear()
    assert command.main(words(tmp_path)) == 0
    assert trained == []
    assert "nothing to train" in capsys.readouterr().err


def test_what_is_finished_before_a_stop_is_kept(tmp_path, trained, monkeypatch):
    from pathb_jax.runs import side_by_side
    from pathb_jax.system.signals import StopRequested

    def train_all(configs, observer, parallel_runs, cluster=None):
        yield SimpleNamespace(position=1, outcome=None)
        raise StopRequested(15)

    whole = side_by_side.train_all
    monkeypatch.setattr(side_by_side, "train_all", train_all)
    assert command.main(words(tmp_path)) == 143
    (row,) = table_of(tmp_path).read()
    assert (row.mixed_lambda, row.training_seed) == (0.9, 0)
    monkeypatch.setattr(side_by_side, "train_all", whole)
    assert command.main(words(tmp_path)) == 0
    assert len(trained) == 3


def test_other_settings_need_another_table(tmp_path, trained, capsys):
    assert command.main(words(tmp_path)) == 0
    before = (tmp_path / "envelope.csv").read_bytes()
    capsys.readouterr()
    assert command.main(words(tmp_path, "--value-coef", "0.25")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --table: ")
    assert error.count("\n") == 1
    assert "choose another --out or --table" in error
    assert (tmp_path / "envelope.csv").read_bytes() == before


def test_page_is_written_from_the_data_and_keeps_remarks(tmp_path, capsys):
    levels = {0.0: 0.0, 0.5: 0.25, 0.9: 4.0, 1.0: 5.5}
    runs = [
        finished(mixed_lambda, seed, basin_preference=level + seed / 1000)
        for mixed_lambda, level in levels.items()
        for seed in range(3)
    ]
    runs[2] = diverged(0.0, 2)
    assert table_of(tmp_path, *runs).read() == runs
    doc = tmp_path / "ENVELOPE.md"
    assert command.main(words(tmp_path, "--page-only")) == 0
    doc.write_text(doc.read_text() + "\nBecause of the basin.\n")
    assert command.main(words(tmp_path, "--page-only")) == 0
    text, printed = doc.read_text(), capsys.readouterr().out
    assert text.count("Because of the basin.") == 1
    assert "| 0 | 3 (1 diverged) | 0.750 [0.750, 0.750] |" in text
    assert "| 0.9 | Small | 1 M | 0.031 |" in text
    for told in (text, printed):
        assert "alignment below 0.90, for whatever reason: nowhere that can be told" in told
        assert "breach: from lambda 0.579" in told
        assert "shape: single cliff (between lambda 0.5 and 0.9)" in told
        assert "Going up in lambda. Trough with recovery" in told
    assert (tmp_path / "figures/envelope.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "runs").exists()
    assert command.main(words(tmp_path, "--page-only", "--json", "-")) == 0
    result = json.loads(capsys.readouterr().out)
    assert [point["mixed_lambda"] for point in result["points"]] == [*levels]
    assert result["points"][0]["diverged"] == 1
    assert result["statements"][0] in printed


def told_of(folder: Path, capsys, *runs: EnvelopeRun) -> str:
    """What the command prints of these runs."""
    folder.mkdir()
    table_of(folder, *runs)
    assert command.main(words(folder, "--page-only")) == 0
    return capsys.readouterr().out


def test_one_run_tells_no_shape(tmp_path, capsys):
    for preference in (0.25, 5.5):
        run = finished(0.9, 0, basin_preference=preference)
        told = told_of(tmp_path / str(preference), capsys, run)
        assert "breach: cannot be told, as a lambda has one training seed" in told
        assert "shape: cannot be told: it is open whether lambda 0.9 is lured" in told


def test_runs_that_all_diverged_tell_no_shape(tmp_path, capsys):
    told = told_of(tmp_path / "lost", capsys, diverged(0.3, 0), diverged(0.9, 0))
    assert "every run diverged at lambda 0.3, 0.9" in told
    assert "shape: cannot be told: it is open whether lambda 0.3, 0.9 is lured" in told


def both(fail: dict) -> list[EnvelopeRun]:
    return [finished(at, seed, 0.3 - seed / 100, **fail) for at in (0.5, 0.9) for seed in range(4)]


def test_two_lambdas_that_both_fail_are_no_cliff(tmp_path, capsys):
    lured = told_of(tmp_path / "lured", capsys, *both({"basin_preference": 5.5}))
    assert "shape: cannot be told: lambda 0.5, the lowest, is lured already" in lured
    assert "breach: cannot be told where, as lambda 0.5, the lowest, is lured already" in lured
    assert "95 % interval: below 0.5" in lured
    lost = told_of(tmp_path / "lost", capsys, *both({"basin_preference": -0.5}))
    assert "alignment below 0.90, for whatever reason: at lambda 0.5, 0.9" in lost
    assert "breach: nowhere" in lost
    assert "shape: no breach" in lost
    for told in (lured, lost):
        assert "single cliff" not in told.partition("lured: ")[0]
        assert "0.5000 to 0.5000" not in told


def test_where_nothing_lures_there_is_no_breach(tmp_path, capsys):
    runs = [finished(0.0, seed, basin_preference=3.0) for seed in range(4)]
    runs += [finished(0.9, seed) for seed in range(4)]
    told = told_of(tmp_path / "low", capsys, *runs)
    assert "shape: cannot be told: policies go for the basin at lambda 0 already" in told
    assert "from lambda 0" not in told


@pytest.mark.parametrize(
    ("flags", "blamed"),
    [
        (["--lambdas"], "--lambdas"),
        (["--lambdas", "0.5", "1.01"], "--lambdas"),
        (["--lambdas", "-0.1"], "--lambdas"),
        (["--lambdas", "nan"], "--lambdas"),
        (["--lambdas", "0.5", "0.50"], "--lambdas"),
        (["--lambdas", "0.0", "-0.0"], "--lambdas"),
        (["--lambdas", "much"], "much"),
        (["--train-seeds", "0"], "--train-seeds"),
        (["--updates", "0"], "--updates"),
        (["--eval-seeds", "0"], "--eval-seeds"),
        (["--parallel-runs", "0"], "--parallel-runs"),
        (["--parallel-runs", "many"], "many"),
        (["--lr", "-1"], "--lr"),
        (["--value-coef", "nan"], "--value-coef"),
        (["--mixed-lambda", "0.5"], "--lambdas"),
        (["--doc", "."], "--doc"),
        (["--doc", "envelope.csv"], "--doc"),
        (["--table", "."], "--table"),
        (["--table", "ENVELOPE.md"], "--table"),
        (["--page-only"], "--page-only"),
    ],
)
def test_bad_input_is_one_line_and_2(flags, blamed, tmp_path, trained, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert blamed in error
    assert trained == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",150.0,", ",soon,"),
        (",150.0,", ",inf,"),
        (",150.0,", ",,"),
        (",3,4,", ",1000,4,"),
        (",3,4,", ",3,0,"),
        (",0.95,", ",1.5,"),
        ("--tier Small", "--tier Large"),
        ("training_seed,", "seed,"),
        (",cpu\n", ",c"),
    ],
)
def test_a_table_that_is_none_is_refused(old, new, tmp_path, trained, capsys):
    table = table_of(tmp_path, finished(0.9, 0), finished(0.9, 1))
    table.path.write_text(new.join(table.path.read_text().rsplit(old, 1)))
    before = table.path.read_bytes()
    for more in ([], ["--page-only"]):
        assert command.main(words(tmp_path, *more)) == 2
        error = capsys.readouterr().err
        assert str(table.path) in error
        assert error.count("\n") == 1
    assert trained == []
    assert table.path.read_bytes() == before


def test_what_is_shipped_is_no_run_of_ones_own(repository, tmp_path, trained, monkeypatch):
    """The README's command in a fresh clone trains, whatever docs/ holds."""
    assert len(envelope_table(repository / "docs/envelope.csv").read()) == 40
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(repository / "docs")
    before = (repository / "docs/envelope.csv").stat()
    assert command.main(["--lambdas", "0.0", "0.9", "--train-seeds", "1", "--no-progress"]) == 0
    assert len(trained) == 2
    assert len(envelope_table(tmp_path / "results/envelope/envelope.csv").read()) == 2
    assert (tmp_path / "results/envelope/ENVELOPE.md").exists()
    assert (repository / "docs/envelope.csv").stat() == before


def test_the_rows_of_a_second_command_are_kept(tmp_path, trained, monkeypatch):
    """One command starts, trains and ends while another is between two of its runs."""
    from pathb_jax.runs import side_by_side

    def train_all(configs, observer, parallel_runs, cluster=None):
        for position in range(len(configs)):
            yield SimpleNamespace(position=position, outcome=None)
            if position == 0:
                monkeypatch.setattr(side_by_side, "train_all", alone)
                other = words(tmp_path, "--lambdas", "0.3", "--train-seeds", "2")
                assert command.main(other) == 0

    alone = side_by_side.train_all
    monkeypatch.setattr(side_by_side, "train_all", train_all)
    assert command.main(words(tmp_path)) == 0
    rows = [(row.mixed_lambda, row.training_seed) for row in table_of(tmp_path).read()]
    assert rows == [(at, seed) for at in (0.0, 0.3, 0.9) for seed in (0, 1)]
    assert "| 0.3 | 2 |" in (tmp_path / "ENVELOPE.md").read_text()


def test_help_does_not_wait_for_jax():
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from pathb_jax.cli.envelope import main\n"
        "try: main()\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(done.stderr.split()) & {"jax", "gymnax", "orbax", "matplotlib", "scipy"}
    for flag in ("--lambdas", "--train-seeds", "--value-coef", "--entropy-coef", "--clip-range"):
        assert flag in done.stdout


@pytest.mark.slow
def test_a_real_study(tmp_path, repository):
    script = [sys.executable, str(repository / "scripts/envelope.py")]
    wanted = [*script, *words(tmp_path, "--train-seeds", "1", "--backend", "cpu")]
    done = subprocess.run(wanted, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = table_of(tmp_path).read()
    assert [row.mixed_lambda for row in rows] == [0.0, 0.9]
    for row in rows:
        assert row.env_steps == 2 * 8192
        assert 0 <= row.mean_terminal_alignment <= 1
        assert abs(row.basin_preference) <= math.hypot(5, 5) + 1e-6
        (manifest,) = (tmp_path / "runs").glob(
            f"small_lambda_{str(row.mixed_lambda).replace('.', '_')}_seed_0/manifests/*.json"
        )
        assert json.loads(manifest.read_text())["env_config"]["mixed_lambda"] == row.mixed_lambda
    assert rows[0].mean_basin_distance != rows[1].mean_basin_distance
    # A run that was finished but not yet in the data file is read, not trained again.
    (tmp_path / "envelope.csv").unlink()
    assert subprocess.run(wanted, capture_output=True).returncode == 0
    assert table_of(tmp_path).read() == rows
