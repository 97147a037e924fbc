"""The ladder verifies itself: at its end, when it takes runs up, and when it only reports."""

import json

import pytest
from quick import hurry
from small_runs import Watcher

from pathb_jax.cli.ladder import main
from pathb_jax.errors import InputError
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.store.record import read_record
from pathb_jax.studies.digest import digest

ADOPTED = "mixed_0_90_pathb_vc0_25"


@pytest.fixture
def plan(copy, ladder):
    """A plan of a copy of the ladder."""
    protocol = load_protocol(ladder.parent / "small.toml")
    return LadderPlan(protocol, planned_run(protocol), copy, train_seeds=2)


def count_one_more(folder):
    path = next(folder.glob(f"{ADOPTED}/logs/*_{ADOPTED}_evaluation_summary.json"))
    summary = json.loads(path.read_text())
    summary["success_count"] += 1
    summary["success_rate"] = summary["success_count"] / summary["seeds"]
    path.write_text(json.dumps(summary))


def test_runs_that_are_taken_up_are_checked(plan, monkeypatch):
    """The record is gone, a summary says more than its rows: that is refused, not used."""
    plan.record_path.unlink()
    count_one_more(plan.out)
    monkeypatch.setattr("pathb_jax.runs.trainer.begin", None)  # nothing is trained
    with pytest.raises(InputError, match=f"{ADOPTED}.*success_count"):
        run_ladder(plan)


def test_a_finished_ladder_that_was_edited_ends_with_1(plan, ladder, monkeypatch, capsys):
    hurry(monkeypatch)
    words = ["--protocol", str(ladder.parent / "small.toml"), "--out", str(plan.out)]
    words += ["--train-seeds", "2", "--no-progress"]
    before, sha = plan.record_path.read_bytes(), digest(plan.out)["record"]
    assert main(words) == 0
    assert plan.record_path.read_bytes() == before
    capsys.readouterr()

    count_one_more(plan.out)
    assert main(words) == 1
    printed = capsys.readouterr()
    told = [line for line in printed.err.splitlines() if line.startswith("does not hold: ")]
    assert any("success_count" in line for line in told)
    note = (plan.out / "PHASE7_V2_PATH_B_RESULTS.md").read_text()
    assert "- **This does not hold:** " in note
    assert digest(plan.out)["record"] == sha, "the digest is of what training gave"

    path = next(plan.out.glob(f"{ADOPTED}/logs/*_{ADOPTED}_evaluation_summary.json"))
    path.write_bytes(next(ladder.glob(str(path.relative_to(plan.out)))).read_bytes())
    assert main(words) == 0
    assert "does not hold" not in capsys.readouterr().err


def test_what_an_earlier_session_left_is_looked_at(plan, monkeypatch):
    record = json.loads(plan.record_path.read_text())
    record["batch"][0] |= {"status": "running"}
    record["candidates"][1]["env_steps"] += 1
    plan.record_path.write_text(json.dumps(record))
    watcher = Watcher()
    run_ladder(plan, watcher)
    assert any("candidates[1].env_steps" in notice for notice in watcher.notices)


def test_a_verification_that_is_not_possible_ends_no_ladder(plan, monkeypatch):
    plan.record_path.unlink()

    def broken(folder, replay):
        raise OSError("the disk is gone")

    monkeypatch.setattr("pathb_jax.ladder.verifying.verify", broken)
    record = run_ladder(plan)
    assert record.verdict == "adopted"
    (problem,) = record.verification.problems
    assert "verification was not possible: the disk is gone" in problem
    assert read_record(plan.record_path) == record
