"""`--config`: a run from a file, and one that repeats another from what that wrote down."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import FLAGS, bad_input_line, build, command_line, read

from pathb_jax.cli.train import main
from pathb_jax.config_checks import validated
from pathb_jax.runs import trainer

GROUPED = """
[task]
variant = "mixed_ppo_phase3_lambda_0_9"
[train]
batch_envs = 8
[hparams]
lr = 1
mixed_lambda = 0.95
[evaluation]
eval_seed_start = [500, 700]
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Configurations that training was asked for, in place of training."""
    configs: list[Any] = []

    def train(config: Any, observer: Any) -> None:
        configs.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", train)
    return configs


def test_a_file_says_what_flags_leave_open(tmp_path: Path, asked: list[Any]) -> None:
    path = tmp_path / "run.toml"
    path.write_text(GROUPED)
    assert main(["--config", str(path), "--mixed-lambda", "0.7", "--out", str(tmp_path)]) == 130
    (config,) = asked
    assert (config.train.batch_envs, config.hparams.lr, config.hparams.mixed_lambda) == (8, 1, 0.7)
    assert config.evaluation.eval_seed_start == (500, 700)
    assert config.schedule.updates == 80  # the command's default
    flat = tmp_path / "flat.toml"
    flat.write_text("\n".join(line for line in GROUPED.splitlines() if not line.startswith("[")))
    assert main([f"--config={flat}", "--mixed-lambda", "0.7", "--out", str(tmp_path)]) == 130
    assert asked[1] == config


def test_a_manifest_repeats_its_run(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    flags = {**FLAGS, "lr": 1e-3, "eval_seed_start": (100, 200), "run_label": "x"}
    assert main(command_line(**flags, out=first)) == 0
    (manifest,) = first.glob("manifests/*.json")
    assert main(["--config", str(manifest), "--out", str(second), "--no-progress"]) == 0
    (again,) = second.glob("manifests/*.json")
    assert again.name == manifest.name
    ours, theirs = read(manifest)["config"], read(again)["config"]
    ours["output"].pop("out"), theirs["output"].pop("out")
    ours["output"].pop("progress"), theirs["output"].pop("progress")
    assert ours == theirs
    policies = [next(folder.glob("policies/*")).read_bytes() for folder in (first, second)]
    assert policies[0] == policies[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = 1e-4", "variant: '(missing)'"),
        ('variant = "reward_ppo_dense"\nlearning_rate = 1', "there is no such setting"),
        ('variant = "reward_ppo_dense"\nlr = "x"', "run.toml: lr"),
        ('variant = "reward_ppo_dense"\nupdates = 1.5', "run.toml: updates"),
        ('variant = "reward_ppo_dense"\nlr = -1', "--lr: -1"),
        ('variant = "reward_ppo_dense"\nlr = 1\n[hparams]\nlr = 2', "there twice"),
        ('variant = "reward"', "variant"),
        ('variant = "reward_ppo_dense"\nout = 2030-01-01', "settings"),
        ("variant =", "give TOML"),
        ("\0", "give TOML"),
        ("[hparams.lr]", "variant"),
    ],
)
def test_what_is_no_configuration_is_refused(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert said in bad_input_line(main, ["--config", str(path)], capsys, tmp_path)


@pytest.mark.parametrize("name", ["nothing.toml", "folder", "other.json", "list.json"])
def test_other_files_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.json").write_text('{"config": {"task": 1}}')
    (tmp_path / "list.json").write_text("[1]")
    line = bad_input_line(main, ["--config", str(tmp_path / name)], capsys, tmp_path)
    assert name in line


def test_a_checkpoint_is_evaluated_as_it_says(
    finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(GROUPED)
    words = ["--config", str(path), "--eval-only", "--load-checkpoint", str(finished.files.out)]
    assert "a checkpoint says itself" in bad_input_line(main, words, capsys, tmp_path)


def test_flags_alone_are_as_before(asked: list[Any], tmp_path: Path) -> None:
    assert main(command_line(**FLAGS, out=tmp_path)) == 130
    assert asked == [validated(build(**FLAGS, out=tmp_path))]
