"""Adoption by judgement: after a rejection only, beside the verdict, and then the batch trains."""

import dataclasses

import pytest
from pretended_runs import DIVERGED, GOOD, SHIFTED, WEAK

from pathb_jax.errors import InputError
from pathb_jax.ladder.judgement import adopt_by_judgement
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.store.record import read_record

TAGS = ["lr1e4", "vc0_25", "ec0_001", "clip0_1"]
BATCH = ["mixed_0_95", "mixed_0_97", "mixed_0_99", "reward_phase3"]
FAILING = {**dict.fromkeys(TAGS, WEAK), "vc0_25": SHIFTED, "clip0_1": DIVERGED}
WHY = "30000 is within the band"


@pytest.fixture
def plan(tmp_path):
    protocol = load_protocol("path_b")
    return LadderPlan(protocol, planned_run(protocol), tmp_path / "ladder")


def test_it_stands_beside_the_verdict_and_the_batch_trains(plan, pretend):
    runs = pretend(**FAILING)
    rejected = run_ladder(plan)
    assert (rejected.standing, rejected.canonical) == ("canonical", True)
    climbed = list(runs.trained)
    adopt_by_judgement(plan, "vc0_25", f"  {WHY}\n")
    assert not is_finished(plan, open_record(plan))
    record = run_ladder(plan)
    assert (record.verdict, record.adopted, record.chosen) == ("rejected", None, "vc0_25")
    judgement = record.judgement
    assert (judgement.tag, judgement.because) == ("vc0_25", WHY)
    assert judgement.at == "2026-01-02T03:04:05Z"
    assert judgement.overrode == ["training seed 0: stage 3, seed_shift: 0.125 > 0.10"]
    assert judgement.standing == "canonical"
    assert (record.standing, record.canonical) == ("exploratory", False)
    assert record.deviations == ["adoption: by the stages -> vc0_25, by judgement"]
    assert record.candidates == rejected.candidates
    assert record.predictions == rejected.predictions
    assert runs.trained[len(climbed) :] == [f"{stem}_pathb_vc0_25" for stem in BATCH]
    assert [entry.status for entry in record.batch] == ["finished"] * 4
    assert runs.configs["mixed_0_95_pathb_vc0_25"].hparams.value_coef == 0.25
    assert read_record(plan.record_path) == record
    assert run_ladder(plan) == record
    assert is_finished(plan, record)


def test_the_same_judgement_again_changes_nothing(plan, pretend):
    pretend(**FAILING)
    run_ladder(plan)
    adopt_by_judgement(plan, "vc0_25", WHY)
    record = run_ladder(plan)
    adopt_by_judgement(plan, "vc0_25", WHY)
    assert run_ladder(plan) == record
    for tag, why in (("lr1e4", WHY), ("vc0_25", "another reason")):
        with pytest.raises(InputError, match="vc0_25 was adopted by judgement on 2026"):
            adopt_by_judgement(plan, tag, why)


def test_stopped_in_its_batch_it_goes_on(plan, pretend):
    runs = pretend(**FAILING)
    run_ladder(plan)
    adopt_by_judgement(plan, "vc0_25", WHY)
    runs.stop_at = "mixed_0_97_pathb_vc0_25"
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    record = run_ladder(plan)
    assert [entry.status for entry in record.batch] == ["finished"] * 4
    assert record.judgement.tag == "vc0_25"


def test_the_batch_may_wait(plan, pretend):
    pretend(**FAILING)
    without = dataclasses.replace(plan, skip_batch=True)
    run_ladder(without)
    adopt_by_judgement(without, "vc0_25", WHY)
    assert [entry.status for entry in run_ladder(without).batch] == ["not_run"] * 4
    assert [entry.status for entry in run_ladder(plan).batch] == ["finished"] * 4


def refused(plan, tag, why, said):
    before = plan.record_path.read_bytes() if plan.record_path.exists() else None
    with pytest.raises(InputError, match=said) as raised:
        adopt_by_judgement(plan, tag, why)
    assert "\n" not in str(raised.value)
    after = plan.record_path.read_bytes() if plan.record_path.exists() else None
    assert before == after


def test_what_cannot_be_judged_is_refused(plan, pretend):
    refused(plan, "vc0_25", WHY, "there is no ladder in")
    assert not plan.out.exists()
    runs = pretend(**FAILING)
    runs.stop_at = "mixed_0_90_pathb_clip0_1"
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    refused(plan, "vc0_25", WHY, "has not finished")
    run_ladder(plan)
    refused(plan, "vc2", WHY, "--adopt: 'vc2' is not allowed; choose one of lr1e4, vc0_25")
    for text in ("", " \n ", "x" * 1001):
        refused(plan, "vc0_25", text, "--because")


def test_an_adopted_ladder_is_not_judged(plan, pretend):
    pretend(lr1e4=GOOD)
    run_ladder(plan)
    refused(plan, "vc0_25", WHY, "adopted lr1e4; judge a rejected one")


def test_another_environment_is_refused_before_anything_is_written(plan, pretend, monkeypatch):
    pretend(**FAILING)
    run_ladder(plan)
    here = open_record(plan).environment
    elsewhere = {**here, "source": {**here["source"], "program": "0" * 64}}
    monkeypatch.setattr("pathb_jax.system.provenance.environment", lambda: elsewhere)
    refused(plan, "vc0_25", WHY, "began in another environment")


EDITS = {
    "adopted too": ({"verdict": "adopted"}, "judgement"),
    "nobody": ({"judgement.tag": "nobody"}, "judgement.tag: 'nobody'"),
    "no departure": ({"deviations": []}, "standing"),
    "another departure": ({"deviations": ["tier: Large -> Small"]}, "deviations"),
    "no judgement": ({"judgement": None}, "deviations: 'adoption"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_record_that_contradicts_itself_is_refused(plan, pretend, edit):
    import json

    pretend(**FAILING)
    run_ladder(plan)
    adopt_by_judgement(plan, "vc0_25", WHY)
    record = json.loads(plan.record_path.read_text())
    changes, said = EDITS[edit]
    for name, value in changes.items():
        *way, last = name.split(".")
        holder = record[way[0]] if way else record
        holder[last] = value
    if edit == "adopted too":
        record["candidates"][3]["status"] = "adopted"
        for stage in record["candidates"][3]["stages"]:
            stage |= {"passed": True, "reasons": []}
        record["adopted"] = "clip0_1"
    plan.record_path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=said):
        read_record(plan.record_path)
