"""The intervention battery that a ladder plays at its end: told, in the note, verified, forged."""

import csv
import json
import shutil

import pytest
from quick import hurry
from small_protocol import small_table, write_toml

from pathb_jax.cli.ladder import main
from pathb_jax.cli.verify import main as verify
from pathb_jax.store.record import read_record

pytestmark = pytest.mark.slow

RUNS = ["mixed_0_90_pathb_lr1e4", "reward_phase3_pathb_lr1e4"]


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("battery")
    protocol = write_toml(folder / "small.toml", small_table(passes=True))
    words = ["--protocol", str(protocol), "--out", str(folder / "ladder"), "--no-progress"]
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.setattr("pathb_jax.ladder.ladder.play_references", lambda plan: [])
        assert main(words) == 0
    return folder / "ladder"


def test_the_adopted_candidate_and_the_batch_are_told_and_verified(ladder, capsys):
    record = read_record(ladder / "ladder.json")
    assert [item.run_dir for item in record.batteries] == RUNS
    for item in record.batteries:
        assert item.seeds == 64
        assert item.action_response["reward"] == item.action_response["basin-position"] == 0
        assert item.action_response["observation"] > 0
    assert record.verification.problems == []
    note = (ladder / "PHASE7_V2_PATH_B_RESULTS.md").read_text()
    section = note.partition("## What the policies steer by")[2].partition("\n## ")[0]
    assert all(f"| {item.run_dir} |" in section for item in record.batteries)
    assert record.batteries[0].label in section
    assert verify([str(ladder)]) == 0
    assert "everything holds" in capsys.readouterr().out


def in_the_record(ladder, field, value):
    content = json.loads((ladder / "ladder.json").read_text())
    content["batteries"][1][field] = value
    (ladder / "ladder.json").write_text(json.dumps(content))


def in_the_table(ladder, channel, column, change):
    (path,) = ladder.glob(f"{RUNS[0]}/logs/*_battery.csv")
    header, *rows = list(csv.reader(path.read_text().splitlines()))
    row = next(row for row in rows if row[header.index("channel")] == channel)
    row[header.index(column)] = change(row[header.index(column)])
    path.write_text("".join(",".join(cells) + "\n" for cells in (header, *rows)))


FORGED = {
    "label": lambda folder: in_the_record(folder, "label", "field-coupled, under budget"),
    "preference": lambda folder: in_the_record(folder, "old_basin_preference", -3.0),
    "run": lambda folder: in_the_record(folder, "run_dir", "another"),
    "response": lambda folder: in_the_table(
        folder, "geometry", "actionResponseL2", lambda x: str(float(x) + 0.001)
    ),
    "episode": lambda folder: in_the_table(
        folder, "observation", "terminalX", lambda x: str(float(x) - 0.01)
    ),
    "channel": lambda folder: in_the_table(folder, "geometry", "channel", lambda x: "reward"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_battery_does_not_hold(ladder, tmp_path, capsys, name):
    folder = shutil.copytree(ladder, tmp_path / "ladder")
    FORGED[name](folder)
    assert verify([str(folder)]) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if "not hold" in line]
    assert "batter" in problems[0]


def test_a_table_that_is_gone_is_named(ladder, tmp_path, capsys):
    folder = shutil.copytree(ladder, tmp_path / "ladder")
    (path,) = folder.glob(f"{RUNS[1]}/logs/*_battery.csv")
    path.unlink()
    assert verify([str(folder), "--no-replay"]) == 1
    assert path.name in capsys.readouterr().out
