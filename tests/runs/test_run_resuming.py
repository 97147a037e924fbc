"""A run that was stopped and started again leaves the same files as one that was not."""

import pytest
from small_runs import (
    BATCH_SIZE,
    Watcher,
    assert_same_bits,
    lasting_history,
    read,
    small_config,
    stored_state,
    tree_of,
)

from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.runs import run
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store import artifacts
from pathb_jax.store.checkpoint_store import CheckpointStore

TIMES = {"train_seconds", "compile_seconds"}


def stop_after(*updates):
    """Return an observer that interrupts the run after each of these updates, once."""
    pending = list(updates)

    def stop(progress):
        if pending and progress.update == pending[0]:
            pending.pop(0)
            raise KeyboardInterrupt

    return Watcher(stop)


def interrupt(config, watcher):
    with pytest.raises(KeyboardInterrupt):
        train(config, watcher)


def assert_same_files(finished, outcome):
    """Everything but wall-clock times and the folder's own name."""
    theirs, ours = finished.files, outcome.files
    assert lasting_history(ours.history) == lasting_history(theirs.history)
    first, second = tree_of(theirs.out), tree_of(ours.out)
    for folder in ("logs/", "policies/", "manifests/"):
        names = {name for name in first if name.startswith(folder)}
        assert names == {name for name in second if name.startswith(folder)}
    for name in first:
        if name.startswith(("logs/", "policies/")) and not name.endswith("_history.csv"):
            assert first[name] == second[name], name
    manifests = [read(files.manifest) for files in (theirs, ours)]
    for manifest in manifests:
        for name in TIMES:
            assert manifest.pop(name) >= 0
        del manifest["config"]["output"]["out"]
        assert manifest.pop("started") <= manifest.pop("ended")
        assert manifest.pop("evidence")  # of the history's wall-clock columns too
    assert manifests[0] == manifests[1]


@pytest.fixture(autouse=True)
def _one_update_at_a_time(one_update_per_chunk):
    pass


@pytest.mark.parametrize(
    ("stops", "resumed_after"),
    [
        ((1,), None),  # before the first checkpoint: it begins again
        ((3,), 3),  # right at a checkpoint
        ((4,), 3),  # rows after the checkpoint are written again
        ((1, 4, 5), 3),
        ((6,), 6),  # everything is trained, nothing is written yet
    ],
)
def test_a_stopped_run_goes_on_bit_by_bit(finished, tmp_path, stops, resumed_after):
    config, watcher = small_config(tmp_path / "run"), stop_after(*stops)
    for _ in stops:
        interrupt(config, watcher)
    watcher.notices.clear()
    outcome = train(config, watcher)
    assert outcome.trained
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert_same_files(finished, outcome)
    if resumed_after is None:
        assert watcher.notices == []
    else:
        assert watcher.notices == [f"{outcome.files.slug}: resuming after update {resumed_after}"]


def test_further_evaluations_come_once_whatever_stops(finished, tmp_path):
    config, watcher = small_config(tmp_path / "run", eval_at=(2, 5)), stop_after(2, 3, 5)
    for _ in range(3):
        interrupt(config, watcher)
    outcome = train(config, watcher)
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert outcome.evaluations["update"].tolist() == [u for u in (2, 3, 5, 6) for _ in range(3)]


@pytest.mark.parametrize("update", [3, 6])
def test_a_stop_between_evaluation_and_checkpoint(finished, tmp_path, monkeypatch, update):
    config = small_config(tmp_path / "run")
    save = CheckpointStore.save

    def stop(store, at, *rest, **more):
        if at == update:
            raise KeyboardInterrupt
        save(store, at, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "save", stop)
        interrupt(config, Watcher())
    files = run_files(config)
    assert artifacts.read_evaluations(files.evaluations)["update"][-1] == update
    outcome = train(config)
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert_same_files(finished, outcome)


@pytest.mark.parametrize("name", ["write_set", "write_policy"])
def test_a_stop_while_the_last_files_are_written(finished, tmp_path, monkeypatch, name):
    config = small_config(tmp_path / "run")

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, name, stop)
        interrupt(config, Watcher())
    watcher = Watcher()
    outcome = train(config, watcher)
    assert watcher.chunks == []  # nothing was trained again
    assert_same_files(finished, outcome)


def test_checkpoints_between_evaluations_are_resumed_from_too(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", -1.0)
    config, watcher = small_config(tmp_path / "run"), stop_after(5)
    interrupt(config, watcher)
    watcher.notices.clear()
    outcome = train(config, watcher)
    assert watcher.notices == [f"{outcome.files.slug}: resuming after update 5"]
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert_same_files(finished, outcome)


def test_a_stopped_run_says_that_it_runs(tmp_path):
    config = small_config(tmp_path / "run")
    interrupt(config, stop_after(4))
    manifest = read(run_files(config).manifest)
    assert manifest["status"] == "running"
    assert not run_files(config).policy.exists()


def test_a_stopped_run_is_not_taken_up_with_other_settings(tmp_path):
    config = small_config(tmp_path / "run")
    interrupt(config, stop_after(4))
    before = tree_of(tmp_path)
    with pytest.raises(InputError, match=r"hparams\.value_coef: 0\.5 -> 0\.25"):
        train(small_config(tmp_path / "run", value_coef=0.25))
    assert tree_of(tmp_path) == before


def test_another_cadence_may_be_given_when_resuming(finished, tmp_path):
    interrupt(small_config(tmp_path / "run"), stop_after(4))
    config = small_config(tmp_path / "run", eval_every=1)
    train(config)
    assert_same_bits(stored_state(finished.config), stored_state(config))


def test_a_damaged_last_checkpoint_is_set_aside_and_said(finished, tmp_path):
    config = small_config(tmp_path / "run", eval_every=1)
    interrupt(config, stop_after(4))
    state = run_files(config).checkpoints / "4" / "state.json"
    state.write_text(state.read_text().replace("update", "updaet", 1))
    watcher = Watcher()
    outcome = train(config, watcher)
    assert "update 4 is damaged" in watcher.notices[0]
    assert watcher.notices[1].endswith("resuming after update 3")
    assert_same_bits(stored_state(finished.config), stored_state(config))
    assert lasting_history(finished.files.history) == lasting_history(outcome.files.history)


def test_when_no_checkpoint_is_whole_nothing_starts_over_in_silence(tmp_path):
    config = small_config(tmp_path / "run")
    interrupt(config, stop_after(4))
    (run_files(config).checkpoints / "3" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no good checkpoint is left"):
        train(config)


def test_a_continued_run_resumes_within_its_own_updates(finished, tmp_path):
    flags = {"load_checkpoint": finished.files.out, "updates": 4, "eval_every": 2}
    whole = small_config(tmp_path / "whole", **flags)
    train(whole)
    config, watcher = small_config(tmp_path / "stopped", **flags), stop_after(3)
    interrupt(config, watcher)
    outcome = train(config, watcher)
    assert watcher.notices == [f"{outcome.files.slug}: resuming after update 8"]
    assert outcome.history["update"].tolist() == [7, 8, 9, 10]
    assert outcome.env_steps == 10 * BATCH_SIZE
    assert_same_bits(stored_state(whole), stored_state(config))
