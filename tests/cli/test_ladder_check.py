"""`ladder --check`: a protocol is held valid, or refused in one line; nothing is run or written."""

import json
import subprocess
import sys

import pytest
from small_protocol import listed_table, shipped_table, write_toml
from small_runs import bad_input_line, tree_of

from pathb_jax.cli.ladder import main
from pathb_jax.ladder import estimate


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "measure", None)


def checked(words, capsys, folder):
    before = tree_of(folder)
    assert main(["--check", "--json", "-", *words]) == 0
    assert tree_of(folder) == before
    return json.loads(capsys.readouterr().out)["check"]


def test_the_shipped_protocols(capsys, tmp_path):
    told = checked([], capsys, tmp_path)
    assert (told["standing"], told["deviations"]) == ("canonical", [])
    assert [(s["first_seed"], s["stages"], s["shared_with_training"]) for s in told["sets"]] == [
        (10000, [1, 3], 0),
        (20000, [3], 32),
        (30000, [], 0),
    ]
    # a rejection has no batch; an adoption of the last candidate has all
    assert told["runs"] == {"least": 4, "most": 8}
    assert told["env_steps"]["most"] == 8 * 10_002_432
    strict = checked(["--protocol", "path_b_strict"], capsys, tmp_path)
    assert [(s["last_seed"], s["stages"], s["shared_with_training"]) for s in strict["sets"]] == [
        (11023, [1, 3, 4], 0),
        (21023, [3], 0),
        (31023, [4], 0),
    ]
    assert (strict["training_seeds"], strict["voting_seeds"]) == ([0, 1, 2, 3, 4], 5)
    assert strict["runs"] == {"least": 9, "most": 29}
    assert strict["candidates"][0]["change"] == "none: the baseline"
    # the default run is one more, or the baseline that the ladder begins with
    assert checked(["--with-baseline"], capsys, tmp_path)["runs"] == {"least": 5, "most": 9}
    words = ["--protocol", "path_b_strict", "--with-baseline"]
    assert checked(words, capsys, tmp_path)["runs"] == strict["runs"]


def test_flags_are_in_it(capsys, tmp_path):
    words = ["--tier", "Small", "--train-seeds", "3", "--speculative", "--skip-batch"]
    told = checked(words, capsys, tmp_path)
    assert told["standing"] == "exploratory"
    assert told["deviations"][0] == "tier: Large -> Small"
    assert told["runs"] == {"least": 12, "most": 12}
    assert (told["voting_seeds"], told["training_seeds"]) == (1, [0, 1, 2])


def test_one_of_its_own_in_words(capsys, tmp_path):
    path = write_toml(tmp_path / "mine.toml", listed_table())
    assert main(["--check", "--protocol", str(path)]) == 0
    told = capsys.readouterr().out
    assert "is valid; its verdict will be registered; departures: none" in told
    assert "40000 to 40031" in told
    assert "margin 0.3, alpha 0.1" in told


def test_it_needs_no_jax(tmp_path):
    code = "import sys; from pathb_jax.cli.ladder import main; main(['--check']); "
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def short(table):
    table["run"]["updates"] = 49
    return "run.updates: 49"


def names_twice(table):
    table["candidates"][1]["tag"] = "lr1e4"
    return "candidates[1].tag: 'lr1e4'"


def no_run_may_have(table):
    table["candidates"][0]["change"] = {"lr": 1e-40}
    return "--lr: 1e-40"


@pytest.mark.parametrize("spoil", [short, names_twice, no_run_may_have])
def test_a_wrong_protocol_is_refused_in_one_line(spoil, capsys, tmp_path):
    table = shipped_table()
    said = spoil(table)
    path = write_toml(tmp_path / "mine.toml", table)
    assert said in bad_input_line(main, ["--check", "--protocol", str(path)], capsys, tmp_path)


@pytest.mark.parametrize("more", [["--plan"], ["--fresh"], ["--adopt", "lr1e4", "--because", "x"]])
def test_it_goes_alone(more, capsys, tmp_path):
    assert "it does not go with --" in bad_input_line(main, ["--check", *more], capsys, tmp_path)
