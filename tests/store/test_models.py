"""Models of files: strict, and errors in one line that names field, value and what is allowed."""

import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field, model_validator

from pathb_jax.errors import InputError
from pathb_jax.store.models import Array, Items, Model, Number, parse, to_json


class Change(Model):
    lr: Annotated[float, Field(gt=0, le=10)] | None = None
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None


class Candidate(Model):
    tag: Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]
    change: Change
    kind: Literal["first", "second"] = "first"
    figures: dict[str, Number | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_both(self) -> "Candidate":
        if self.tag == "both":
            raise InputError("change", dict(self.change), "choose one")
        return self


class Plan(Model):
    model_config = ConfigDict(frozen=True)
    name: Annotated[str, Field(max_length=1000, description="give one line")]
    candidates: Array[Candidate]
    hours: Annotated[Items[float], Field(min_length=2, max_length=3)] = Field(default_factory=list)
    on: bool = False
    member: Change | int | None = None


class Kept(Model):
    model_config = ConfigDict(extra="allow")
    count: int
    rate: Number = 0.0
    late: str | None = None


def plan(**changes: Any) -> dict[str, Any]:
    candidate = {"tag": "lr1", "change": {"lr": 0.5}}
    table = {"name": "mine", "candidates": [candidate | changes.pop("candidate", {})]}
    return {key: value for key, value in {**table, **changes}.items() if value is not ...}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


LR = "give a number > 0 and <= 10"
LINES = [
    (plan(candidate={"change": {"lr": 0}}), f"candidates[0].change.lr: 0 is not allowed; {LR}"),
    (
        plan(candidate={"change": {"lr": True}}),
        f"candidates[0].change.lr: True is not allowed; {LR}",
    ),
    (plan(candidate={"change": {"lr": "1"}}), f"candidates[0].change.lr: '1' is not allowed; {LR}"),
    (
        plan(candidate={"change": {"lr": float("nan")}}),
        f"candidates[0].change.lr: nan is not allowed; {LR}",
    ),
    (
        plan(candidate={"change": {"lr": 1e400}}),
        f"candidates[0].change.lr: inf is not allowed; {LR}",
    ),
    (
        plan(candidate={"change": {"lr": 10**6000}}),
        f"candidates[0].change.lr: '(a number of more than 30 digits)' is not allowed; {LR}",
    ),
    (
        plan(candidate={"change": {"epochs": 2**24000}}),
        "candidates[0].change.epochs: '(a number of more than 30 digits)' is not allowed; "
        "give a whole number >= 1 and <= 1000",
    ),
    (
        plan(candidate={"change": {"epochs": 1.0}}),
        "candidates[0].change.epochs: 1.0 is not allowed; give a whole number >= 1 and <= 1000",
    ),
    (
        plan(candidate={"change": [0]}),
        "candidates[0].change: [0] is not allowed; a table is required",
    ),
    (
        plan(candidate={"change": {"momentum": 1}}),
        "candidates[0].change.momentum: 1 is not allowed; there is no such field; "
        "known are lr, epochs",
    ),
    (
        plan(candidate={"tag": "x" * 100}),
        f"candidates[0].tag: '{'x' * 60}...' is not allowed; give text like [a-z0-9]{{1,64}}",
    ),
    (
        plan(candidate={"kind": "third"}),
        "candidates[0].kind: 'third' is not allowed; choose one of first, second",
    ),
    (
        plan(candidate={"figures": {"a": "x"}}),
        "candidates[0].figures.a: 'x' is not allowed; give a number",
    ),
    (
        plan(candidate={"tag": "both"}),
        "candidates[0].change: {'lr': 0.5, 'epochs': None} is not allowed; choose one",
    ),
    (plan(candidates=7), "candidates: 7 is not allowed; a list is required"),
    (plan(candidates=...), "candidates: '(missing)' is not allowed; the field is required"),
    (plan(name=["a"]), "name: ['a'] is not allowed; give one line"),
    (plan(name=deep(50_000)), "name: '(a large list)' is not allowed; give one line"),
    (plan(hours=[1.0, None]), "hours[1]: None is not allowed; give a number"),
    (plan(hours=[1.0]), "hours: [1.0] is not allowed; give a list of at least 2 and at most 3"),
    (
        plan(hours=[1.0] * 4),
        "hours: [1.0, 1.0, 1.0, 1.0] is not allowed; give a list of at least 2 and at most 3",
    ),
    (plan(on=1), "on: 1 is not allowed; give true or false"),
    (plan(member={"lr": 11}), "member: 11 is not allowed; it must be less than or equal to 10"),
    # An unknown field says more than the missing one whose name it should have had.
    (
        plan(names="x", name=...),
        "names: 'x' is not allowed; there is no such field; known are "
        "name, candidates, hours, on, member",
    ),
]


@pytest.mark.parametrize(("raw", "line"), LINES, ids=[line[:60] for _, line in LINES])
def test_what_is_wrong_is_named_in_one_line(raw: Any, line: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(Plan, raw, "protocol mine.toml: ")
    assert str(raised.value) == f"protocol mine.toml: {line}"


def test_something_else_than_a_table() -> None:
    for raw in (7, None, [], "x" * 10**6):
        with pytest.raises(InputError, match=r"^ladder\.json: .* a table is required") as raised:
            parse(Plan, raw, "ladder.json: ")
        assert len(str(raised.value)) < 150


def test_a_million_wrong_values_are_no_million_messages() -> None:
    figures: dict[str, Any] = dict.fromkeys(map(str, range(10**5)), "x")
    for change in ({"candidate": {"figures": figures}}, {"hours": ["x"] * 10**6}):
        with pytest.raises(InputError, match=r"mine\.toml"):
            parse(Plan, plan(**change), "mine.toml: ")


def test_a_key_is_cut_and_shown_as_text() -> None:
    with pytest.raises(InputError, match=re.escape(r"\x1b" + "k" * 59)) as raised:
        parse(Plan, plan(**{"\x1b" + "k" * 10**5: 1}), "")
    assert len(str(raised.value)) < 200


def test_what_is_nested_too_deeply_is_not_written() -> None:
    kept = parse(Kept, {"count": 3, "later": deep(900)}, "")
    with pytest.raises(InputError, match="nested less deeply"):
        to_json(kept)


def test_what_was_read_is_written_again() -> None:
    for raw in (
        {"count": 3, "rate": 1, "later": {"b": [1, None], "a": "ä"}},
        {"count": 3, "late": None, "path": "/tmp/\udc80"},
    ):
        kept = parse(Kept, raw, "")
        assert to_json(kept) == raw
        assert type(to_json(kept).get("rate", 1)) is int
    kept.late = "now"
    assert to_json(kept)["late"] == "now"
    whole = parse(Plan, plan(), "")
    assert isinstance(whole.candidates, tuple)
    assert to_json(whole) == plan()
