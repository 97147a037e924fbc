"""Checkpoints read while a run replaces them; folders that look like the program's and are not."""

import json
import shutil

import numpy as np
import pytest
from small_runs import small_config

from pathb_jax.cli import evaluate, reproducibility
from pathb_jax.errors import InputError
from pathb_jax.runs import evaluating
from pathb_jax.runs.loading import load_newest
from pathb_jax.runs.outcome import run_files
from pathb_jax.store import checkpoints
from pathb_jax.store.checkpoint_store import CheckpointStore
from pathb_jax.store.checkpoints import (
    ATTEMPTS,
    CheckpointError,
    read_leaves,
    read_newest,
    resolve_checkpoint,
    restore,
)
from pathb_jax.store.integrity import seal
from pathb_jax.store.step_folders import clear_interrupted, latest_good
from pathb_jax.studies import digest


def save(folder, *updates):
    with CheckpointStore(folder) as store:
        for update in updates:
            store.save(update, {"a": np.full(3, float(update))}, {"of": update}, None)


def value(step):
    return restore(step, {"a": np.zeros(3)})["a"][0]


class Trainer:
    """Saves another checkpoint, and so deletes an older one, whenever the reader is in between."""

    def __init__(self, folder, times):
        self.folder, self.times, self.update = folder, times, 2

    def __call__(self, step):
        if self.times:
            self.times -= 1
            self.update += 2
            save(self.folder, self.update - 1, self.update)
            assert not step.exists()
        return value(step)


@pytest.mark.parametrize("times", [0, 1, 5])
def test_the_newest_is_read_whatever_is_deleted_meanwhile(tmp_path, times):
    folder = tmp_path / "run" / "checkpoints" / "slug"
    save(folder, 1, 2)
    assert read_newest(tmp_path / "run", Trainer(folder, times), field="--x") == 2 + 2 * times


def test_a_reader_that_never_catches_up_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "ATTEMPTS", 3)
    save(tmp_path, 1, 2)
    with pytest.raises(InputError, match=r"--x: .*a run is writing its checkpoints faster"):
        read_newest(tmp_path, Trainer(tmp_path, ATTEMPTS), field="--x")


def test_a_checkpoint_saved_again_is_not_mixed_with_what_was_there(tmp_path):
    save(tmp_path, 1)
    read = []

    def between(step):
        read.append(value(step))
        if len(read) == 1:
            with CheckpointStore(tmp_path) as store:
                store.save(1, {"a": np.full(3, 7.0)}, {}, None)
            raise CheckpointError("half old, half new")
        return read[-1]

    assert read_newest(tmp_path, between, field="--x") == 7.0


def test_damage_is_told_at_once(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "2" / "state.json").write_text("{}")
    tried = []
    with pytest.raises(CheckpointError, match=r"state\.json"):
        read_newest(tmp_path, lambda step: tried.append(step) or value(step), field="--x")
    assert len(tried) == 1


def test_the_first_checkpoint_is_being_written(tmp_path):
    (tmp_path / "checkpoints" / "slug" / "3.saving").mkdir(parents=True)
    with pytest.raises(InputError, match="its first checkpoint is being written"):
        resolve_checkpoint(tmp_path)


@pytest.fixture
def training(finished, tmp_path, monkeypatch):
    """A run's folder in which a checkpoint vanishes after it was found, once."""
    out = tmp_path / "run"
    shutil.copytree(finished.files.out, out)
    folder = run_files(small_config(out)).checkpoints
    find, gone = checkpoints.resolve_checkpoint, []

    def resolve(path, *, field):
        found = find(path, field=field)
        if not gone:
            gone.append(found)
            found.rename(folder / "9.deleting")
            (folder / "9.deleting" / "manifest.json").unlink()
        return found

    monkeypatch.setattr(checkpoints, "resolve_checkpoint", resolve)
    yield out
    assert [path.name for path in gone] == ["6"]


def test_evaluate_beside_a_run(training, capsys):
    words = ["--checkpoint", str(training), "--eval-seeds", "2"]
    assert evaluate.main(words) == 0
    assert f"{training}" in (out := capsys.readouterr().out)
    assert "/3 on local-probe-field" in out


def test_evaluating_only_beside_a_run(training):
    config = small_config(training.parent / "out", load_checkpoint=training, eval_only=True)
    (summary,) = evaluating.evaluate_only(config)
    assert summary["checkpoint"].endswith("/3")


def test_the_digest_beside_a_run(training, finished, capsys):
    expected = digest._checkpoint_sha(finished.files.checkpoints / "3")
    assert reproducibility.main(["--digest", str(training), "--parts"]) == 0
    assert expected in capsys.readouterr().out


# What a checkpoint may declare.


def forge(step, change):
    state = json.loads((step / "state.json").read_text())
    change(state)
    (step / "state.json").write_text(json.dumps(state))
    (step / "manifest.json").unlink()
    seal(step)


def test_more_than_its_files_hold_is_not_allocated(tmp_path):
    save(tmp_path, 1)
    forge(tmp_path / "1", lambda state: state["leaves"]["a"].update(shape=[10**9]))
    for read in (read_leaves, value, checkpoints.named_arrays):
        with pytest.raises(CheckpointError, match="declares 8000000000 bytes of arrays, its files"):
            read(tmp_path / "1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["leaves"]["history"].update(shape=[10**8, 14]), "declares"),
        (lambda s: s["meta"]["columns"]["history"].pop(), "metadata lacks.*history has shape"),
        (lambda s: s["meta"]["columns"].update(evaluations="many"), "metadata lacks"),
        (lambda s: s["meta"]["config"]["train"].update(batch_envs=10**9), "batch_envs 1000000000"),
        (lambda s: s["meta"]["config"].update(output=[]), "metadata lacks"),
        (lambda s: s["meta"].update(update="6"), "metadata lacks"),
        (lambda s: s["leaves"].pop("state.obs"), "metadata lacks"),
        (
            lambda s: s["leaves"]["state.obs"].update(shape=[-4, 6]),
            r"obs\.shape\[0\]: -4",
        ),
        (lambda s: s["leaves"]["state.obs"].update(dtype="huge"), "huge"),
    ],
)
def test_a_forged_checkpoint_is_bad_input(finished, tmp_path, change, said):
    step = tmp_path / "6"
    shutil.copytree(finished.files.checkpoints / "6", step)
    forge(step, change)
    with pytest.raises(InputError, match=f"--checkpoint: .*{said}"):
        load_newest(step, None, "--checkpoint")


# What an interrupted save left, and what it did not.


def mine(folder):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("ten years")


@pytest.mark.parametrize("ending", [".saving", ".deleting", ".replaced"])
@pytest.mark.parametrize("name", ["notes", "7", "07", "7.old"])
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path, ending, name):
    save(tmp_path, 1)
    mine(tmp_path / f"{name}{ending}")
    clear_interrupted(tmp_path)
    CheckpointStore(tmp_path).close()
    assert latest_good(tmp_path).path == tmp_path / "1"
    assert (tmp_path / f"{name}{ending}" / "thesis.tex").read_text() == "ten years"


def test_a_link_is_not_followed(tmp_path):
    save(tmp_path / "run", 1)
    mine(tmp_path / "mine")
    save(tmp_path / "others", 5)
    (tmp_path / "run" / "2.saving").symlink_to(tmp_path / "mine")
    (tmp_path / "run" / "3.saving").symlink_to(tmp_path / "others" / "5")
    clear_interrupted(tmp_path / "run")
    assert (tmp_path / "mine" / "thesis.tex").exists()
    assert value(tmp_path / "others" / "5") == 5


@pytest.mark.parametrize("ending", [".saving", ".deleting"])
def test_a_folder_in_the_way_stops_the_save_and_stays(tmp_path, ending):
    save(tmp_path, 1, 2)
    update = 3 if ending == ".saving" else 1
    mine(tmp_path / f"{update}{ending}")
    with pytest.raises(CheckpointError, match="saving update 3"):
        save(tmp_path, 3)
    assert (tmp_path / f"{update}{ending}" / "thesis.tex").exists()
    assert value(latest_good(tmp_path).path) in (2, 3)


@pytest.mark.parametrize("part", ["arrays", "arrays.orbax-checkpoint-tmp", "state.json"])
def test_what_an_interrupted_save_left_is_cleared(tmp_path, part):
    save(tmp_path, 1)
    left = tmp_path / "2.saving"
    shutil.copytree(tmp_path / "1", left)
    (left / "manifest.json").rename(left / ".manifest.json.123-abcd.tmp")
    if part.startswith("arrays."):
        (left / "arrays").rename(left / part)
    elif part == "state.json":
        shutil.rmtree(left / "arrays")
    clear_interrupted(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
