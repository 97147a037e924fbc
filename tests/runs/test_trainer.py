"""A run is a function of its configuration: neither chunks nor evaluations change a bit of it."""

import itertools
import shutil
import time
import types

import pytest
from small_runs import (
    UPDATES,
    Watcher,
    assert_same_bits,
    lasting_history,
    small_config,
    stored_state,
    tree_of,
)

import pathb_jax
from pathb_jax.errors import InputError
from pathb_jax.runs import beginning, run
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store.models import to_json


def assert_same_training(finished, config, outcome):
    assert outcome.trained
    assert outcome.status == "completed"
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert lasting_history(finished.files.history) == lasting_history(outcome.files.history)


def test_every_public_name_can_be_imported():
    assert pathb_jax.__all__
    for name in pathb_jax.__all__:
        assert getattr(pathb_jax, name) is not None


def test_the_same_run_twice_gives_the_same_bits(finished, tmp_path):
    config = small_config(tmp_path / "again")
    assert_same_training(finished, config, train(config))


def test_another_training_seed_gives_another_run(finished, tmp_path):
    config = small_config(tmp_path / "seed", seed=1)
    with pytest.raises(AssertionError, match="differs"):
        assert_same_training(finished, config, train(config))


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_the_length_of_chunks_changes_nothing(finished, tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(run, "CHUNK_SECONDS", seconds)
    watcher, config = Watcher(), small_config(tmp_path / "chunks")
    outcome = train(config, watcher)
    # One update to measure, then as many as the next evaluation allows; or one at a time.
    expected = [1, 3, 6] if seconds else [1, 2, 3, 4, 5, 6]
    assert [chunk.update for chunk in watcher.chunks] == expected
    assert_same_training(finished, config, outcome)


def test_chunks_grow_to_their_measured_length(tmp_path, monkeypatch):
    ticks = itertools.count()
    clock = types.SimpleNamespace(perf_counter=lambda: float(next(ticks)), monotonic=time.monotonic)
    monkeypatch.setattr(run, "time", clock)  # each chunk seems to take a second
    monkeypatch.setattr(run, "CHUNK_SECONDS", 2.0)
    watcher = Watcher()
    train(small_config(tmp_path / "run", updates=30, eval_every=100), watcher)
    # Twice as long each time; cut where the policy is evaluated, at half the run.
    assert [chunk.update for chunk in watcher.chunks] == [1, 3, 7, 15, 30]


@pytest.mark.parametrize("eval_every", [1, 5, 1000])
def test_the_cadence_of_evaluations_changes_nothing(finished, tmp_path, eval_every):
    config = small_config(tmp_path / "cadence", eval_every=eval_every)
    outcome = train(config)
    assert_same_training(finished, config, outcome)
    evaluated = set(outcome.evaluations["update"].tolist())
    cadence = set(range(eval_every, UPDATES + 1, eval_every))
    assert evaluated == cadence | {UPDATES // 2, UPDATES}


def test_further_evaluations_where_they_are_asked_for(finished, tmp_path):
    config = small_config(tmp_path / "at", eval_every=100, eval_at=(5, 2))
    outcome = train(config)
    assert_same_training(finished, config, outcome)
    assert sorted(set(outcome.evaluations["update"].tolist())) == [2, 3, 5, 6]
    assert to_json(outcome.manifest)["config"]["evaluation"]["eval_at"] == [5, 2]
    assert not train(small_config(tmp_path / "at", eval_every=100)).trained  # neutral


def test_evaluations_are_the_same_however_often_they_are_made(finished, tmp_path):
    config = small_config(tmp_path / "often", eval_every=1)
    often, seldom = train(config).evaluations, finished.outcome.evaluations
    for update in set(seldom["update"].tolist()):
        for name, column in often.items():
            same = column[often["update"] == update] == seldom[name][seldom["update"] == update]
            assert same.all(), name


def test_a_finished_run_is_only_read(finished, monkeypatch):
    before = tree_of(finished.files.out)
    monkeypatch.setattr(beginning, "Run", None)  # whatever trains cannot even be made
    watcher = Watcher()
    outcome = train(finished.config, watcher)
    assert not outcome.trained
    assert not watcher.chunks
    assert outcome.status == "completed"
    assert outcome.summaries == finished.outcome.summaries
    assert outcome.env_steps == finished.outcome.env_steps
    assert tree_of(finished.files.out) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"lr": 1e-4}, "hparams.lr: 0.0003 -> 0.0001"),
        ({"updates": 7}, "schedule.updates: 6 -> 7"),
        ({"epochs": 1}, "train.epochs: 2 -> 1"),
        ({"mixed_lambda": 0.95}, "hparams.mixed_lambda: 0.9 -> 0.95"),
        ({"signature_shape": "terminal"}, "signature_shape: 'integrated' -> 'terminal'"),
    ],
)
def test_other_settings_under_the_same_name_are_refused(finished, flags, said):
    before = tree_of(finished.files.out)
    with pytest.raises(InputError) as caught:
        train(small_config(finished.files.out, **flags))
    message = str(caught.value)
    assert message.startswith("--out: ")
    assert said in message
    assert "\n" not in message
    assert tree_of(finished.files.out) == before


def test_settings_that_change_no_result_may_differ(finished):
    config = small_config(finished.files.out, eval_every=1, success_floor=0.5, progress=True)
    assert not train(config).trained


def test_a_run_may_be_moved(finished, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished.files.out, moved)
    assert not train(small_config(moved)).trained


def test_two_runs_share_a_folder_under_two_labels(finished, tmp_path):
    out = tmp_path / "shared"
    first, second = (small_config(out, run_label=label) for label in ("", "b"))
    train(first)
    before = tree_of(out)
    outcome = train(second)
    assert outcome.files.slug.endswith("_b")
    assert {name: tree_of(out)[name] for name in before} == before


def test_a_broken_manifest_is_bad_input(tmp_path):
    config = small_config(tmp_path / "run")
    manifest = run_files(config).manifest
    manifest.parent.mkdir(parents=True)
    for content in ("", "{", "[]", '{"status": "completed"}'):
        manifest.write_text(content)
        with pytest.raises(InputError) as caught:
            train(config)
        assert str(manifest) in str(caught.value)
