"""What trained the runs that a ladder takes up: compared, listed, and told by the record."""

import copy
import dataclasses

import pytest
from pretended_runs import WEAK, manifest

from pathb_jax.errors import InputError
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs.manifest import write_manifest
from pathb_jax.runs.outcome import run_files
from pathb_jax.store.models import to_json
from pathb_jax.store.record import read_record
from pathb_jax.system import provenance
from pathb_jax.system.source import program_digest

FIRST, SECOND = "mixed_0_90_pathb_lr1e4", "mixed_0_90_pathb_vc0_25"
BATCH = "reward_phase3_pathb_vc0_25"
EARLIER = {"started": "2026-01-02T03:04:04Z"}


@pytest.fixture
def plan(tmp_path) -> LadderPlan:
    protocol = load_protocol("path_b")
    return LadderPlan(protocol, planned_run(protocol), tmp_path / "ladder")


def elsewhere(**changes):
    """Return figures of a run that another environment trained."""
    there = copy.deepcopy(provenance.environment())
    # The suite takes the program for committed, but not yet where this is called.
    there["source"] |= {"dirty": False} | changes.pop("source", {})
    there["backend"] |= changes
    return {"manifest": there}


OTHERS = [
    (elsewhere(source={"program": "f" * 64}), f"source.program: '{'f' * 64}' -> "),
    (elsewhere(xla_flags="--xla_cpu_enable_fast_math=true"), "backend.xla_flags: "),
    (elsewhere(jax_config={"jax_enable_x64": True}), "backend.jax_config.jax_enable_x64: True -> "),
    (
        {
            "manifest": {
                "environment_changes": [
                    {"resumed_after_update": 7, "changes": ["backend.cores: 2 -> 4"]}
                ]
            }
        },
        "backend.cores: 2 -> 4",
    ),
]


@pytest.mark.parametrize(("figures", "said"), OTHERS)
@pytest.mark.parametrize("label", [FIRST, SECOND, BATCH])
def test_a_run_from_another_environment_is_refused_or_listed(plan, pretend, figures, said, label):
    pretend(**{"lr1e4": WEAK, label: {**(WEAK if label == FIRST else {}), **figures}})
    with pytest.raises(InputError) as caught:
        run_ladder(plan)
    assert str(caught.value).startswith("--out: ")
    assert f"run {label} there was trained in another environment" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    accepting = dataclasses.replace(plan, accept_environment_change=True)
    record = run_ladder(accepting)
    listed = [line for line in record.deviations if line.startswith(f"environment: {label}: ")]
    assert said in listed[0]
    assert (record.standing, record.canonical) == ("exploratory", False)
    # What was accepted and is recorded needs no second acceptance.
    again = dataclasses.replace(plan, train_seeds=2)
    assert run_ladder(again).deviations == record.deviations


def put_manifest(plan, candidate, figures):
    config = plan.candidate_run(candidate)
    write_manifest(run_files(config), manifest(config, figures))


@pytest.mark.parametrize(("figures", "said"), OTHERS)
def test_it_is_refused_before_anything_trains(plan, pretend, figures, said):
    runs = pretend()
    put_manifest(plan, plan.protocol.candidates[2], figures)
    with pytest.raises(InputError, match="mixed_0_90_pathb_ec0_001 there") as caught:
        run_ladder(plan)
    assert said in str(caught.value)
    assert runs.trained == []
    assert not plan.record_path.exists()


def test_a_change_of_the_whole_ladder_is_listed_once(plan, pretend, monkeypatch):
    runs = pretend(lr1e4=WEAK)
    runs.stop_at = SECOND
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    old, new = provenance.environment(), provenance.environment()
    old["backend"]["cores"], new["backend"]["cores"] = 1000, 1001
    record = read_record(plan.record_path)
    record.environment = old
    monkeypatch.setattr("pathb_jax.ladder.opening.read_ladder", lambda path: record)
    monkeypatch.setattr(provenance, "environment", lambda: new)
    change = "backend.cores: 1000 -> 1001"
    resumed = {"environment_changes": [{"resumed_after_update": 1, "changes": [change]}]}
    pretend(lr1e4=WEAK, vc0_25={"manifest": resumed})
    accepting = dataclasses.replace(plan, accept_environment_change=True)
    assert run_ladder(accepting).deviations == [f"environment: {change}"]


def test_the_record_tells_what_trained_each_run(plan, pretend):
    pretend(lr1e4=WEAK)
    record = run_ladder(dataclasses.replace(plan, train_seeds=2))
    source = provenance.environment()["source"]
    entries = [*record.candidates[:2], *record.batch]
    entries += [item for entry in record.candidates for item in entry.other_seeds]
    assert len(entries) == 8
    for entry in entries:
        assert to_json(entry.trained) == {
            "started": "2026-01-02T03:04:05Z",
            "ended": "2026-01-02T04:05:06Z",
            "host": "here",
            "commit": source["commit"],
            "dirty": False,
            "program": program_digest(),
            "environment_changes": [],
            "before_ladder": False,
        }
    assert record.started == record.ended == "2026-01-02T03:04:05Z"
    assert record.host
    assert "trained" not in to_json(record.candidates[3])


def test_a_run_that_began_before_the_ladder_is_told(plan, pretend):
    pretend(lr1e4=WEAK, vc0_25={"manifest": EARLIER})
    record = run_ladder(plan)
    told = [entry.trained.before_ladder for entry in record.candidates[:2]]
    assert told == [False, True]
    assert record.deviations == []


def test_a_record_deleted_and_made_anew_tells_that_runs_were_there(plan, pretend, monkeypatch):
    pretend(lr1e4=WEAK)
    run_ladder(plan)
    plan.record_path.unlink()
    monkeypatch.setattr(provenance, "utc_now", lambda: "2026-01-02T05:00:00Z")
    record = run_ladder(plan)
    runs = [*record.candidates[:2], *record.batch]
    assert [entry.trained.before_ladder for entry in runs] == [True] * 6


# What no protocol pinned is a departure from the first minute on.


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (elsewhere(source={"dirty": True}), "program: as committed -> with uncommitted changes"),
        (elsewhere(jax_config={"jax_enable_x64": True}), "jax_enable_x64: default -> True"),
        (
            elsewhere(xla_flags="--xla_gpu_deterministic_ops=false --a=b"),
            "XLA_FLAGS: none -> --xla_gpu_deterministic_ops=false",
        ),
        (elsewhere(xla_flags="--xla_gpu_deterministic_ops=true"), None),
    ],
)
def test_an_environment_that_departs_is_exploratory(plan, pretend, monkeypatch, there, said):
    monkeypatch.setattr(provenance, "environment", lambda: copy.deepcopy(there["manifest"]))
    departures = [f"environment: {said}"] if said else []
    assert open_record(plan).deviations[:1] == departures
    runs = pretend()
    runs.stop_at = FIRST
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    record = run_ladder(plan)
    assert record.deviations[:1] == departures
    assert len(set(record.deviations)) == len(record.deviations)
    assert record.standing == ("exploratory" if said else "canonical")


def test_a_program_edited_since_with_the_same_sources_is_no_longer_canonical(
    plan, pretend, monkeypatch
):
    runs = pretend()
    runs.stop_at = FIRST
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    assert read_record(plan.record_path).canonical
    dirty = elsewhere(source={"dirty": True, "commit": "0" * 40})["manifest"]
    monkeypatch.setattr(provenance, "environment", lambda: copy.deepcopy(dirty))
    record = run_ladder(plan)
    departure = "environment: program: as committed -> with uncommitted changes"
    assert record.deviations == [departure]
