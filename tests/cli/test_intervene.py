"""`intervene`: bad input, tables, figures and page, labels of policies that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from hand_made_policies import follower, homing, open_loop
from small_runs import bad_input_line, read, tree_of

import pathb_jax
from pathb_jax.cli import intervene
from pathb_jax.cli.intervene import main
from pathb_jax.report.battery_page import FIGURES
from pathb_jax.store.tables import read_table
from pathb_jax.studies.battery_tables import FIRST_COLUMNS

SEEDS = 16


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("policies")
    return [
        str(write(folder / f"{write.__name__}.policy.json"))
        for write in (follower, homing, open_loop)
    ]


@pytest.fixture
def stored(repository: Path) -> Path:
    """A run that was trained once. Not to be written to."""
    return repository / "tests/stored/run"


@pytest.fixture(scope="module")
def done(policies: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a battery, its result beside the tables."""
    out = tmp_path_factory.mktemp("done") / "battery"
    words = ["--policy", *policies, "--seeds", str(SEEDS), "--json", str(out / "battery.json")]
    assert main([*words, "--out", str(out)]) == 0
    return out


def test_the_labels_are_what_the_policies_are_made_for(done: Path):
    result = read(done / "battery.json")
    assert (result["format"], result["seeds"]) == ("pathb-battery-v1", SEEDS)
    labels = {policy["name"]: policy["label"] for policy in result["policies"]}
    assert list(labels) == ["follower", "homing", "open_loop", "oracle", "hc-signature"]
    assert labels["follower"] == "field-coupled"
    assert labels["homing"] == "reward-coupled"  # it sees where it is: an open loop would not
    assert labels["open_loop"] == "bootstrap-collapse"
    assert labels["oracle"] == "ambiguous"
    for policy in result["policies"]:
        by_channel = {each["channel"]: each for each in policy["channels"]}
        assert by_channel["reward"]["action_response"]["mean"] == 0
        assert by_channel["basin-position"]["divergence"] == {"mean": 0, "interval_95": [0, 0]}
    oracle = result["policies"][3]
    assert oracle["training"] is None
    assert oracle["unedited"]["success_rate"] == 1
    assert [each["edited"]["success_rate"] for each in oracle["channels"]] == [1] * 5
    assert result["policies"][0]["published"][0]["preference"] == [2.611, 2.611]


def test_everything_is_written(done: Path):
    pictures = [Path(png) for png in FIGURES] + [Path(png).with_suffix(".svg") for png in FIGURES]
    names = {*FIRST_COLUMNS, "BATTERY.md", "battery.json", "figures", *map(str, pictures)}
    assert set(tree_of(done)) == names
    page = (done / "BATTERY.md").read_text()
    for name in (*FIRST_COLUMNS, *map(str, pictures)):
        assert f"({name})" in page
    assert "bootstrap-collapse |\n" in page
    assert "could not be drawn" not in page
    for picture in pictures:
        assert len((done / picture).read_bytes()) < 300_000


def test_it_is_written_anew_and_remarks_are_kept(done: Path, policies: list[str], capsys):
    page = done / "BATTERY.md"
    page.write_text(page.read_text() + "\nSeen by me.\n")
    words = ["--policy", *policies, "--seeds", str(SEEDS), "--no-references", "--json", "-"]
    assert main([*words, "--out", str(done)]) == 0
    assert page.read_text().endswith("\nSeen by me.\n")
    assert "HC-Signature" not in page.read_text()
    printed = capsys.readouterr()
    assert printed.out.startswith("{")
    assert "field-coupled" in printed.err


def test_a_wrong_harness_is_a_failure(policies: list[str], tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("pathb_jax.studies.battery.UNSEEN", ("observation",))
    words = ["--policy", *policies, "--seeds", str(SEEDS), "--no-references"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "j")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "can see changed its actions (homing: observation)" in printed.err
    assert tree_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "--policy, --run: '(missing)'"),
        ("--policy {0} --seeds 0", "--seeds: 0"),
        ("--policy {0} --seeds 4294957297", "--seeds: 4294957297"),
        ("--policy {0} --seeds 4000000000", "--seeds: 4000000000"),
        ("--policy {0} {1} {0}", "give each once"),
        ("--policy nowhere.json", "nowhere.json"),
        ("--run nowhere", "--run: "),
        ("--policy {0} --out mine.csv", "--out"),
        ("--policy {0} --out own", "own/response.csv"),
        ("--policy {0} --out page", "page/BATTERY.md"),
        ("--policy {0} --out drawn", "drawn/figures/battery_reward.svg"),
        ("--policy {0} --json mine.csv", "--json"),
        ("--run {run} --json {run}/new.json", "--json"),
        ("--policy {0} --sensor noisy", "--sensor"),
    ],
)
def test_bad_input(
    words: str, said: str, policies: list[str], stored: Path, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.csv", "own/response.csv", "page/BATTERY.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("policy,mine\n")
    (tmp_path / "drawn/figures").mkdir(parents=True)
    (tmp_path / "drawn/figures/battery_reward.svg").write_text("<svg/>")
    given = words.format(*policies, run=stored).split()
    assert said in bad_input_line(main, given, capsys, tmp_path)


def test_files_of_one_name_are_told_apart(policies: list[str], stored: Path, tmp_path):
    (tmp_path / "other").mkdir()
    again = follower(tmp_path / "other/follower.policy.json")
    named = follower(tmp_path / "oracle.policy.json")
    words = ["--policy", policies[0], str(again), str(named), "--run", str(stored)]
    flags = intervene.command.parse(intervene.InterveneFlags, words, "")
    subjects = intervene._load(flags)
    names = [policies[0], str(again), str(named), stored.name, "oracle", "hc-signature"]
    assert list(subjects) == names
    assert subjects["run"].training == ("Small", "mixed_ppo_phase3_lambda_0_9", 0.9)


def test_the_function_returns_what_the_command_writes(policies: list[str], done: Path):
    played = pathb_jax.intervene([Path(path) for path in policies], SEEDS)
    pairs = read_table(done / "pairs.csv", ("policy",))
    for column, name in {
        "action_response_L2": "action_response",
        "terminal_position_divergence": "divergence",
        "old_basin_preference": "preference",
    }.items():
        figures = np.stack([getattr(battery, name) for battery in played])
        assert figures.shape == (3, 5, SEEDS)
        np.testing.assert_array_equal(pairs[column][: figures.size], figures.ravel())
    assert played[0].edited.positions.shape == (5, SEEDS, 201, 2)


def test_a_policy_of_another_sensor_tier_is_refused(tmp_path: Path, capsys):
    path = follower(tmp_path / "policy.json")
    path.write_text(path.read_text().replace("local-probe-field", "privileged-field"))
    line = bad_input_line(main, ["--policy", str(path)], capsys, tmp_path)
    assert line.endswith("it observes 6 numbers, privileged-field shows 7")
    path.write_text(path.read_text().replace("privileged-field", "no-such-field"))
    line = bad_input_line(main, ["--policy", str(path)], capsys, tmp_path)
    assert "--policy: 'no-such-field'" in line


def test_numbers_that_lead_out_of_what_is_finite_are_refused(tmp_path: Path, capsys):
    path = follower(tmp_path / "policy.json")
    content = read(path)
    content["normalization"] = {"obs_mean": [3e38] * 6, "obs_std": [0.0] * 6}
    path.write_text(json.dumps(content))
    out = tmp_path / "out"
    words = ["--policy", str(path), "--seeds", str(SEEDS), "--no-references", "--out", str(out)]
    assert main(words) == 2
    assert "episodes leave what is finite" in capsys.readouterr().err
    assert not out.exists()
