import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from pathb_jax.cli.evaluate import main


def sets_of(arguments: list[str], folder: Path) -> list[dict]:
    target = folder / "sets.json"
    assert main([*arguments, "--json", str(target)]) == 0
    return json.loads(target.read_text())["sets"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pathb_jax.cli.train import main as train

    out = tmp_path_factory.mktemp("run")
    train(
        "--variant mixed_ppo_phase3_lambda_0_9 --updates 3 --batch-envs 8 --rollout-length 16 "
        f"--minibatch-size 32 --eval-seeds 8 --success-floor 0 --out {out}".split()
    )
    return out


def test_oracle_and_hc_signature_reach_their_ceilings(tmp_path: Path):
    (oracle,) = sets_of(["--controller", "oracle", "--eval-seeds", "64"], tmp_path)
    (coded,) = sets_of(["--controller", "hc-signature", "--eval-seeds", "64"], tmp_path)
    assert oracle["success_count"] == coded["success_count"] == 64
    assert oracle["mean_terminal_alignment"] == pytest.approx(0.9996, abs=5e-5)
    assert coded["mean_terminal_alignment"] == pytest.approx(0.9944, abs=5e-5)
    assert oracle["success_interval_95"][0] == pytest.approx(0.025 ** (1 / 64))


def test_checkpoint_and_policy_file_say_what_the_run_said(trained: Path, tmp_path: Path):
    flags = ["--eval-seed-start", "10000", "20000", "--eval-seeds", "8"]
    checkpoint = sets_of(["--checkpoint", str(trained), *flags], tmp_path)
    policy = sets_of(["--policy", str(next(trained.glob("policies/*.json"))), *flags], tmp_path)
    own = json.loads(next(trained.glob("logs/*_evaluation_summary.json")).read_text())
    for figure in ("success_count", "mean_terminal_alignment", "mean_steps"):
        assert checkpoint[0][figure] == own[figure]
        assert [s[figure] for s in policy] == pytest.approx(
            [s[figure] for s in checkpoint], abs=1e-5
        )


def test_rows_and_picture_are_written(trained: Path, tmp_path: Path):
    rows, picture = tmp_path / "rows.csv", tmp_path / "paths.png"
    arguments = ["--checkpoint", str(trained), "--eval-seeds", "3", "--eval-seed-start", "5", "50"]
    assert main([*arguments, "--csv", str(rows), "--render", str(picture)]) == 0
    with rows.open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["5", "6", "7", "50", "51", "52"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_film_is_as_long_as_its_longest_episode(tmp_path: Path):
    film = tmp_path / "film.gif"
    words = ["--controller", "oracle", "--eval-seeds", "2", "--render", str(film)]
    assert main(words) == 0
    with Image.open(film) as image:
        assert image.n_frames <= 68
        image.seek(image.n_frames - 1)
        assert image.info["duration"] == 3000


def test_edits_and_probes_reach_the_world(tmp_path: Path):
    base = ["--controller", "hc-signature", "--eval-seeds", "8"]
    (plain,) = sets_of(base, tmp_path)
    (blind,) = sets_of(
        [*base, "--edit-channel", "signature-sensor", "--edit-step", "0", "--edit-scale", "0"],
        tmp_path,
    )
    (moved,) = sets_of(
        [*base, "--edit-channel", "geometry", "--edit-step", "5", "--edit-point", "3", "3"],
        tmp_path,
    )
    (turned,) = sets_of([*base, "--probe-rotate", "1.5707963267948966"], tmp_path)
    (delayed,) = sets_of([*base, "--probe-delay", "40"], tmp_path)
    (rewarded,) = sets_of([*base, "--edit-channel", "reward", "--edit-scale", "0"], tmp_path)
    assert plain["success_count"] == 8
    assert blind["success_count"] == 0
    assert moved["mean_steps"] != plain["mean_steps"]
    assert turned["mean_steps"] == pytest.approx(plain["mean_steps"], abs=2)
    assert delayed["mean_terminal_alignment"] < plain["mean_terminal_alignment"]
    assert rewarded["mean_steps"] == plain["mean_steps"]


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ("", "--checkpoint, --policy, --controller"),
        ("--controller oracle --policy x.json", "--checkpoint, --policy, --controller"),
        ("--controller oracle --sensor-tier noisy-field", "--sensor-tier"),
        ("--controller oracle --eval-seeds 0", "--eval-seeds"),
        ("--controller oracle --eval-seed-start -1", "--eval-seed-start"),
        ("--controller oracle --probe-scale 0", "--probe-scale"),
        ("--controller oracle --probe-rotate nan", "--probe-rotate"),
        ("--controller oracle --probe-delay -2", "--probe-delay"),
        ("--controller oracle --edit-channel geometry", "--edit-point"),
        ("--controller oracle --edit-channel observation", "--edit-mask"),
        (
            "--controller oracle --edit-channel observation --edit-mask 9 --edit-replacement 1",
            "--edit-mask",
        ),
        ("--controller oracle --edit-channel basin-observation", "--edit-channel"),
        ("--controller oracle --edit-step -1", "--edit-step"),
        ("--controller oracle --render-episodes 0", "--render-episodes"),
        ("--controller oracle --render paths.mp4", ".png, .svg or .gif"),
        ("--checkpoint /nowhere/at/all", "--checkpoint"),
        ("--policy nowhere.json", "nowhere.json"),
        ("--policy pyproject.toml", "pyproject.toml"),
        ("--unheard-of 3", "--unheard-of"),
    ],
)
def test_bad_input_is_one_line_that_names_the_flag(arguments: str, flag: str, capsys):
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert flag in error
    assert error.count("\n") == 1


def test_a_tier_that_shows_other_numbers_is_refused(trained: Path, capsys):
    arguments = ["--checkpoint", str(trained), "--sensor-tier", "privileged-field"]
    assert main(arguments) == 2
    assert "--sensor-tier" in capsys.readouterr().err
