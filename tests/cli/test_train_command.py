"""train_ppo from words to exit code."""

import re

import pytest
from small_runs import FLAGS, UPDATES, VARIANT, command_line, small_config, tree_of

from pathb_jax.cli.train import main
from pathb_jax.runs import run, trainer
from pathb_jax.store.checkpoint_store import CheckpointStore


@pytest.fixture
def words(tmp_path):
    return command_line(**{**FLAGS, "out": tmp_path / "run"})


def test_a_run_above_its_floor_ends_with_0(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    for start in (10000, 20000, 30000):
        assert re.search(rf"seeds {start}\.\.{start + 3}: success \d/4 = \d\.\d{{3}} \[", out)
    assert "below" not in out


def test_a_run_below_its_floor_ends_with_3_after_all_is_written(finished, tmp_path, capsys):
    flags = {**FLAGS, "success_floor": 1.0, "out": tmp_path / "run"}
    assert main(command_line(**flags)) == 3
    assert "is below --success-floor 1.000" in capsys.readouterr().out
    written = {name for name in tree_of(tmp_path / "run") if "checkpoints" not in name}
    assert written == {name for name in tree_of(finished.files.out) if "checkpoints" not in name}


def test_asked_again_it_reports_what_it_had(finished, capsys):
    flags = {**FLAGS, "out": finished.files.out}
    before = tree_of(finished.files.out)
    assert main(command_line(**flags)) == 0
    first, told = capsys.readouterr()
    assert "finished before; nothing to train" in told
    assert main(command_line(**{**flags, "success_floor": 1.0})) == 3
    assert capsys.readouterr().out.startswith(first.removesuffix("\n"))
    assert tree_of(finished.files.out) == before


def test_without_out_it_writes_under_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command_line(**FLAGS, mixed_lambda=0.95)) == 0
    assert (tmp_path / "results" / "mesa" / VARIANT / "manifests").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_shown_unless_it_is_switched_off(words, capsys, quiet, one_update_per_chunk):
    assert main([*words, "--no-progress"] if quiet else words) == 0
    *lines, last = capsys.readouterr().err.splitlines()
    assert last.startswith("files: ")
    assert len(lines) == (0 if quiet else UPDATES)
    for number, line in enumerate(lines, start=1):
        assert f"update {number}/{UPDATES} " in line
        for figure in ("steps/s", "entropy", "log_std", "value_loss", "success"):
            assert figure in line
        assert ("trained" if number == UPDATES else "left") in line


def test_interrupted_it_says_how_to_go_on(words, capsys, monkeypatch, tmp_path):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "save", stop)
        assert main(words) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err.splitlines()[-1]
    assert main(words) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["disk", "checkpoint"])
def test_a_failure_ends_with_1_and_one_line(words, capsys, monkeypatch, tmp_path, kind):
    def fail(*arguments):
        raise OSError(28, "No space left on device", "somewhere")

    if kind == "disk":
        monkeypatch.setattr(run, "write_policy", fail)
    else:
        monkeypatch.setattr(CheckpointStore, "_write", fail)
    assert main(words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "No space left on device" in line
    # Nothing is lost by it: with room again the same command finishes.
    monkeypatch.undo()
    assert main(words) == 0


def test_the_words_make_the_configuration_they_say(tmp_path, monkeypatch):
    seen = []

    def look(config, observer):
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", look)
    flags = {"lr": 1e-4, "mixed_lambda": 0.9, "run_label": "x.y-z", "eval_seed_start": (1, 100)}
    flags |= {"tier": "Medium", "out": tmp_path, "seed": 7, "reward_compose_form": "delta"}
    assert main(command_line(**{**FLAGS, **flags})) == 130
    assert seen == [small_config(**flags)]
