"""The record of a ladder, ladder.json: reading, checking and writing.

A record is the plain JSON object, typed by record_schema.py; keys that this version does not know
are kept. It is written whole or not at all.
"""

import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.store.record_schema import LadderRecord, SetSummary

LARGEST = {int: 2**53, float: 1e100}
"""Figures beyond these are none of a run; sums and shares of them could not be told."""


def write_record(path: Path, record: LadderRecord) -> None:
    """Write the record whole or not at all. A figure that is not finite is written as null.

    Raises:
        InputError: the record does not have the keys and types of `LadderRecord`.
        OSError: it cannot be written; the file that was there is unchanged.
    """
    plain = _plain(record)
    _check(plain, LadderRecord, f"{path.name}: ")
    write_json(path, plain)


def read_record(path: Path) -> LadderRecord:
    """Read and check a record.

    Raises:
        InputError: there is none, or it is broken; the message names the key.
    """
    try:
        record = read_json(path)
    except OSError as error:
        raise InputError(str(path), error.strerror, "give a record that can be read") from None
    _check(record, LadderRecord, f"{path.name}: ")
    _check_counts(record, f"{path.name}: ")
    _check_training_seeds(record, f"{path.name}: ")
    return typing.cast(LadderRecord, record)


def _check_training_seeds(record: LadderRecord, root: str) -> None:
    """What other training seeds say has an interval per stage, and a verdict per seed."""
    told = record.get("training_seeds")
    if told is None:
        return
    where = f"{root}training_seeds"
    _require(bool(told["verdicts"]), f"{where}.verdicts", {}, "a verdict per seed")
    _require(bool(told["seeds"]), f"{where}.seeds", [], "the seeds, the one that votes first")
    for index, passes in enumerate(told["passes"]):
        ends = passes["interval"]
        _require(len(ends) == 2, f"{where}.passes[{index}].interval", ends, "two numbers")


def _check_counts(record: LadderRecord, root: str) -> None:
    """A set of k successes of n seeds has 0 <= k <= n and n >= 1: intervals rest on it."""
    runs: list[tuple[str, Mapping[str, SetSummary]]] = [
        (f"{root}candidates[{index}].summaries", candidate.get("summaries", {}))
        for index, candidate in enumerate(record["candidates"])
    ]
    runs += [
        (f"{root}batch[{index}].summaries", run.get("summaries", {}))
        for index, run in enumerate(record["batch"])
    ]
    for where, summaries in runs:
        for start, summary in summaries.items():
            count, seeds = summary["success_count"], summary["seeds"]
            found = f"{count} of {seeds}"
            _require(0 <= count <= seeds and seeds > 0, f"{where}.{start}", found, "a count")


def _plain(value: Any) -> Any:
    """Return `value` as JSON types: NumPy scalars unwrapped, non-finite numbers as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(value: Any, kind: Any, where: str) -> None:
    """Compare a JSON value with an annotation; raise `InputError` where they differ."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return
    if typing.is_typeddict(kind):
        _check_object(value, kind, where)
    elif origin is list:
        _require(isinstance(value, list), where, value, "an array")
        for index, item in enumerate(value):
            _check(item, parts[0], f"{where}[{index}]")
    elif origin is dict:
        _require(isinstance(value, dict), where, value, "an object")
        for key, item in value.items():
            _check(item, parts[1], _at(where, key))
    elif origin is Literal:
        _require(isinstance(value, str) and value in parts, where, value, f"one of {list(parts)}")
    elif origin is types.UnionType:
        if value is not None:
            _check(value, parts[0], where)
    else:
        accepted = (int, float) if kind is float else (kind,)
        is_bool = isinstance(value, bool) and kind is not bool
        _require(isinstance(value, accepted) and not is_bool, where, value, f"a {kind.__name__}")
        if kind in LARGEST:
            limit = LARGEST[kind]
            _require(abs(value) <= limit, where, value, f"at most {limit:.10g} in size")


def _check_object(value: Any, kind: Any, where: str) -> None:
    _require(isinstance(value, dict), where, value, "an object")
    for key, inner in typing.get_type_hints(kind).items():
        if key in value:
            _check(value[key], inner, _at(where, key))
        else:
            _require(key not in kind.__required_keys__, _at(where, key), "(missing)", "there")


def _require(condition: bool, where: str, value: object, what: str) -> None:
    if not condition:
        shown = value if len(repr(value)) <= 60 else repr(value)[:60] + "..."
        raise InputError(where.removesuffix(": "), shown, f"it must be {what}")


def _at(where: str, key: str) -> str:
    return where + key if where.endswith(": ") else f"{where}.{key}"
