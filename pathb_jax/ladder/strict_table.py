"""Dataclasses built strictly from TOML tables: nothing missing, nothing unknown, all in range.

A field's annotation says what is allowed: another dataclass, a tuple of any length (an array), a
type with limits (`Annotated[int, Range(1, 10)]`), or the last "or None" for a field that may be
absent.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pathb_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Range:
    """From `low` to `high`; the ends belong to it unless `above` or `below`."""

    low: float
    high: float
    above: bool = False
    below: bool = False


@dataclasses.dataclass(frozen=True)
class OneLine:
    """One line of text: one of `choices`, or like `pattern`."""

    pattern: str = r"\S.*"
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SomeOf:
    """A table of some of the numbers of `fields_of`, a dataclass, in the limits it gives them."""

    fields_of: type


def _at(where: str, name: str) -> str:
    return where + name if where.endswith(" ") else f"{where}.{name}"


def read_table(cls: type, table: object, where: str) -> Any:
    """Build the dataclass `cls` from a TOML table; `where` names the table in messages.

    Raises:
        InputError: a field is missing, unknown, ill-typed or out of range; the message names it.
    """
    if not isinstance(table, dict):
        raise InputError(where, _shown(table), "a table is required")
    kinds = typing.get_type_hints(cls, include_extras=True)
    _check_known(table, list(kinds), where)
    values = {}
    for field in dataclasses.fields(cls):
        at = _at(where, field.name)
        if field.name in table:
            values[field.name] = read_value(table[field.name], kinds[field.name], at)
        elif field.default is dataclasses.MISSING:
            raise InputError(at, "(missing)", "the field is required")
    return cls(**values)


def _check_known(table: dict[str, Any], known: Sequence[str], where: str) -> None:
    for name, value in table.items():
        if name not in known:
            allowed = f"there is no such field; known are {', '.join(known)}"
            raise InputError(_at(where, name), _shown(value), allowed)


def read_value(value: Any, kind: Any, where: str) -> Any:
    """Return `value` as the annotation `kind` wants it; InputError as `read_table`."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # "or None" stands for an absent field
        return read_value(value, parts[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(where, _shown(value), "an array is required")
        return tuple(read_value(item, parts[0], f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(kind):
        return read_table(typing.cast(type, kind), value, where)
    base, limits = parts
    if isinstance(limits, SomeOf):
        return _some_of(value, limits, where)
    return _text(value, limits, where) if base is str else _number(value, base, limits, where)


def _some_of(value: Any, limits: SomeOf, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(where, _shown(value), "a table is required")
    kinds = typing.get_type_hints(limits.fields_of, include_extras=True)
    _check_known(value, list(kinds), where)
    return {name: read_value(value[name], kinds[name], _at(where, name)) for name in value}


def _text(value: Any, limits: OneLine, where: str) -> str:
    if limits.choices:
        if value not in limits.choices:
            raise InputError(where, _shown(value), f"choose one of {', '.join(limits.choices)}")
        return str(value)
    if not isinstance(value, str) or len(value) > 1000 or not re.fullmatch(limits.pattern, value):
        allowed = f"give text like {limits.pattern}"
        if limits == OneLine():
            allowed = "give one line of text, of at most 1000 characters"
        raise InputError(where, _shown(value), allowed)
    return value


def _number(value: Any, base: type, limits: Range, where: str) -> Any:
    right_type = isinstance(value, int if base is int else int | float)
    inside = right_type and not isinstance(value, bool) and limits.low <= value <= limits.high
    at_end = (limits.above and value == limits.low) or (limits.below and value == limits.high)
    if not inside or at_end:  # nan is not inside
        low = f"{'>' if limits.above else '>='} {limits.low:.10g}"
        high = f"{'<' if limits.below else '<='} {limits.high:.10g}"
        kind = "a whole number" if base is int else "a number"
        raise InputError(where, _shown(value), f"give {kind} {low} and {high}")
    return base(value)


def _shown(value: object) -> object:
    """Return what a message may show of `value`: itself, or the start of something long."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "(a number of more than 30 digits)"
    try:
        text = str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits inside; nested too deep
        return f"(a large {type(value).__name__})"
    return value if len(text) <= 60 else text[:60] + "..."
