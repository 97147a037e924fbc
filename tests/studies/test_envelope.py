import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pathb_jax.cli import envelope as command
from pathb_jax.config import VARIANTS, Hparams, OutputConfig
from pathb_jax.errors import InputError
from pathb_jax.studies.envelope import (
    EnvelopeRun,
    Study,
    basin_preference,
    envelope,
    missing_runs,
    run_config,
    settings,
)

STUDY = Study("Small", 2, 4, Hparams())
LAMBDAS = ("0.0", "0.9")


def finished(mixed_lambda: float, seed: int, alignment: float = 0.95, **changes) -> EnvelopeRun:
    run = EnvelopeRun(
        settings=settings(STUDY),
        mixed_lambda=mixed_lambda,
        training_seed=seed,
        diverged=0,
        successes=3.0,
        seeds=4,
        mean_terminal_alignment=alignment,
        mean_steps=150.0,
        mean_basin_distance=3.5,
        basin_preference=0.25,
        env_steps=16384,
        env_steps_per_second=1e5,
        commit="0123abc",
        jax="0.10.2",
        device_kind="cpu",
    )
    return run._replace(**changes)


def diverged(mixed_lambda: float, seed: int) -> EnvelopeRun:
    names = ("successes", "mean_terminal_alignment", "mean_steps", "mean_basin_distance")
    nothing = dict.fromkeys((*names, "basin_preference"), math.nan)
    return finished(mixed_lambda, seed, diverged=1, **nothing)


def words(folder: Path, *more: str) -> list[str]:
    """The command's words for a study of two updates in `folder`."""
    return [
        *("--lambdas", *LAMBDAS, "--train-seeds", "2", "--updates", "2", "--eval-seeds", "4"),
        *("--doc", str(folder / "ENVELOPE.md"), "--out", str(folder / "runs"), "--no-progress"),
        *more,
    ]


@pytest.fixture
def trained(monkeypatch):
    """Replace training; returns what was asked for, as (lambda, seed)."""
    from pathb_jax import backend, placement
    from pathb_jax.studies import envelope as study

    asked = []

    def train_all(configs, observer, parallel_runs, cluster=None):
        for position in reversed(range(len(configs))):  # in another order than asked for
            asked.append(configs[position].output.run_label)
            yield SimpleNamespace(position=position, outcome=None)

    monkeypatch.setattr(backend, "select_backend", lambda *_, **__: None)
    monkeypatch.setattr(placement, "train_all", train_all)
    monkeypatch.setattr("pathb_jax.outcome.check_trained_here", lambda *_: None)
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
    assert {config.hparams._replace(mixed_lambda=None) for config in configs} == {study.hparams}
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
    data = tmp_path / "envelope.csv"
    command._write(data, [finished(0.9, 0)])
    assert command.main(words(tmp_path)) == 0
    seconds = ["small_lambda_0_9_seed_1", "small_lambda_0_0_seed_1"]
    assert trained == [*seconds, "small_lambda_0_0_seed_0"]
    rows = command._read(data)
    assert [(row.mixed_lambda, row.training_seed) for row in rows] == [
        *((0.0, 0), (0.0, 1)),
        *((0.9, 0), (0.9, 1)),
    ]
    trained.clear()
    assert command.main(words(tmp_path)) == 0
    assert trained == []
    assert "nothing to train" in capsys.readouterr().out


def test_what_is_finished_before_a_stop_is_kept(tmp_path, trained, monkeypatch):
    from pathb_jax import placement
    from pathb_jax.signals import StopRequested

    def train_all(configs, observer, parallel_runs, cluster=None):
        yield SimpleNamespace(position=1, outcome=None)
        raise StopRequested(15)

    whole = placement.train_all
    monkeypatch.setattr(placement, "train_all", train_all)
    assert command.main(words(tmp_path)) == 143
    (row,) = command._read(tmp_path / "envelope.csv")
    assert (row.mixed_lambda, row.training_seed) == (0.9, 0)
    monkeypatch.setattr(placement, "train_all", whole)
    assert command.main(words(tmp_path)) == 0
    assert len(trained) == 3


def test_other_settings_need_another_page(tmp_path, trained, capsys):
    assert command.main(words(tmp_path)) == 0
    before = (tmp_path / "envelope.csv").read_bytes()
    assert command.main(words(tmp_path, "--value-coef", "0.25")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --doc: ")
    assert error.count("\n") == 1
    assert "choose another --doc" in error
    assert (tmp_path / "envelope.csv").read_bytes() == before


def test_page_is_written_from_the_data_and_keeps_remarks(tmp_path, capsys):
    levels = {0.0: 0.99, 0.5: 0.95, 0.9: 0.5, 1.0: 0.1}
    runs = [
        finished(mixed_lambda, seed, level + seed / 1000)
        for mixed_lambda, level in levels.items()
        for seed in range(3)
    ]
    runs[2] = diverged(0.0, 2)
    command._write(tmp_path / "envelope.csv", runs)
    assert str(command._read(tmp_path / "envelope.csv")) == str(runs)
    doc = tmp_path / "ENVELOPE.md"
    assert command.main(words(tmp_path, "--page-only")) == 0
    doc.write_text(doc.read_text() + "\nBecause of the basin.\n")
    assert command.main(words(tmp_path, "--page-only")) == 0
    text, printed = doc.read_text(), capsys.readouterr().out
    assert text.count("Because of the basin.") == 1
    assert "| 0 | 3 (1 diverged) | 0.750 [0.750, 0.750] |" in text
    assert "| 0.9 | Small | 1 M | 0.031 |" in text
    for told in (text, printed):
        assert "alignment below 0.90: from lambda 0.54" in told
        assert "basin preference 1 or more: nowhere" in told
        assert "shape: single cliff" in told
        assert "By the mean alignment over training seeds" in told
    assert (tmp_path / "figures/envelope.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "runs").exists()


def test_a_study_of_one_run_or_of_diverged_runs_has_a_page_too(tmp_path):
    for runs in ([finished(0.9, 0)], [diverged(0.3, 0), diverged(0.9, 0)]):
        command._write(tmp_path / "envelope.csv", runs)
        assert command.main(words(tmp_path, "--page-only")) == 0
    text = (tmp_path / "ENVELOPE.md").read_text()
    assert "every run diverged at lambda 0.3, 0.9" in text
    assert "shape: undecided" in text


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
    [(",150.0,", ",soon,"), ("--tier Small", "--tier Large"), ("training_seed,", "seed,")],
)
def test_a_data_file_that_is_none_is_refused(old, new, tmp_path, trained, capsys):
    data = tmp_path / "envelope.csv"
    command._write(data, [finished(0.9, 0), finished(0.9, 1)])
    data.write_text(data.read_text().replace(old, new, 1))
    assert command.main(words(tmp_path, "--page-only")) == 2
    assert str(data) in capsys.readouterr().err
    with pytest.raises(InputError):
        command._read(data)


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
    done = subprocess.run(wanted, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    rows = command._read(tmp_path / "envelope.csv")
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
    assert subprocess.run(wanted, capture_output=True, timeout=900).returncode == 0
    assert command._read(tmp_path / "envelope.csv") == rows
