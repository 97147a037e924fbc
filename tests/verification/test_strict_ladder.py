"""A ladder under a protocol with listed stages, voting seeds and a baseline, really run."""

import json
import shutil
from pathlib import Path

import pytest
from small_protocol import strict_table, write_toml

from pathb_jax.ladder.diagnosis import segment_ends
from pathb_jax.ladder.judgement import adopt_by_judgement
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.report.note import write_note
from pathb_jax.verification.verify import verify


def plan_of(folder, **floor):
    table = strict_table()
    table["stages"][0] |= floor
    protocol = load_protocol(write_toml(folder / "strict.toml", table))
    return LadderPlan(protocol, planned_run(protocol), folder / "ladder", with_baseline=True)


@pytest.fixture(scope="module")
def strict(tmp_path_factory) -> Path:
    """A ladder's folder whose baseline all three seeds pass. Not to be written to."""
    plan = plan_of(tmp_path_factory.mktemp("strict"))
    run_ladder(plan)
    return plan.out


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Path:
    """A ladder's folder that rejected both candidates, and adopted the second by judgement."""
    plan = plan_of(tmp_path_factory.mktemp("judged"), threshold=1.0)
    run_ladder(plan)
    adopt_by_judgement(plan, "several", "to see it train")
    run_ladder(plan)
    return plan.out


def test_a_baseline_is_judged_and_may_be_adopted(strict):
    record = read_ladder(strict / "ladder.json")
    assert (record.verdict, record.adopted) == ("adopted", "baseline")
    baseline = record.candidates[0]
    assert baseline.hparams == {}
    assert baseline.votes.passed == [0, 1, 2]
    assert [stage.name for stage in baseline.stages] == [
        *("success_floor", "training_dynamics", "equivalence", "equivalence")
    ]
    assert record.seed_overlap.sets == {"10000": 0, "20000": 0, "40000": 0}
    told = record.baseline  # its own run, read and not trained again
    assert (told.run_dir, told.wall_seconds) == (baseline.run_dir, baseline.wall_seconds)
    assert (told.diagnosis.chosen_on, told.diagnosis.told_on) == (10000, 40000)
    assert [s.state.update for s in told.diagnosis.segments] == segment_ends(record.plan.updates)
    assert list(baseline.summaries) == ["10000", "20000", "40000", "30000"]


@pytest.mark.parametrize("name", ["strict", pytest.param("judged", marks=pytest.mark.slow)])
def test_everything_of_it_holds(request, name):
    folder = request.getfixturevalue(name)
    recorded = read_ladder(folder / "ladder.json").verification
    assert recorded.problems == []
    found = verify(folder, replay=False)
    assert found.holds, found.problems
    assert found.figures == found.reproduced == recorded.figures


@pytest.mark.slow
def test_a_candidate_may_change_any_knob(judged):
    record = read_ladder(judged / "ladder.json")
    change = strict_table()["candidates"][1]["change"]
    entry = record.candidates[1]
    assert entry.hparams == change
    (run,) = record.batch
    for at in (entry, run):
        manifest = next((judged / at.run_dir).glob("manifests/*.json"))
        config = json.loads(manifest.read_text())["config"]
        flat = config["train"] | config["hparams"] | config["schedule"]
        assert {knob: flat[knob] for knob in change} == change
    assert len(record.judgement.overrode) == 3


def test_its_note_can_be_written(strict, tmp_path):
    assert "no change" in write_note(strict / "ladder.json", tmp_path / "note.md").read_text()


FIRST, FALL = ("candidates", 0), ("baseline", "diagnosis", "fall")
EDITS = {
    "votes": ([*FIRST, "votes", "passed"], [0, 1], "candidates[0].votes"),
    "an interval": ([*FIRST, "stages", 2, "figures", "interval_low"], 0.0, "stages[2].figures"),
    "a knob": ([*FIRST, "hparams"], {"lr": 1e-4}, "candidates"),
    "the default run's best": ([*FALL, "best", "update"], 7, "baseline.diagnosis.fall.best.update"),
    "its hours": (["baseline", "wall_seconds"], 1e3, "baseline.wall_seconds"),
    "its date": (["baseline", "trained", "started"], "2020", "baseline.trained.started"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_forged_does_not_hold(strict, tmp_path, edit, monkeypatch):
    folder = Path(shutil.copytree(strict, tmp_path / "ladder"))
    record = json.loads((folder / "ladder.json").read_text())
    (*way, last), value, said = EDITS[edit]
    holder = record
    for step in way:
        holder = holder[step]
    holder[last] = value
    (folder / "ladder.json").write_text(json.dumps(record))
    # what the record itself contradicts is refused before
    monkeypatch.setattr("pathb_jax.store.record._check_against_itself", lambda *_: None)
    problems = verify(folder, replay=False).problems
    assert any(said in problem for problem in problems), problems
