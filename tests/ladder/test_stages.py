"""Stages as a list of any length: reading, sets, receipts."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from small_protocol import listed_table, shipped_table, to_toml

from pathb_jax.errors import InputError
from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.equivalence import equivalence
from pathb_jax.ladder.protocol import Protocol, parse_protocol, protocol_differences
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.store.models import to_json

STORED = Path(__file__).parents[1] / "stored"
CALM = {"entropy": [1.0] * 60, "log_std": [-0.5] * 60, "value_loss": [100.0] * 60}


def parse(table: dict[str, Any]) -> Protocol:
    text = "\n".join(f"{name} = {to_toml(value)}" for name, value in table.items())
    return parse_protocol(text.encode(), "p.toml")


def test_a_list_is_read_in_its_order() -> None:
    stages = parse(listed_table()).stages
    kinds = [stage.kind for stage in stages]
    assert kinds == [stage["kind"] for stage in listed_table()["stages"]]
    assert stages.success_floor is stages[0]
    assert stages.training_dynamics is stages[1]
    assert stages.seed_shift is stages[2]
    assert not stages.as_tables
    tables = parse(shipped_table()).stages
    assert pickle.loads(pickle.dumps(tables)) == tables
    assert pickle.loads(pickle.dumps(tables)).as_tables  # as a plan goes to a cluster's machines
    only = parse(listed_table() | {"stages": listed_table()["stages"][-1:], "predictions": []})
    assert (only.stages.training_dynamics, only.stages.seed_shift) == (None, None)
    assert only.seed_sets == (40000,)


def test_both_forms_are_written_as_they_were_read() -> None:
    for table in (listed_table(), shipped_table()):
        protocol = parse(table)
        assert to_json(protocol)["stages"] == table["stages"]
        assert parse_protocol(protocol.text.encode(), "p.toml") == protocol


def test_the_three_tables_are_the_list_of_the_three() -> None:
    listed = listed_table() | {"evaluation": shipped_table()["evaluation"]}
    listed["stages"] = listed["stages"][:3]
    assert parse(listed).stages == parse(shipped_table()).stages


def test_every_set_that_a_stage_names_is_one_of_the_protocols() -> None:
    assert parse(listed_table()).seed_sets == (10000, 20000, 40000)
    table = listed_table()
    table["evaluation"] = {"seeds": 1024, "third_seed_start": 30000}
    assert parse(table).seed_sets == (10000, 20000, 40000, 30000)


def test_differences_name_the_place_in_the_list() -> None:
    table = listed_table()
    table["stages"][3]["margin"] = 0.2
    assert protocol_differences(parse(listed_table()), parse(table)) == [
        "stages.3.margin: 0.25 -> 0.2"
    ]


def spoilt(index: int, **fields: Any) -> list[dict[str, Any]]:
    stages = copy.deepcopy(listed_table()["stages"])
    stages[index] = {k: v for k, v in (stages[index] | fields).items() if v is not None}
    return stages


@pytest.mark.parametrize(
    ("stages", "field"),
    [
        ([], "stages"),
        ([7], "stages[0]"),
        (listed_table()["stages"][1:3], "stages"),
        (listed_table()["stages"] * 4, "stages"),
        (spoilt(3, kind=None), "stages[3].kind"),
        (spoilt(3, kind="shift"), "stages[3].kind"),
        (spoilt(3, kind=["equivalence"]), "stages[3].kind"),
        (spoilt(3, margin=None), "stages[3].margin"),
        (spoilt(3, margin=0.0), "stages[3].margin"),
        (spoilt(3, alpha=0.5), "stages[3].alpha"),
        (spoilt(3, difference_at_most=0.1), "stages[3].difference_at_most"),
        (spoilt(3, seed_start=10000), "stages[3].seed_start"),
        (spoilt(3, seed_start=20001), "stages[3].seed_start"),
        (spoilt(3, seed_start=2**32 - 1), "stages[3].seed_start"),
        (spoilt(1, window=1222), "run.updates"),
    ],
)
def test_what_makes_no_sense(stages: list[Any], field: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(listed_table() | {"stages": stages})
    assert raised.value.field == f"protocol p.toml: {field}"


def test_a_prediction_is_of_a_stage_that_there_is() -> None:
    table = listed_table()
    table["predictions"][0]["stage"] = 6
    parse(table)
    table["predictions"][0]["stage"] = 7
    with pytest.raises(InputError, match=r"predictions\[0\]\.stage: 7"):
        parse(table)


def test_equivalence_is_what_the_two_tests_say() -> None:
    """The stage passes exactly where both one-sided tests reject."""
    stages = parse(listed_table()).stages
    decided = set()
    for second in range(33):
        counts = {10000: (16, 32), 20000: (second, 32), 40000: (16, 32)}
        receipt = judge(stages, counts, CALM)[3]
        found = equivalence((16, 32), (second, 32), 0.25, 0.05)
        assert receipt.figures["difference"] == found.difference
        assert [receipt.figures[f"interval_{end}"] for end in ("low", "high")] == [*found.interval]
        if receipt.passed is not None:  # the seed shift passed
            assert receipt.passed == found.equivalent
            assert bool(receipt.reasons) != receipt.passed
            decided.add(receipt.passed)
    assert decided == {True, False}


def test_a_failed_equivalence_says_which_end_is_outside() -> None:
    table = listed_table()
    table["stages"] = [table["stages"][0], table["stages"][3]]
    stages = parse(table | {"predictions": []}).stages
    few = judge(stages, {10000: (16, 32), 20000: (8, 32)}, {})[1]
    assert [reason.split()[::2] for reason in few.reasons] == [["interval_low", "<="]]
    many = judge(stages, {10000: (16, 32), 20000: (24, 32)}, {})[1]
    assert [reason.split()[::2] for reason in many.reasons] == [["interval_high", ">="]]
    none = judge(stages, {10000: (16, 32)}, {})[1]
    assert none.reasons == ["no evaluation on the seeds from 20000"]


def test_a_diverged_run_fails_the_first_stage_whatever_it_is() -> None:
    table = listed_table()
    table["stages"] = table["stages"][1::-1]
    stages = parse(table | {"predictions": []}).stages
    receipts = judge(stages, {10000: (32, 32)}, CALM, diverged="policy_loss at update 7")
    assert receipts[0].reasons == ["diverged: policy_loss at update 7"]
    assert [receipt.passed for receipt in receipts] == [False, None]


def test_a_record_with_other_stages_than_its_protocols_is_refused(tmp_path: Path) -> None:
    record = json.loads((STORED / "ladder.json").read_text())
    for candidate in record["candidates"]:
        for run in (candidate, *candidate.get("other_seeds", [])):
            run["stages"] = run["stages"][:2]
    path = tmp_path / "ladder.json"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"candidates\[\d\]\.stages: \[1, 2\].*\[1, 2, 3\]"):
        read_ladder(path)
