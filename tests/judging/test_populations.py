"""Finished runs as a protocol's candidates, and the command that tells its power from them."""

import json
import shutil

import pytest
from small_protocol import UPDATES, small_table, write_toml
from small_runs import bad_input_line, read, small_config

from pathb_jax.cli.power import main
from pathb_jax.errors import InputError
from pathb_jax.judging.populations import read_populations
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.runs.trainer import train

SETTINGS = {
    "a-0": {"lr": 1e-4},
    "a-1": {"lr": 1e-4, "seed": 1},
    "b-0": {"value_coef": 0.25},
    "none-0": {"seed": 5},
    "none-1": {"mixed_lambda": 0.95},
}
"""Runs of the small protocol's two candidates, and two that are no candidate's."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder of runs, and a protocol of two candidates that most runs pass."""
    folder = tmp_path_factory.mktemp("study")
    for name, flags in SETTINGS.items():
        train(
            small_config(folder / "runs" / name, **{"updates": UPDATES, "eval_every": 25, **flags})
        )
    table = small_table(passes=True)
    table["run"]["updates"] = UPDATES + 1
    write_toml(folder / "small.toml", table)
    return folder


def test_runs_are_found_by_their_settings(study):
    protocol = load_protocol(study / "small.toml")
    found = read_populations([study / "runs", study / "runs" / "a-0"], protocol)
    assert [(p.name, len(p.runs)) for p in found.populations] == [("lr1e4", 2), ("vc0_25", 1)]
    assert {p.name for p in found.others} == {
        "updates: 51 -> 50",
        "updates: 51 -> 50; mixed_lambda: 0.9 -> 0.95",
    }
    assert (found.lacking, found.departures) == ([], ["updates: 51 -> 50"])
    run = found.populations[0].runs[0]
    manifest = read(next((study / "runs" / "a-0" / "manifests").iterdir()))
    assert run.hours == manifest["train_seconds"] / 3600
    summaries = (study / "runs" / "a-0" / "logs").glob("*_summary.json")
    counts = {read(path)["seed_start"]: read(path)["success_count"] for path in summaries}
    assert run.counts == {start: (counts[start], 4) for start in (10000, 20000)}
    assert run.dynamics == 1.0  # its limits are wide


def test_a_candidate_without_runs_is_named(study):
    protocol = load_protocol(study / "small.toml")
    found = read_populations([study / "runs" / "b-0"], protocol)
    assert [p.name for p in found.populations] == ["vc0_25"]
    assert found.lacking == ["lr1e4"]


def test_runs_of_two_kinds_are_not_mixed(study, tmp_path):
    protocol = load_protocol(study / "small.toml")
    train(small_config(tmp_path / "run", updates=UPDATES + 1, lr=1e-4))
    with pytest.raises(InputError, match=r"--from: 'candidate lr1e4' .* of several kinds"):
        read_populations([study / "runs", tmp_path], protocol)


def test_a_run_that_lacks_a_set_is_named(study, tmp_path):
    table = small_table(passes=True)
    table["stages"]["seed_shift"]["seed_start"] = 50000
    protocol = load_protocol(write_toml(tmp_path / "other.toml", table))
    with pytest.raises(InputError, match=r"not evaluated on the seeds from 50000"):
        read_populations([study / "runs" / "a-0"], protocol)


def test_the_command(study, tmp_path, capsys):
    words = ["--from", str(study / "runs"), "--protocol", str(study / "small.toml")]
    words += ["--train-seeds", "1", "3", "--eval-seeds", "4", "32"]
    assert main([*words, "--json", str(tmp_path / "power.json")]) == 0
    printed = capsys.readouterr().out
    assert "vc0_25 has one run, which tells nothing of training seeds" in printed
    assert "updates: 51 -> 50" in printed
    result = json.loads((tmp_path / "power.json").read_text())
    grid = {(c["training_seeds"], c["eval_seeds"]): c for c in result["grid"]}
    assert set(grid) == {(1, 4), (1, 32), (3, 4), (3, 32)}
    for cell in grid.values():  # the floor is 0 and differences up to 1 pass
        assert cell["adopts_holding"] == {"value": pytest.approx(1.0), "interval_90": None}
        assert cell["rejects"]["value"] == pytest.approx(0.0)
    assert grid[3, 4]["pass_at_least"] == 2
    hours = [run["hours"] for run in result["candidates"][0]["runs"]]
    assert grid[3, 4]["hours"] == pytest.approx(3 * sum(hours) / 2)
    assert grid[3, 4]["most_hours"] > grid[3, 4]["hours"]

    assert main([*words, "--from", str(study / "runs" / "a-0"), str(study / "runs" / "a-1")]) == 0
    printed = capsys.readouterr().out
    assert "No run of vc0_25" in printed
    assert "| 1, 1 to pass | 32 | 1.000 [1.000, 1.000] |" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--from"),
        (["--from", "none"], "--from: 'none' is not allowed; there is no such folder"),
        (["--from", "."], "give folders of runs"),
        (["--from", "{run}", "--train-seeds", "0"], "--train-seeds: [0]"),
        (["--from", "{run}", "--eval-seeds", "5000"], "each from 1 to 2048"),
        (["--from", "{run}", "--protocol", "none"], "--protocol: 'none'"),
        (["--from", "{run}", "--json", "{run}/power.json"], "--json"),
    ],
)
def test_bad_input_is_one_line(study, tmp_path, words, said, capsys, monkeypatch):
    shutil.copytree(study / "runs" / "b-0", tmp_path / "inside" / "run")
    monkeypatch.chdir(tmp_path)
    filled = [word.replace("{run}", "inside/run") for word in words]
    assert said in bad_input_line(main, filled, capsys, tmp_path)
