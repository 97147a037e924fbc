"""Bad input of train_ppo: one line that names the flag, exit code 2, and nothing written."""

import json
import shutil

import pytest
from small_runs import VARIANT, bad_input_line, command_line

from pathb_jax.cli.train import main
from pathb_jax.store.integrity import seal

REWARD = "reward_ppo_phase3"
BAD = [
    ("", "--variant", "choose one of signature_ppo_dense"),
    ("--variant mixed", "--variant", "'mixed'"),
    (f"--variant {VARIANT} --tier large", "--tier", "'large'"),
    (f"--variant {VARIANT} --sensor-tier perfect", "--sensor-tier", "'perfect'"),
    (f"--variant {VARIANT} --learning-rate 1", "--learning-rate", "Unrecognized"),
    (f"--variant {VARIANT} --updatse 3", "--updatse", "Unrecognized"),
    (f"--variant {VARIANT} stray", "stray", "Unrecognized"),
    (f"--variant {VARIANT} --lr", "--lr", ""),
    (f"--variant {VARIANT} --lr quick", "--lr", "'quick'"),
    (f"--variant {VARIANT} --updates 1.5", "--updates", "'1.5'"),
    (f"--variant {VARIANT} --mixed-lambda 0", "--mixed-lambda", "0.0"),
    (f"--variant {VARIANT} --mixed-lambda 1", "--mixed-lambda", "1.0"),
    (f"--variant {VARIANT} --mixed-lambda nan", "--mixed-lambda", "nan"),
    (f"--variant {REWARD} --mixed-lambda 0.9", "--mixed-lambda", "0.9"),
    (f"--variant {REWARD} --signature-shape terminal", "--signature-shape", "'terminal'"),
    (f"--variant {VARIANT} --lr 0", "--lr", "0.0"),
    (f"--variant {VARIANT} --lr -1e-4", "--lr", "-0.0001"),
    (f"--variant {VARIANT} --lr nan", "--lr", "nan"),
    (f"--variant {VARIANT} --lr inf", "--lr", "inf"),
    (f"--variant {VARIANT} --minibatch-size 300", "--minibatch-size", "300"),
    (f"--variant {VARIANT} --batch-envs 3 --rollout-length 3", "--minibatch-size", "256"),
    (f"--variant {VARIANT} --run-label ../../x", "--run-label", "'../../x'"),
    (f"--variant {VARIANT} --run-label étiquette", "--run-label", "'étiquette'"),
    (f"--variant {VARIANT} --run-label {'x' * 121}", "--run-label", "xxx"),
    (f"--variant {VARIANT} --updates 0", "--updates", "0"),
    (f"--variant {VARIANT} --eval-only", "--eval-only", "True"),
    (f"--variant {VARIANT} --reset-optimizer", "--reset-optimizer", "True"),
    ("--variant curriculum_sig_then_reward", "--load-checkpoint", "None"),
    (f"--variant {VARIANT} --load-checkpoint nowhere", "--load-checkpoint", "nowhere"),
    (f"--variant {VARIANT} --load-checkpoint .", "--load-checkpoint", "."),
    (f"--variant {VARIANT} --load-checkpoint file", "--load-checkpoint", "file"),
    (f"--variant {VARIANT} --eval-only --load-checkpoint .", "--load-checkpoint", "."),
    (f"--variant {VARIANT} --out file", "--out", "file"),
    (f"--variant {VARIANT} --out file/below/it", "--out", "file/below/it"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")


def assert_bad_input(words, flag, value, capsys, folder):
    line = bad_input_line(main, words, capsys, folder)
    assert flag in line
    assert value in line


@pytest.mark.parametrize(("words", "flag", "value"), BAD)
def test_bad_input_is_one_line(words, flag, value, capsys, tmp_path):
    assert_bad_input(words.split(), flag, value, capsys, tmp_path)


@pytest.mark.parametrize("columns", ["20", "300"])
def test_the_line_is_whole_on_any_terminal(columns, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    words = ["--variant", VARIANT, "--tier", "Tiny"]
    assert_bad_input(words, "'--tier'", "('Small', 'Medium', 'Large')", capsys, tmp_path)


def test_a_value_with_line_ends_stays_one_line(capsys, tmp_path):
    words = ["--variant", VARIANT, "--load-checkpoint", "a\nb"]
    assert_bad_input(words, "--load-checkpoint", "a\\nb", capsys, tmp_path)


def test_a_folder_that_cannot_be_written_to(capsys, tmp_path, monkeypatch):
    # The tests may run as root, whom permissions do not stop.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert_bad_input(["--variant", VARIANT, "--out", "new"], "--out", "new", capsys, tmp_path)


def test_a_run_label_may_not_leave_the_folder(capsys, tmp_path):
    assert_bad_input(
        ["--variant", VARIANT, "--run-label", "a/../b"], "--run-label", "a/../b", capsys, tmp_path
    )


def test_a_checkpoint_of_another_tier(finished, capsys, tmp_path):
    words = command_line(variant=VARIANT, load_checkpoint=finished.files.out, tier="Large")
    assert_bad_input(words, "--load-checkpoint", "its tier is Small", capsys, tmp_path)


def test_a_run_of_other_settings_in_the_same_folder(finished, capsys):
    words = command_line(variant=VARIANT, out=finished.files.out, updates=9)
    assert_bad_input(words, "--out", "schedule.updates: 6 -> 9", capsys, finished.files.out)


def test_a_folder_with_several_runs_needs_one_named(finished, capsys, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(finished.files.checkpoints, tmp_path / "runs" / "checkpoints" / name)
    words = command_line(variant=VARIANT, load_checkpoint="runs", eval_only=True)
    assert_bad_input(words, "--load-checkpoint", "a, b", capsys, tmp_path)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [("schedule", "updates", [6]), ("schedule", "seed", "one"), ("hparams", "lr", None)],
)
def test_a_checkpoint_whose_settings_are_of_another_kind(
    group, name, value, finished, capsys, tmp_path
):
    """Sealed again, as whoever forges it would."""
    step = tmp_path / "runs" / "6"
    shutil.copytree(finished.files.checkpoints / "6", step)
    state = json.loads((step / "state.json").read_text())
    state["meta"]["config"][group][name] = value
    (step / "state.json").write_text(json.dumps(state))
    (step / "manifest.json").unlink()
    seal(step)
    words = command_line(variant=VARIANT, load_checkpoint="runs/6", eval_only=True)
    assert_bad_input(words, name, "", capsys, tmp_path)
