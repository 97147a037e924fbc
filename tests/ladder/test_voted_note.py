"""What is told of a ladder whose candidates several training seeds vote on."""

import dataclasses
import re

import pytest
from pretended_runs import DIVERGED, SHIFTED, UNSTABLE, WEAK
from small_protocol import listed_table, shipped_table, write_toml
from test_voting import FIRST, SECOND, seeded

from pathb_jax.cli.ladder_output import print_record
from pathb_jax.judging.rates import count_flip, floor_flip
from pathb_jax.judging.training_seeds import floor_votes_flip, interquartile_mean
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.ladder.training_seeds import agreement
from pathb_jax.report.note import write_note
from pathb_jax.text import percent


@pytest.fixture
def plan(tmp_path):
    table = shipped_table() | {"voting": {"training_seeds": 5, "pass_at_least": 4}}
    protocol = load_protocol(write_toml(tmp_path / "five.toml", table))
    return LadderPlan(protocol, planned_run(protocol), tmp_path / "ladder", skip_batch=True)


def told_of(plan):
    record = run_ladder(plan)
    return record, write_note(plan.record_path).read_text()


def test_an_adoption_against_its_first_seed(plan, pretend, capsys):
    pretend(**seeded(FIRST, [WEAK, None, None, None, None]))
    record, note = told_of(plan)
    assert "**Adopted: lr1e4 (lr 0.0003 -> 0.0001) passed all stages with 4 of 5 " in note
    votes = note.partition("### Votes")[2].partition("### Stages")[0]
    rows = [line for line in votes.splitlines() if line.startswith("| [lr1e4, seed ")]
    assert len(rows) == 5
    assert "failed, not judged, not judged" in rows[0]
    assert all("passed, passed, passed" in row for row in rows[1:])
    chance = percent(count_flip((4, 5), 4))
    assert f"As many fresh training seeds vote otherwise with a chance of {chance} " in votes
    sets = [next(iter(run.summaries.values())) for run in record.candidates[0].voters.values()]
    flips = [floor_flip((found.success_count, found.seeds), 0.40) for found in sets]
    turned = percent(floor_votes_flip([False, True, True, True, True], flips, 4))
    assert f"turn the vote on the success floor with a chance of {turned}." in votes
    for seed in range(5):
        assert f"| lr1e4, seed {seed} | 2 training dynamics | entropy of the last row |" in note
        assert f"| lr1e4, seed {seed} | 10000 to " in note
    assert "4 would have given the ladder's verdict alone" in note
    assert "One more training seed alone gives another verdict with a chance of 25.0 %" in note
    print_record(record)
    row = next(line for line in capsys.readouterr().out.splitlines() if "lr1e4" in line)
    least, most = sorted(found.success_count for found in sets)[:: len(sets) - 1]
    assert f" {least} to {most}/{sets[0].seeds} " in row


def test_a_rejection_says_how_many_seeds_passed(plan, pretend):
    figures = {}
    for candidate in plan.protocol.candidates:
        figures |= seeded(f"mixed_0_90_pathb_{candidate.tag}", [None, WEAK, None, SHIFTED, None])
    pretend(**figures)
    record, note = told_of(plan)
    assert "none of the 4 candidates passed all stages with enough training seeds" in note
    assert "1. lr1e4 passed all stages with 3 of 5 training seeds, 4 needed; " in note
    assert agreement(record).agree == [1, 3]
    assert agreement(record).told == [0, 1, 2, 3, 4]


def test_nothing_is_counted_before_all_voted(plan, pretend):
    runs = pretend(**seeded(FIRST, [WEAK, None, None, None, None]))
    runs.stop_at = f"{FIRST}_seed_3"
    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan)
    note = write_note(plan.record_path).read_text()
    assert "### Votes" not in note
    assert "| lr1e4 | 1 success floor |" not in note
    assert "would have given the ladder's verdict" not in note
    assert "interquartile mean" not in note
    assert "| lr1e4 | [2](" in note  # what there is, seed by seed


def test_an_adoption_whose_first_seed_diverged(plan, pretend):
    """The batch's table has a row for it, and the candidate is not said to have diverged."""
    pretend(**seeded(FIRST, [DIVERGED, None, None, None, None]))
    record, note = told_of(dataclasses.replace(plan, skip_batch=False))
    assert (record.adopted, record.batch[0].status) == ("lr1e4", "finished")
    assert "| lr 0.0003 -> 0.0001 | adopted | " in note
    envelope = note.partition("## The batch")[2].partition("## ")[0]
    assert [line for line in envelope.splitlines() if "[lr1e4, seed 0](" in line]
    rates = [
        next(iter(s.summaries.values())).success_rate for s in record.candidates[0].other_seeds
    ]
    mean = interquartile_mean([[0.0, *rates]]).mean
    assert f"lr1e4: interquartile mean of success over its training seeds {mean:.3f}, " in note


def test_a_seed_that_lacks_an_earlier_candidate_is_not_told(plan, pretend):
    """Of the adopted candidate alone a further seed was trained; it passes."""
    pretend(**seeded(FIRST, [WEAK] * 5))
    record = run_ladder(dataclasses.replace(plan, train_seeds=6, speculative=True))
    assert record.adopted == "vc0_25"
    del record.candidates[0].other_seeds[-1]
    record.training_seeds.verdicts["5"] = "open"
    assert agreement(record) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])


def test_fewer_train_seeds_than_before_are_taken_up(plan, pretend):
    more = dataclasses.replace(plan, train_seeds=7)
    runs = pretend(**seeded(FIRST, [WEAK] * 7))
    runs.stop_at = f"{SECOND}_seed_2"
    with pytest.raises(KeyboardInterrupt):
        run_ladder(more)
    record = run_ladder(plan)
    assert record.training_seeds.seeds == [0, 1, 2, 3, 4, 5, 6]
    assert record.training_seeds.verdicts["6"] == "open"


def test_the_floor_counts_wherever_it_stands(tmp_path, plan, pretend):
    table = listed_table() | {"voting": {"training_seeds": 2, "pass_at_least": 2}}
    table["stages"][:2] = table["stages"][1::-1]
    protocol = load_protocol(write_toml(tmp_path / "turned.toml", table))
    pretend(**seeded(FIRST, [UNSTABLE, UNSTABLE]))
    run = planned_run(protocol)
    _, note = told_of(LadderPlan(protocol, run, tmp_path / "turned", skip_batch=True))
    votes = note.partition("### Votes")[2].partition("### Stages")[0]
    assert "0 of 2 training seeds, 2 needed" in votes
    flip = float(re.search(r"on the success floor with a chance of ([\d.]+) %", votes)[1])
    assert flip < 50  # both clear the floor, whatever training dynamics says


def test_seeds_that_do_not_vote_stand_apart(plan, pretend):
    pretend(**seeded(FIRST, [None] * 5 + [WEAK]))
    _, note = told_of(dataclasses.replace(plan, train_seeds=6))
    section = note.partition("### Training seeds")[2]
    assert "| lr1e4 | [5](" in section
    assert "| lr1e4 | [4](" not in section
    assert "Of 6 training seeds of which it can be told, 5 would have given" in section
    assert "with 5 of 5 training seeds, 4 needed" in note


def test_floor_votes_flip_by_hand():
    assert floor_votes_flip([True, True], [0.1, 0.2], 2) == pytest.approx(1 - 0.9 * 0.8)
    assert floor_votes_flip([True, False], [0.1, 0.2], 2) == pytest.approx(0.9 * 0.2)
    assert floor_votes_flip([False, False], [0.0, 0.0], 1) == 0.0
