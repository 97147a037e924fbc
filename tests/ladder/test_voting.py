"""Several training seeds vote: all train before the candidate is judged, a majority adopts it."""

import dataclasses
import json

import pytest
from pretended_runs import DIVERGED, SHIFTED, UNSTABLE, WEAK
from small_protocol import shipped_table, write_toml

from pathb_jax.errors import InputError
from pathb_jax.ladder import ladder
from pathb_jax.ladder.acceptance import cleared
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.opening import is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.runs import side_by_side
from pathb_jax.store.models import to_json
from pathb_jax.store.record import read_record, write_record
from pathb_jax.store.run_records import StageRecord

FIRST, SECOND = "mixed_0_90_pathb_lr1e4", "mixed_0_90_pathb_vc0_25"


@pytest.fixture
def plan(tmp_path):
    table = shipped_table() | {"voting": {"training_seeds": 5, "pass_at_least": 4}}
    protocol = load_protocol(write_toml(tmp_path / "five.toml", table))
    return LadderPlan(protocol, planned_run(protocol), tmp_path / "ladder")


def seeded(label, figures):
    """Figures of the training seeds 0, 1, ...; None: good."""
    names = [label if seed == 0 else f"{label}_seed_{seed}" for seed in range(len(figures))]
    return {name: told for name, told in zip(names, figures, strict=True) if told}


def test_so_many_have_to_pass(plan, pretend):
    runs = pretend(
        **seeded(FIRST, [None, WEAK, None, SHIFTED, None]),
        **seeded(SECOND, [WEAK, None, None, None, None]),
    )
    record = run_ladder(plan)
    assert [entry.status for entry in record.candidates[:3]] == ["rejected", "adopted", "not_run"]
    assert (record.verdict, record.adopted) == ("adopted", "vc0_25")
    first, second = record.candidates[:2]
    assert to_json(first.votes) == {"seeds": [0, 1, 2, 3, 4], "passed": [0, 2, 4], "needed": 4}
    assert to_json(second.votes) == {"seeds": [0, 1, 2, 3, 4], "passed": [1, 2, 3, 4], "needed": 4}
    assert [stage.passed for stage in second.stages] == [False, None, None]
    assert [other.seed for other in first.other_seeds] == [1, 2, 3, 4]
    assert [stage.passed for stage in first.other_seeds[2].stages] == [True, True, False]
    assert runs.trained[5:10] == [SECOND, *(f"{SECOND}_seed_{seed}" for seed in range(1, 5))]
    assert (record.standing, record.deviations) == ("registered", [])
    assert read_ladder(plan.record_path) == record


def test_none_is_judged_before_all_that_vote_have_trained(plan, pretend, monkeypatch):
    pretend(**seeded(FIRST, [None, WEAK, WEAK, None, None]))
    written = []

    def spy(path, record):
        write_record(path, record)
        written.append(read_record(path))

    monkeypatch.setattr(ladder, "write_record", spy)
    run_ladder(plan)
    entries = [record.candidates[0] for record in written]
    assert {entry.status for entry in entries if len(entry.other_seeds) < 4} == {"running"}
    assert {entry.status for entry in entries if len(entry.other_seeds) == 4} == {"rejected"}
    assert all(bool(entry.stages) == (entry.votes is not None) for entry in entries)


def test_predictions_are_of_what_enough_seeds_clear(plan, pretend):
    pretend(**seeded(FIRST, [WEAK, UNSTABLE, UNSTABLE, None, None]))
    record = run_ladder(plan)
    # GG1 of lr1e4 by 4 of 5, GG2 by 2, GG3 of the next one
    assert record.predictions == {"GG1": "confirmed", "GG2": "falsified", "GG3": "confirmed"}


def test_a_candidate_diverged_if_all_that_vote_did(plan, pretend):
    pretend(**seeded(FIRST, [DIVERGED] * 5), **seeded(SECOND, [DIVERGED, DIVERGED, *[None] * 3]))
    record = run_ladder(plan)
    assert [entry.status for entry in record.candidates[:3]] == ["diverged", "rejected", "adopted"]


@pytest.mark.parametrize("label", [FIRST, f"{FIRST}_seed_3", f"{SECOND}_seed_4"])
def test_stopped_anywhere_it_ends_with_the_same_record(plan, pretend, tmp_path, label):
    figures = seeded(FIRST, [None, WEAK, None, SHIFTED, None])
    pretend(**figures)
    whole = run_ladder(dataclasses.replace(plan, out=tmp_path / "whole"))
    runs = pretend(**figures)
    runs.stop_at = label
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    assert not is_finished(plan, read_record(plan.record_path))
    assert run_ladder(plan) == whole


@pytest.mark.parametrize("speculative", [False, True])
def test_the_order_in_which_runs_end_decides_nothing(
    plan, pretend, tmp_path, monkeypatch, speculative
):
    figures = seeded(FIRST, [None, WEAK, None, SHIFTED, None])
    plan = dataclasses.replace(plan, speculative=speculative)
    pretend(**figures)
    straight = run_ladder(plan)
    train_all = side_by_side.train_all
    monkeypatch.setattr(side_by_side, "train_all", lambda *args: reversed(list(train_all(*args))))
    pretend(**figures)
    turned = run_ladder(dataclasses.replace(plan, out=tmp_path / "turned"))
    assert turned == straight
    assert straight.adopted == "vc0_25"


def test_more_training_seeds_inform(plan, pretend):
    pretend(**seeded(FIRST, [WEAK, *[None] * 4, WEAK, WEAK]))
    run_ladder(plan)
    more = dataclasses.replace(plan, train_seeds=7)
    assert plan.seeds == dataclasses.replace(plan, train_seeds=3).seeds == [0, 1, 2, 3, 4]
    assert not is_finished(more, open_record(more))
    record = run_ladder(more)
    assert record.adopted == "lr1e4"
    assert record.candidates[0].votes.seeds == [0, 1, 2, 3, 4]
    assert [other.seed for other in record.candidates[0].other_seeds] == [1, 2, 3, 4, 5, 6]
    verdicts = record.training_seeds.verdicts
    assert [seed for seed, verdict in verdicts.items() if verdict == "adopted lr1e4"] == [
        *("1", "2", "3", "4")
    ]


def receipts(*passed):
    return [StageRecord.model_construct(passed=value) for value in passed]


def test_cleared_counts_those_that_came_so_far() -> None:
    one = receipts(True, False, None)
    assert cleared([one], 1) == [True, False, None]
    runs = [one, receipts(True, True, True), receipts(False, None, None)]
    assert cleared(runs, 1) == [True, True, True]
    assert cleared(runs, 2) == [True, False, None]
    assert cleared(runs, 3) == [False, None, None]


EDITS = {
    "one more passed": (["votes", "passed"], [0, 1, 2, 3, 4], "votes.passed"),
    "one seed less": (["votes", "seeds"], [0, 1, 2, 3], "votes"),
    "a seed that is not there": (["votes", "seeds"], [0, 1, 2, 3, 9], "votes.seeds"),
    "fewer needed": (["votes", "needed"], 3, "votes"),
    "more needed": (["votes", "needed"], 5, "status"),
    "no votes": (["votes"], None, "votes"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_votes_that_contradict_receipts_or_protocol_are_refused(plan, pretend, edit):
    pretend(**seeded(FIRST, [None, WEAK, None, None, None]))
    run_ladder(plan)
    record = json.loads(plan.record_path.read_text())
    (*way, last), value, said = EDITS[edit]
    holder = record["candidates"][0]
    for step in way:
        holder = holder[step]
    holder[last] = value
    plan.record_path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"candidates\[0\]\.{said}"):
        read_ladder(plan.record_path)


@pytest.mark.parametrize(
    ("voting", "field"),
    [
        ({"training_seeds": 5, "pass_at_least": 6}, "voting.pass_at_least"),
        ({"training_seeds": 0, "pass_at_least": 0}, "voting.training_seeds"),
        ({"training_seeds": 5}, "voting.pass_at_least"),
        ({"training_seeds": 2, "pass_at_least": 1, "needed": 1}, "voting.needed"),
    ],
)
def test_what_makes_no_sense(tmp_path, voting, field):
    path = write_toml(tmp_path / "p.toml", shipped_table() | {"voting": voting})
    with pytest.raises(InputError) as raised:
        load_protocol(path)
    assert raised.value.field == f"protocol p.toml: {field}"
