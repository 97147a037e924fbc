"""`--with-baseline`: the default run after the verdict, once, and what it did in the record."""

import dataclasses
import json

import pytest
from pretended_runs import DIVERGED, GOOD, WEAK
from small_protocol import shipped_table, write_toml

from pathb_jax.errors import InputError
from pathb_jax.ladder.judgement import adopt_by_judgement
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.store.record import read_record

DEFAULTS = "mixed_0_90_pathb_defaults"
BASELINE = "mixed_0_90_pathb_baseline"
TAGS = ["lr1e4", "vc0_25", "ec0_001", "clip0_1"]
ALONG = {
    610: (2, 0, 3),
    611: (10, 0, 12),
    815: (20, 0, 14),
    1018: (20, 0, 22),
    1221: (6, 0, 5),
}
FAILING = {**dict.fromkeys(TAGS, WEAK), DEFAULTS: {**WEAK, "along": ALONG}}


def plan_of(protocol, out, **flags):
    protocol = load_protocol(protocol)
    return LadderPlan(protocol, planned_run(protocol), out, **{"with_baseline": True, **flags})


def with_baseline_candidate(path, order):
    """Write the shipped protocol with a baseline at a place among its candidates."""
    table = shipped_table()
    told = {"why": "w", "if_it_fails": "f"}
    baseline = {"order": order, "tag": "baseline", "baseline": True, "change": {}, **told}
    table["candidates"] = [
        *(item | {"order": 2 * item["order"]} for item in table["candidates"]),
        baseline,
    ]
    del table["compute"]
    return write_toml(path / "own.toml", table)


def test_it_trains_after_the_verdict_and_changes_nothing_of_it(tmp_path, pretend):
    runs = pretend(**FAILING)
    without = run_ladder(plan_of("path_b", tmp_path / "without", with_baseline=False))
    plan = plan_of("path_b", tmp_path / "ladder")
    runs = pretend(**FAILING)
    record = run_ladder(plan)
    assert runs.trained == [*(f"mixed_0_90_pathb_{tag}" for tag in TAGS), DEFAULTS]
    assert (record.verdict, record.canonical, record.deviations) == ("rejected", True, [])
    assert (record.candidates, record.predictions) == (without.candidates, without.predictions)
    config = runs.configs[DEFAULTS]
    assert {name: getattr(config.hparams, name) for name in plan.protocol.hparams} == dict(
        plan.protocol.hparams
    )
    assert config.evaluation.eval_at == (611, 815, 1018, 1221)
    told = record.baseline
    assert (told.run_dir, told.status, told.success_rate) == (DEFAULTS, "finished", 7 / 32)
    segments = told.diagnosis.segments
    assert [segment.state.success for segment in segments] == [
        (10, 32),
        (20, 32),
        (20, 32),
        (6, 32),
    ]
    # The latest of equals on the first set, told of on the last.
    fall = told.diagnosis.fall
    assert (fall.best.update, fall.best.reported, fall.end.reported) == (1018, (22, 32), (5, 32))
    assert (fall.best_checkpoint, fall.unwound) == (None, True)
    assert record.compute.used_hours == pytest.approx(5 * 360 / 3600)
    assert read_record(plan.record_path) == record


def test_on_a_ladder_that_is_over_and_exactly_once(tmp_path, pretend):
    runs = pretend(lr1e4=GOOD)
    plan = plan_of("path_b", tmp_path / "ladder")
    without = dataclasses.replace(plan, with_baseline=False)
    adopted = run_ladder(without)
    trained = list(runs.trained)
    assert not is_finished(plan, open_record(plan))
    record = run_ladder(plan)
    assert runs.trained == [*trained, DEFAULTS]
    assert (record.verdict, record.batch) == ("adopted", adopted.batch)
    assert (run_ladder(plan), run_ladder(without)) == (record, record)
    assert is_finished(plan, record)


def test_stopped_before_it_ends_it_goes_on(tmp_path, pretend):
    pretend(**FAILING)
    whole = run_ladder(plan_of("path_b", tmp_path / "whole"))
    plan = plan_of("path_b", tmp_path / "ladder")
    runs = pretend(**FAILING)
    runs.stop_at = DEFAULTS
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    between = read_record(plan.record_path)
    assert (between.verdict, between.baseline.status) == ("rejected", "running")
    assert not is_finished(plan, between)
    later = pretend(**FAILING)
    assert run_ladder(plan) == whole
    assert list(later.configs) == [DEFAULTS]


def test_together_with_an_adoption_by_judgement(tmp_path, pretend):
    runs = pretend(**FAILING)
    plan = plan_of("path_b", tmp_path / "ladder")
    run_ladder(dataclasses.replace(plan, with_baseline=False))
    adopt_by_judgement(plan, "vc0_25", "because")
    record = run_ladder(plan)
    assert [entry.status for entry in record.batch] == ["finished"] * 4
    assert record.baseline.status == "finished"
    assert runs.trained[-1] == DEFAULTS


def test_one_that_diverges_has_the_segments_it_reached(tmp_path, pretend):
    along = {610: (1, 0, 1), 611: (2, 0, 2)}
    diverged = {"diverged": {"update": 700, "quantity": "value_loss"}, "along": along}
    pretend(**{**FAILING, DEFAULTS: diverged})
    told = run_ladder(plan_of("path_b", tmp_path / "ladder")).baseline
    assert (told.status, told.diagnosis.diverged) == ("diverged", told.diverged)
    assert [segment.state.update for segment in told.diagnosis.segments] == [611]
    assert told.diagnosis.fall.end == told.diagnosis.fall.best
    pretend(**{**FAILING, DEFAULTS: {**DIVERGED, "along": {}}})
    told = run_ladder(plan_of("path_b", tmp_path / "early")).baseline
    assert (told.diagnosis.evaluations, told.diagnosis.fall) == ([], None)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_baseline_among_the_candidates_is_not_trained_again(tmp_path, pretend, from_the_start):
    runs = pretend(**{**FAILING, BASELINE: {**WEAK, "along": ALONG}})
    plan = plan_of(with_baseline_candidate(tmp_path, 3), tmp_path / "ladder")
    if not from_the_start:
        run_ladder(dataclasses.replace(plan, with_baseline=False))
        assert runs.configs[BASELINE].evaluation.eval_at == ()
    record = run_ladder(plan)
    assert sorted(runs.trained) == sorted([*(f"mixed_0_90_pathb_{tag}" for tag in TAGS), BASELINE])
    assert runs.configs[BASELINE].evaluation.eval_at == (611, 815, 1018, 1221)
    assert record.baseline.run_dir == BASELINE
    assert record.baseline.diagnosis.fall.best.update == 1018
    assert record.compute.used_hours == pytest.approx(5 * 360 / 3600)  # its hours count once
    assert read_record(plan.record_path) == record


def test_a_baseline_that_the_ladder_did_not_reach_is_trained(tmp_path, pretend):
    runs = pretend(lr1e4=GOOD, **{BASELINE: {**WEAK, "along": ALONG}})
    plan = plan_of(with_baseline_candidate(tmp_path, 3), tmp_path / "ladder")
    record = run_ladder(plan)
    assert runs.trained[0] == "mixed_0_90_pathb_lr1e4"
    assert runs.trained[-1] == BASELINE
    assert record.candidates[1].tag == "baseline"
    assert (record.candidates[1].status, record.baseline.status) == ("not_run", "finished")
    assert record.compute.used_hours == pytest.approx(6 * 360 / 3600)
    assert read_record(plan.record_path) == record


def test_what_cannot_be_is_refused(tmp_path):
    table = shipped_table()
    table["candidates"][1]["tag"] = "defaults"
    path = write_toml(tmp_path / "own.toml", table)
    plan_of(path, tmp_path / "out", with_baseline=False)
    with pytest.raises(InputError, match="would be the folder of two runs"):
        plan_of(path, tmp_path / "out")
    table = shipped_table()
    table["stages"] = [{"kind": "success_floor", **table["stages"]["success_floor"]}]
    table["predictions"], table["evaluation"] = [], {"seeds": 32}
    path = write_toml(tmp_path / "one.toml", table)
    with pytest.raises(InputError, match="it needs a second evaluation set"):
        plan_of(path, tmp_path / "out")


def test_a_count_that_is_none_is_refused(tmp_path, pretend):
    pretend(**FAILING)
    plan = plan_of("path_b", tmp_path / "ladder")
    run_ladder(plan)
    record = json.loads(plan.record_path.read_text())
    record["baseline"]["diagnosis"]["fall"]["best"]["reported"] = [33, 32]
    plan.record_path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="update 1018: '33 of 32' is not allowed"):
        read_record(plan.record_path)
