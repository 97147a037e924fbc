"""Reading a run's files as they are: cells of text and plain JSON, nothing filled in.

Apart from `store.tables`, which is lenient where a run is still being written.
"""

import csv
import math
from pathlib import Path
from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_bounded, read_json

TABLE_LIMIT = 2**28
POLICY_LIMIT = 2**30
"""Bytes that are read at most."""


class UnreadableError(Exception):
    """A file that is missing or broken: where, and what is wrong with it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path.name}: {what}")
        self.where, self.what = path.name, what


def json_of(path: Path, limit: int = TABLE_LIMIT) -> Any:
    """Return a JSON file's content.

    Raises:
        UnreadableError: it is missing or broken.
    """
    try:
        return read_json(path, limit=limit)
    except (InputError, OSError) as error:
        raise UnreadableError(path, _why(error)) from None


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows, every line whole.

    Raises:
        UnreadableError: it is missing or broken, or its last line has no end.
    """
    try:
        text = read_bounded(path, TABLE_LIMIT).decode()
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise UnreadableError(path, _why(error)) from None
    if not text.endswith("\n"):
        raise UnreadableError(path, "its last line is cut")
    header, *lines = list(csv.reader(text.splitlines()))
    if len(set(header)) != len(header):
        raise UnreadableError(path, "two columns have the same name")
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise UnreadableError(path, f"line {number} has {len(cells)} of {len(header)} cells")
    return [dict(zip(header, cells, strict=True)) for cells in lines]


def numbers_of(
    path: Path, rows: list[dict[str, str]], column: str, may_lack: bool = False
) -> list[float]:
    """Return a column as finite numbers, whole ones as int; an empty cell, if it may be, as NaN.

    Raises:
        UnreadableError: the column is missing, or a cell of it is no such number.
    """
    numbers: list[float] = []
    for number, row in enumerate(rows, start=2):
        cell = row.get(column)
        try:
            value = float(cell or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value) and not (may_lack and cell == ""):
            raise UnreadableError(path, f"line {number}, {column}: {cell!r} is no finite number")
        whole = cell is not None and cell.lstrip("-").isdecimal()
        numbers.append(int(cell or "") if whole else value)
    return numbers


def _why(error: Exception) -> str:
    if isinstance(error, InputError):
        return f"{error.value}; {error.allowed}"
    return str(error)
