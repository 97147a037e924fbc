"""How far runs are, told beside them."""

import json
import shutil
import subprocess

import pytest
from small_protocol import UPDATES, small_table, write_toml

from pathb_jax.cli.status import main
from pathb_jax.errors import InputError
from pathb_jax.ladder.opening import open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import read_history
from pathb_jax.store.lock import locked
from pathb_jax.store.record import write_record
from pathb_jax.store.run_files import files_of_run
from pathb_jax.studies.standing import find_latest, read_standing


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A ladder of two candidates of which the first has trained and nothing is judged."""
    folder = tmp_path_factory.mktemp("begun")
    table = small_table(passes=True)
    table["stages"] = [{"kind": name, **stage} for name, stage in table["stages"].items()]
    table["voting"] = {"training_seeds": 2, "pass_at_least": 2}
    protocol = load_protocol(str(write_toml(folder / "small.toml", table)))
    plan = LadderPlan(protocol, planned_run(protocol), folder / "results" / "ladder")
    write_record(plan.record_path, open_record(plan))
    train(plan.candidate_run(protocol.candidates[0]))
    return plan.out


@pytest.fixture
def ladder(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "ladder")


def stop_early(ladder, rows):
    """Make the run one that has only begun; return its folder."""
    run = ladder / "mixed_0_90_pathb_lr1e4"
    files = files_of_run(run, "DIR")
    manifest = json.loads(files.manifest.read_text())
    files.manifest.write_text(json.dumps(manifest | {"status": "running"}))
    lines = files.history.read_text().splitlines(keepends=True)
    files.history.write_text("".join(lines[: rows + 1]) + "51,half a li")
    return run


def test_a_ladder_waits_with_all_that_vote(ladder):
    standing = read_standing(ladder)
    assert (standing.verdict, standing.worth) == ("incomplete", "registered")
    assert [(run.name, run.seed, run.state, run.update) for run in standing.runs] == [
        ("lr1e4", 0, "trained", UPDATES),
        ("lr1e4", 1, "waiting", 0),
        ("vc0_25", 0, "waiting", 0),
        ("vc0_25", 1, "waiting", 0),
    ]
    assert not standing.at_work
    first = standing.runs[0]
    assert first.seconds_left == 0
    assert standing.seconds_left == pytest.approx(3 * UPDATES * first.seconds_per_update)


def test_a_run_trains_while_somebody_says_so_and_lives(ladder):
    run = stop_early(ladder, rows=20)
    history = read_history(files_of_run(run, "DIR").history)
    with locked(run):
        standing = read_standing(ladder)
    told = standing.runs[0]
    assert (told.state, told.update, standing.at_work) == ("training", 20, True)
    assert told.figures["entropy"] == history["entropy"][-1]
    assert told.seconds_left == pytest.approx((UPDATES - 20) * told.seconds_per_update)
    told = read_standing(ladder).runs[0]
    assert (told.state, told.update) == ("stopped", 20)


def test_a_killed_process_is_not_at_work(ladder):
    run = stop_early(ladder, rows=1)
    child = subprocess.Popen(["true"])
    child.wait()
    with locked(run):
        holder = json.loads((run / ".lock.json").read_text())
    (run / ".lock.json").write_text(json.dumps(holder | {"pid": child.pid}))
    assert read_standing(ladder).runs[0].state == "stopped"
    (run / ".lock.json").write_text(json.dumps(holder | {"pid": child.pid, "host": "elsewhere"}))
    assert read_standing(ladder).runs[0].state == "training"  # nobody here can tell


def test_runs_of_no_ladder(finished):
    standing = read_standing(finished.files.out)
    assert standing.verdict is None
    (run,) = standing.runs
    assert (run.state, run.update, run.updates) == ("trained", 6, 6)
    assert run.success[1] == 4
    assert read_standing(finished.files.out.parent).runs == [run]


def test_where_there_is_nothing(tmp_path):
    with pytest.raises(InputError, match=r"DIR: .* no such folder"):
        read_standing(tmp_path / "none")
    with pytest.raises(InputError, match=r"DIR: .* no ladder and no run"):
        read_standing(tmp_path)
    assert find_latest(tmp_path) is None


def test_the_command(ladder, tmp_path, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in ladder.rglob("*")}
    monkeypatch.setenv("COLUMNS", "80")
    assert main([str(ladder), "--json", str(tmp_path / "status.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:5] == ["lr1e4", "0", "trained", "50/50", "100"] for line in lines)
    assert "25 % of 200 updates" in " ".join(" ".join(lines).split())
    assert json.loads((tmp_path / "status.json").read_text())["verdict"] == "incomplete"
    assert {path: path.stat().st_mtime_ns for path in ladder.rglob("*")} == before


def test_without_a_folder_the_latest_ladder_below_results(begun, monkeypatch, capsys):
    monkeypatch.chdir(begun.parents[1])
    assert main([]) == 0
    assert "lr1e4" in capsys.readouterr().out


def test_following_ends_with_the_work(ladder, capsys, monkeypatch):
    run = stop_early(ladder, rows=20)
    held = locked(run)
    held.__enter__()
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            held.__exit__(None, None, None)

    monkeypatch.setattr("time.sleep", sleep)
    assert main([str(ladder), "--follow", "--every", "2"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert looks == [2.0, 2.0]
    assert printed.count("vc0_25") == 2 * 2  # shown twice: at first, and when it had changed
    assert "nobody is at work" in printed


@pytest.mark.parametrize("words", [["--every", "0"], ["--follow", "--json", "-"], ["none"]])
def test_bad_input(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")
