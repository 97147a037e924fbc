"""ladder.json: keys, round trip, refusal of broken records, writing whole or not at all."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_records import new_batch_run, new_candidate, new_record, new_summary

from pathb_jax.errors import InputError
from pathb_jax.store.models import parse, to_json
from pathb_jax.store.record import read_record, write_record
from pathb_jax.store.record_schema import (
    BackendRecord,
    LadderRecord,
    PlanRecord,
    ProtocolRecord,
    SeedOverlap,
)
from pathb_jax.store.run_records import StageRecord

STORED = Path(__file__).parents[1] / "stored"
FIXED_KEYS = [
    *("format", "protocol", "standing", "canonical", "deviations", "backend", "seed_overlap"),
    *("candidates", "verdict", "adopted", "predictions", "batch", "compute"),
]
CANDIDATE_KEYS = [
    *("order", "tag", "hparams", "status", "run_dir", "stages", "failure_mode"),
    *("env_steps", "wall_seconds", "env_steps_per_second"),
]


def stages(*passed: bool | None) -> list[StageRecord]:
    names = ("success_floor", "training_dynamics", "seed_shift")
    reasons: dict[bool | None, list[str]] = {
        True: [],
        False: ["0.219 < 0.40"],
        None: ["not judged: success_floor failed"],
    }
    figures: dict[str, float | None] = {"success_rate": 0.219, "threshold": 0.40}
    return [
        StageRecord(stage=k, name=name, passed=p, figures=figures, reasons=reasons[p])
        for k, (name, p) in enumerate(zip(names, passed, strict=True), start=1)
    ]


def a_record() -> LadderRecord:
    """An exploratory ladder of three candidates that adopted the second."""
    tags = {"lr1e4": {"lr": 1e-4}, "vc0_25": {"value_coef": 0.25}, "clip0_1": {"clip_range": 0.1}}
    record: LadderRecord = new_record(
        protocol=ProtocolRecord(name="path_b", sha256="0" * 64, file="path_b.toml"),
        standing="exploratory",
        deviations=["tier: Large -> Small"],
        backend=BackendRecord(
            platform="cpu", device_kind="cpu", device_count=1, versions={"jax": "0.10.2"}
        ),
        seed_overlap=SeedOverlap.of(20000, 64, [10000, 20000, 30000], 32),
        candidates=[
            new_candidate(order, tag, change, f"mixed_0_90_pathb_{tag}", f"slug_{tag}")
            for order, (tag, change) in enumerate(tags.items(), start=1)
        ],
        predictions=["GG1", "GG2", "GG3"],
        planned_hours=None,
        plan=PlanRecord(tier="Small", updates=122, seed=0, env_steps=999424),
        command="python scripts/ladder.py --tier Small --updates 122",
    )
    first, second, _ = record.candidates
    first.summaries = {"10000": new_summary(7, (0.093, 0.4))}
    first.stages, first.status = stages(False, None, None), "rejected"
    second.stages, second.status = stages(True, True, True), "adopted"
    record.verdict, record.adopted = "adopted", "vc0_25"
    record.batch = [new_batch_run("mixed_0_95_pathb_vc0_25", "mixed_x", 0.95, "slug")]
    return record


def test_keys_as_the_ladder_page_fixes_them(tmp_path: Path) -> None:
    write_record(tmp_path / "ladder.json", a_record())
    content = json.loads((tmp_path / "ladder.json").read_text())
    assert list(content)[: len(FIXED_KEYS)] == FIXED_KEYS
    assert list(content["candidates"][0])[: len(CANDIDATE_KEYS)] == CANDIDATE_KEYS
    assert list(content["batch"][0])[:3] == ["label", "success_rate", "mean_terminal_alignment"]
    assert content["format"] == "pathb-ladder-v1"
    assert content["canonical"] is False
    assert (content["verdict"], content["adopted"]) == ("adopted", "vc0_25")
    assert content["predictions"] == {"GG1": "untested", "GG2": "untested", "GG3": "untested"}
    assert content["compute"] == {"planned_hours": None, "used_hours": 0.0}


def test_seed_overlap() -> None:
    assert to_json(SeedOverlap.of(20000, 64, [10000, 20000, 30000], 32)) == {
        "training": [20000, 20063],
        "sets": {"10000": 0, "20000": 32, "30000": 0},
    }
    shared = SeedOverlap.of(100, 10, [90, 95, 100, 108, 109, 110], 10).sets
    assert list(shared.values()) == [0, 5, 10, 2, 1, 0]


def test_round_trip_keeps_unknown_keys_and_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ladder.json"
    plain = to_json(a_record()) | {"later": {"b": [1, None], "a": "ä"}}
    record = parse(LadderRecord, plain, "")
    write_record(path, record)
    first = path.read_bytes()
    assert read_record(path) == record
    write_record(path, read_record(path))
    assert path.read_bytes() == first


def test_figures_that_are_not_finite_become_null(tmp_path: Path) -> None:
    path = tmp_path / "ladder.json"
    record: Any = a_record()
    record.candidates[0].stages[0].figures = {
        "nan": math.nan,
        "inf": np.float32("inf"),
        "numpy": np.float32(0.5),
        "count": np.int64(3),
    }
    write_record(path, record)
    figures = read_record(path).candidates[0].stages[0].figures
    assert figures == {"nan": None, "inf": None, "numpy": 0.5, "count": 3}


def test_a_failed_write_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ladder.json"
    write_record(path, a_record())
    before = path.read_bytes()
    changed = a_record()
    changed.verdict = "rejected"

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    # a full disk while writing, and a crash between the write and the rename
    for owner, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, no_space)
            with pytest.raises(OSError, match="No space"):
                write_record(path, changed)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_an_ill_typed_record_is_not_written(tmp_path: Path) -> None:
    record: Any = a_record()
    record.verdict = "maybe"
    with pytest.raises(InputError, match=r"ladder\.json: verdict"):
        write_record(tmp_path / "ladder.json", record)
    assert not list(tmp_path.iterdir())


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inside = [(key, item) for key, item in items]
    deeper = [
        p for k, item in inside if isinstance(item, dict | list) for p in paths(item, (*at, k))
    ]
    return [*((*at, key) for key, _ in inside), *deeper]


@pytest.mark.parametrize("path", paths(to_json(a_record())), ids=str)
def test_broken_records_name_the_key(path: tuple[Any, ...], tmp_path: Path) -> None:
    record: Any = to_json(a_record())
    holder = record
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = {"x": [1]} if not isinstance(holder[path[-1]], dict) else 7
    file = tmp_path / "ladder.json"
    file.write_text(json.dumps(record))
    with pytest.raises(InputError) as raised:
        read_record(file)
    last_name = [str(step) for step in path if isinstance(step, str)][-1]
    assert raised.value.field.startswith("ladder.json: ")
    assert last_name in raised.value.field


@pytest.mark.parametrize("key", [*FIXED_KEYS, *(("candidates", 0, key) for key in CANDIDATE_KEYS)])
def test_missing_keys_are_named(key: Any, tmp_path: Path) -> None:
    record: Any = to_json(a_record())
    *way, last = [key] if isinstance(key, str) else key
    holder = record
    for step in way:
        holder = holder[step]
    del holder[last]
    file = tmp_path / "ladder.json"
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=last):
        read_record(file)


@pytest.mark.parametrize("count", [(-1, 32), (33, 32), (0, 0)])
def test_a_count_that_is_none(count: tuple[int, int], tmp_path: Path) -> None:
    record = a_record()
    summary = record.candidates[0].summaries["10000"]
    summary.success_count, summary.seeds = count
    write_record(tmp_path / "ladder.json", record)
    with pytest.raises(InputError, match=r"candidates\[0\]\.summaries\.10000"):
        read_record(tmp_path / "ladder.json")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b"nan", b"NaN", b"\xff", b"[" * 100_000, b'{"format": NaN}', b"9" * 9999],
)
def test_not_a_record(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "ladder.json").write_bytes(data)
    for path in (tmp_path / "ladder.json", tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError):
            read_record(path)


EDITS: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "nobody is adopted": (("adopted",), "nobody", "adopted: 'nobody'"),
    "another is adopted": (("adopted",), "lr1e4", "adopted: 'lr1e4'"),
    "none is adopted": (("adopted",), None, "adopted: None"),
    "adopted though rejected": (("verdict",), "rejected", "adopted: 'vc0_25'"),
    "adopted though incomplete": (("verdict",), "incomplete", "adopted: 'vc0_25'"),
    "canonical with departures": (("standing",), "canonical", "standing: 'canonical'"),
    "no departure and exploratory": (("deviations",), [], "standing: 'exploratory'"),
    "canonical though exploratory": (("canonical",), True, "canonical: True"),
    "no candidates": (("candidates",), [], r"candidates: \[\]"),
    "an order twice": (("candidates", 1, "order"), 1, r"candidates\[1\]\.order: 1"),
    "a tag twice": (("candidates", 2, "tag"), "lr1e4", r"candidates\[2\]\.tag: 'lr1e4'"),
    "a folder twice": (
        ("candidates", 1, "run_dir"),
        "mixed_0_90_pathb_lr1e4",
        r"candidates\[1\]\.run_dir: 'mixed_0_90_pathb_lr1e4'",
    ),
    "a folder elsewhere": (("batch", 0, "run_dir"), "../x", r"batch\[0\]\.run_dir: '../x'"),
    "rejected though passed": (
        ("candidates", 1, "status"),
        "rejected",
        r"candidates\[1\]\.status: 'rejected'",
    ),
    "adopted though failed": (
        ("candidates", 0, "status"),
        "adopted",
        r"candidates\[0\]\.status: 'adopted'",
    ),
    "diverged without a reason": (
        ("candidates", 0, "status"),
        "diverged",
        r"candidates\[0\]\.status: 'diverged'",
    ),
    "judged and not run": (
        ("candidates", 0, "status"),
        "not_run",
        r"candidates\[0\]\.status: 'not_run'",
    ),
    "informative without stages": (
        ("candidates", 2, "status"),
        "informative",
        r"candidates\[2\]\.status: 'informative'",
    ),
    "a stage after a failure": (
        ("candidates", 0, "stages", 1, "passed"),
        True,
        r"candidates\[0\]\.stages\[1\]\.passed: True",
    ),
    "a stage left out": (
        ("candidates", 0, "stages", 0, "stage"),
        2,
        r"candidates\[0\]\.stages: \[2, 2, 3\]",
    ),
    "passed with a reason": (
        ("candidates", 1, "stages", 0, "reasons"),
        ["x"],
        r"candidates\[1\]\.stages\[0\]\.reasons",
    ),
    "another rate than the count's": (
        ("candidates", 0, "summaries", "10000", "success_rate"),
        0.5,
        r"summaries\.10000\.success_rate: 0\.5",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_record_that_contradicts_itself_is_refused(edit: str, tmp_path: Path) -> None:
    path, value, said = EDITS[edit]
    record: Any = to_json(a_record())
    holder = record
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    file = tmp_path / "ladder.json"
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"^ladder\.json: ") as raised:
        read_record(file)
    assert re.search(said, str(raised.value)), raised.value
    assert "\n" not in str(raised.value)


def test_a_record_that_does_not_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / "ladder.json", a_record())
    assert read_record(tmp_path / "ladder.json") == a_record()
    parts = {name: getattr(a_record(), name) for name in ("protocol", "backend", "seed_overlap")}
    fresh = new_record(
        **parts,
        standing="registered",
        deviations=[],
        candidates=[new_candidate(1, "lr1e4", {"lr": 1e-4}, "run", "slug")],
        predictions=["GG1"],
        planned_hours=None,
    )
    write_record(tmp_path / "ladder.json", fresh)
    assert read_record(tmp_path / "ladder.json") == fresh


def test_a_stored_record_is_read_and_written_again_as_it_was(tmp_path: Path) -> None:
    """The record of a small ladder, as the program wrote it before records were models."""
    record = read_record(STORED / "ladder.json")
    write_record(tmp_path / "ladder.json", record)
    written, stored = ((f / "ladder.json").read_text() for f in (tmp_path, STORED))
    assert json.loads(written) == json.loads(stored)
    assert sorted(written.splitlines()) == sorted(stored.splitlines())  # 3 is not 3.0
    assert (record.verdict, record.adopted) == ("adopted", "vc0_25")
    assert [run.status for _, run in record.runs] == [
        *("diverged", "diverged", "adopted", "finished", "finished")
    ]


def test_whatever_is_missing_the_rest_is_written_again() -> None:
    """A key that may be absent stays absent, a key that may not is named."""
    text = (STORED / "ladder.json").read_text()
    read = 0
    for path in paths(json.loads(text)):
        raw = json.loads(text)
        holder = raw
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
        try:
            record = parse(LadderRecord, raw, "")
        except InputError as error:
            absent = error.value == "(missing)"
            assert absent or "at least" in error.allowed  # noqa: PT017
        else:
            assert to_json(record) == raw
            read += 1
    assert read > 100
