"""A ladder that was stopped, and the conditions under which it goes on."""

import dataclasses
from importlib import resources

import pytest
from pretended_runs import DIVERGED, WEAK

from pathb_jax.errors import InputError
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.store.models import to_json
from pathb_jax.store.record import read_record

SHIPPED = (resources.files("pathb_jax") / "protocols" / "path_b.toml").read_text("utf-8")
FIGURES = {"lr1e4": WEAK, "vc0_25": DIVERGED, "mixed_0_97_pathb_ec0_001": WEAK}
RUNS = [
    *(f"mixed_0_90_pathb_{tag}" for tag in ("lr1e4", "vc0_25", "ec0_001")),
    *(f"{s}_pathb_ec0_001" for s in ("mixed_0_95", "mixed_0_97", "mixed_0_99", "reward_phase3")),
]


def make_plan(out, protocol="path_b", **flags):
    loaded = load_protocol(protocol)
    return LadderPlan(loaded, planned_run(loaded, **flags), out)


def stop(runs, plan, label):
    runs.stop_at = label
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)


@pytest.fixture
def own(tmp_path):
    """A protocol file of one's own, the shipped one under another name."""
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED, encoding="utf-8")
    return path


@pytest.mark.parametrize("label", RUNS)
def test_stopped_anywhere_it_ends_with_the_same_record(tmp_path, pretend, label):
    runs = pretend(**FIGURES)
    whole = run_ladder(make_plan(tmp_path / "whole"))
    assert runs.trained == RUNS
    runs = pretend(**FIGURES)
    plan = make_plan(tmp_path / "stopped")
    stop(runs, plan, label)
    between = read_record(plan.record_path)
    assert not is_finished(plan, between)
    later = pretend(**FIGURES)
    assert run_ladder(plan) == whole
    assert read_record(plan.record_path) == whole
    judged = RUNS[:3].index(label) if label in RUNS[:3] else 3
    # Candidates that were judged are not even looked at; batch runs that had ended are only read.
    assert list(later.configs) == RUNS[judged:]
    assert runs.trained + later.trained[RUNS.index(label) - judged :] == RUNS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "threshold = 0.40",
            "threshold = 0.35",
            "stages.success_floor.threshold: 0.4 -> 0.35",
        ),
        ("change = { lr = 1e-4 }", "change = { lr = 2e-4 }", "lr: 0.0001 -> 0.0002"),
        ("updates = 1221", "updates = 122", "run.updates: 1221 -> 122"),
        ("# Fixed before", "# Written before", "comments and layout"),
    ],
)
def test_a_protocol_that_changed_is_refused(tmp_path, pretend, own, old, new, said):
    runs = pretend(**FIGURES)
    out = tmp_path / "ladder"
    stop(runs, make_plan(out, own), RUNS[1])
    before = (out / "ladder.json").read_bytes()
    assert old in SHIPPED
    own.write_text(SHIPPED.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        run_ladder(make_plan(out, own))
    message = str(caught.value)
    assert message.startswith("--protocol: ")
    assert said in message
    assert "\n" not in message
    assert (out / "ladder.json").read_bytes() == before
    assert runs.trained == RUNS[:1]


def test_line_ends_are_no_change(tmp_path, pretend, own):
    runs = pretend(**FIGURES)
    out = tmp_path / "ladder"
    stop(runs, make_plan(out, own), RUNS[1])
    own.write_bytes(SHIPPED.replace("\n", "\r\n").encode())
    assert run_ladder(make_plan(out, own)).adopted == "ec0_001"


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({}, {"tier": "Small"}, "(none)"),
        ({"tier": "Small"}, {}, "tier: Large -> Small"),
        ({"updates": 122}, {"updates": 123}, "updates: 1221 -> 122"),
        ({"seed": 1}, {"seed": 2}, "seed: 0 -> 1"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_other_flags_are_refused(tmp_path, pretend, first, then, said, finished):
    runs = pretend(**FIGURES)
    out = tmp_path / "ladder"
    if finished:
        run_ladder(make_plan(out, **first))
    else:
        stop(runs, make_plan(out, **first), RUNS[1])
    before = (out / "ladder.json").read_bytes()
    with pytest.raises(InputError) as caught:
        run_ladder(make_plan(out, **then))
    assert str(caught.value).startswith("--out: ")
    assert said in str(caught.value)
    assert (out / "ladder.json").read_bytes() == before


def test_skipping_the_batch_may_change_between(tmp_path, pretend):
    runs = pretend(**FIGURES)
    plan = make_plan(tmp_path / "ladder")
    stop(runs, plan, RUNS[1])
    record = run_ladder(dataclasses.replace(plan, skip_batch=True))
    assert record.verdict == "adopted"
    assert runs.trained == RUNS[:3]


def test_a_broken_record_is_bad_input(tmp_path):
    plan = make_plan(tmp_path / "ladder")
    plan.out.mkdir()
    for text in ("", "{}", "[1]", '{"format": "pathb-ladder-v2"}'):
        plan.record_path.write_text(text)
        with pytest.raises(InputError, match=r"ladder\.json"):
            open_record(plan)


# What a verdict is worth.


def test_the_shipped_protocol_without_departures_is_canonical(tmp_path, pretend):
    pretend()
    record = run_ladder(make_plan(tmp_path / "ladder"))
    assert (record.standing, record.canonical) == ("canonical", True)
    assert record.deviations == []


def test_the_shipped_text_under_another_name_is_the_shipped_protocol(tmp_path, own):
    assert open_record(make_plan(tmp_path / "ladder", own)).standing == "canonical"


def test_a_protocol_of_ones_own_is_registered(tmp_path, pretend, own):
    pretend()
    own.write_text(SHIPPED.replace("threshold = 0.40", "threshold = 0.45"), encoding="utf-8")
    record = run_ladder(make_plan(tmp_path / "ladder", own))
    assert (record.standing, record.canonical) == ("registered", False)
    assert record.protocol.file == "mine.toml"


@pytest.mark.parametrize(
    ("flags", "deviations"),
    [
        ({"tier": "Small"}, ["tier: Large -> Small"]),
        ({"updates": 50}, ["updates: 1221 -> 50"]),
        (
            {"tier": "Medium", "updates": 122, "seed": 5},
            ["tier: Large -> Medium", "updates: 1221 -> 122", "seed: 0 -> 5"],
        ),
    ],
)
def test_departures_are_listed_and_make_it_exploratory(tmp_path, pretend, flags, deviations):
    pretend()
    record = run_ladder(make_plan(tmp_path / "ladder", **flags))
    assert record.deviations == deviations
    assert (record.standing, record.canonical) == ("exploratory", False)
    assert record.compute.planned_hours is None
    plan = {"tier": "Large", "updates": 1221, "seed": 0, **flags}
    assert to_json(record.plan) == {**plan, "env_steps": plan["updates"] * 8192}


def test_flags_that_repeat_the_protocol_are_no_departure(tmp_path):
    plan = make_plan(tmp_path / "ladder", tier="Large", updates=1221, seed=0)
    assert open_record(plan).standing == "canonical"
