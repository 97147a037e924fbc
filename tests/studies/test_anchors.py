from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from small_rows import anchor_run

from pathb_jax.cli import anchors as command
from pathb_jax.studies.anchors import (
    ANCHORS,
    AnchorRun,
    anchors_table,
    compare,
    exact_difference_of_means,
    missing_runs,
    run_config,
)


def finished(anchor: str, seed: int, successes: int) -> AnchorRun:
    return anchor_run(
        anchor=anchor,
        training_seed=seed,
        successes=successes,
        env_steps=999_424,
        env_steps_per_second=1e5,
    )


def anchor(name: str):
    return next(anchor for anchor in ANCHORS if anchor.name == name)


def test_budgets_are_those_of_the_published_rows():
    for row in ANCHORS:
        steps = row.updates * row.train.batch_size
        assert steps == pytest.approx(1e7 if "10M" in row.name else 1e6, rel=1e-3)


def test_medium_rows_have_the_hyper_parameters_they_were_published_with(tmp_path: Path):
    published = [r for r in ANCHORS if r.tier == "Medium" and r.published_run is not None]
    assert len(published) == 11
    for row in published:
        config = run_config(row, 3, tmp_path)
        train = config.train
        assert (train.batch_envs, train.rollout_length, train.minibatch_size) == (128, 256, 1024)
        assert (config.hparams.lr, config.schedule.updates) == (1e-4, 305)
        assert train.tier == "Medium"


def test_every_row_is_a_choice_of_the_command():
    assert get_args(command.AnchorName) == tuple(row.name for row in ANCHORS)


def test_only_what_is_missing_is_run():
    done = [finished("small-terminal-1M", seed, 1) for seed in (0, 2)]
    left = list(missing_runs([anchor("small-terminal-1M")], done))
    assert [seed for _, seed in left] == [1, *range(3, 16)]
    left = list(missing_runs([anchor("small-terminal-1M")], done, most_seeds=4))
    assert [seed for _, seed in left] == [1, 3]


def test_runs_of_a_row_differ_in_nothing_but_seed_and_folder(tmp_path: Path):
    row = anchor("medium-mixed-0.97-10M")
    first, second = run_config(row, 0, tmp_path), run_config(row, 1, tmp_path)
    assert first.hparams == second.hparams
    assert first.hparams.mixed_lambda == 0.97
    assert first.train == second.train
    assert {first.schedule.seed, second.schedule.seed} == {0, 1}
    assert first.output.out != second.output.out


def test_permutation_test_is_exact():
    # All 20 assignments of six numbers to two groups of three: two are as extreme as 0 against 9.
    assert exact_difference_of_means([0, 1, 2], [9, 10, 11]) == pytest.approx(2 / 20)


def test_equal_samples_agree_and_far_ones_do_not():
    row = anchor("small-mixed-0.90-1M")
    same = [finished(row.name, seed, k) for seed, k in enumerate(row.published_seeds)]
    far = [finished(row.name, seed, 60 + seed % 3) for seed in range(8)]
    assert compare(row, same).agrees is True
    assert compare(row, far).agrees is False
    interval = compare(row, far).interval
    assert interval is not None
    assert 60 <= interval[0] <= np.mean([run.successes for run in far]) <= interval[1] <= 62


def test_one_published_seed_is_held_against_the_range():
    row = anchor("medium-mixed-0.90-10M")
    around = [finished(row.name, 0, 30), finished(row.name, 1, 40)]
    above = [finished(row.name, 0, 37), finished(row.name, 1, 40)]
    assert compare(row, around).agrees is True
    assert compare(row, above).agrees is False
    assert compare(row, around).p_value is None
    assert compare(row, around[:1]).agrees is None


def test_page_is_written_from_the_data_and_keeps_remarks(tmp_path: Path, capsys):
    doc, table = tmp_path / "ANCHORS.md", anchors_table(tmp_path / "anchors.csv")
    for seed in range(5):
        table.add(finished("small-terminal-1M", seed, 20 + seed))
    arguments = ["--page-only", "--table", str(table.path), "--out", str(tmp_path / "runs")]
    assert command.main(arguments) == 0
    doc.write_text(doc.read_text() + "\nBecause of the basin.\n")
    assert command.main(arguments) == 0
    text = doc.read_text()
    assert text.count("Because of the basin.") == 1
    assert "| small-terminal-1M | 5 of 16 | 22.0 [" in text
    assert "medium-mixed-0.97-10M: not run yet" in text
    assert (tmp_path / "figures/anchors.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "runs").exists()


def test_every_row_gets_its_first_seed_first():
    rows = [anchor("medium-terminal-10M"), anchor("medium-mixed-0.90-10M")]
    assert [seed for _, seed in missing_runs(rows, [], 2)] == [0, 0, 1, 1]


def test_the_shipped_table_is_readable_and_is_nobodys_own(repository, tmp_path, monkeypatch):
    assert len(anchors_table(repository / "docs/anchors.csv").read()) >= 46
    asked = []

    def train_one(anchor, seed, out, observer, accept):
        asked.append((anchor.name, seed))
        return finished(anchor.name, seed, 3)

    monkeypatch.setattr("pathb_jax.studies.anchors.train_one", train_one)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(repository / "docs")
    words = ["--anchors", "small-terminal-1M", "--train-seeds", "2", "--no-progress"]
    assert command.main(words) == 0
    assert asked == [("small-terminal-1M", 0), ("small-terminal-1M", 1)]
    assert (
        "| small-terminal-1M | 2 of 16 |" in (tmp_path / "results/anchors/ANCHORS.md").read_text()
    )
    assert command.main(words) == 0
    assert len(asked) == 2


def test_rows_of_a_process_that_started_later_are_kept(tmp_path, monkeypatch):
    table = anchors_table(tmp_path / "anchors.csv")

    def train_one(anchor, seed, out, observer, accept):
        table.add(finished("small-mixed-0.90-1M", seed, 5))  # what the other process writes
        return finished(anchor.name, seed, 3)

    monkeypatch.setattr("pathb_jax.studies.anchors.train_one", train_one)
    words = ["--anchors", "small-terminal-1M", "--train-seeds", "2", "--no-progress"]
    assert command.main([*words, "--out", str(tmp_path)]) == 0
    assert [(run.anchor, run.training_seed) for run in table.read()] == [
        *(("small-mixed-0.90-1M", 0), ("small-mixed-0.90-1M", 1)),
        *(("small-terminal-1M", 0), ("small-terminal-1M", 1)),
    ]


def test_a_run_that_diverged_is_no_row_and_stops_nothing(tmp_path, monkeypatch, capsys):
    from pathb_jax.runs import trainer

    lost = SimpleNamespace(diverged={"update": 3, "quantity": "loss"}, summaries={}, trained=True)
    monkeypatch.setattr(trainer, "train", lambda config, observer: lost)
    words = ["--anchors", "small-terminal-1M", "--train-seeds", "2", "--out", str(tmp_path)]
    assert command.main(words) == 0
    assert not (tmp_path / "anchors.csv").exists()
    assert "small-terminal-1M, seed 1: diverged" in capsys.readouterr().err
