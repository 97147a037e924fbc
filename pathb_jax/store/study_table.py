"""The table of a study's finished runs: typed, checked, and safe to share between processes.

A row is a NamedTuple; its annotations say what a cell may hold: `str`, `int`, `float`, each with
`| None` where a cell may be empty, and `Annotated[int, Within(0, 1)]` for limits.
"""

import csv
import dataclasses
import io
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import read_bounded

READ_LIMIT = 64 * 2**20
"""Bytes of a table that are read: a row has some 200."""

LOCK_SECONDS = 60.0
"""How long to wait for another process, which needs milliseconds."""

Row = TypeVar("Row", bound=tuple)

_INTEGER = re.compile(r"-?[0-9]+(\.0)?")  # figures that are counts were once written as 4.0
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


@dataclasses.dataclass(frozen=True)
class Within:
    """Limits of a figure, both of which it may take."""

    low: float
    high: float = 2**53


@dataclasses.dataclass(frozen=True)
class StudyTable(Generic[Row]):
    """A CSV file of rows, one per run, in the order of their keys.

    It is always written whole, so whatever is wrong with it was done to it since: nothing is
    passed over in silence, not even a last line without its end, which may have lost digits.
    """

    path: Path
    row: type[Row]
    """The NamedTuple; its fields are the columns."""
    key: tuple[str, ...]
    """Columns that say which run a row is: there is one row of each."""
    incidental: tuple[str, ...]
    """Columns in which two rows of the same run may differ: speed, and what trained it."""
    shared: tuple[str, ...] = ()
    """Columns that are the same in all rows."""
    fault: Callable[[Row], str] = lambda row: ""
    """Says what is wrong with a row whose cells are right one by one; empty if nothing is."""

    def read(self) -> list[Row]:
        """Return the rows; none if there is no file. Of equal rows of a run the first is kept.

        Raises:
            InputError: naming the line and what is wrong with it.
        """
        if not self.path.exists():
            return []
        return self._decoded(read_bounded(self.path, READ_LIMIT))

    def add(self, row: Row) -> list[Row]:
        """Add a row to those in the file by now, which it returns; other processes may add too.

        Raises:
            InputError: as `read`, or the row contradicts one that is there; the file is left as it
                was.
            OSError: as `write_atomically`, likewise.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            allowed = f"another process has been writing to it for {LOCK_SECONDS:.0f} s"
            raise InputError(str(self.path), "in use", allowed) from None
        try:
            # What could not be read back is not written.
            rows = self._decoded(self._encoded([*self.read(), row]))
            write_atomically(self.path, self._encoded(rows))
            return rows
        finally:
            lock.release()

    def _encoded(self, rows: Iterable[Row]) -> bytes:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.row._fields)  # type: ignore[attr-defined]
        writer.writerows(rows)  # floats as their shortest exact text, None as nothing
        return stream.getvalue().encode()

    def _decoded(self, data: bytes) -> list[Row]:
        lines = self._lines(data)
        kinds = typing.get_type_hints(self.row, include_extras=True)
        header = next(lines, (1, []))[1]
        if sorted(header) != sorted(kinds):
            allowed = f"its columns have to be {','.join(kinds)}"
            raise InputError(str(self.path), ",".join(header)[:200], allowed)
        rows: dict[tuple[Any, ...], Row] = {}
        for number, cells in lines:
            where = f"{self.path}, line {number}"
            if len(cells) != len(header):
                allowed = f"every line needs {len(header)} cells, as the first has"
                raise InputError(where, len(cells), allowed)
            named = dict(zip(header, cells, strict=True))
            row = self.row(**{n: _cell(named[n], k, f"{where}: {n}") for n, k in kinds.items()})
            if fault := self.fault(row):
                raise InputError(where, ",".join(cells)[:200], fault)
            self._merge(rows, row, where)
        return [rows[key] for key in sorted(rows)]

    def _lines(self, data: bytes) -> Iterator[tuple[int, list[str]]]:
        """Yield line numbers and cells of the lines."""
        if data and not data.endswith(b"\n"):
            *whole, last = data.split(b"\n")
            shown = last[:200].decode(errors="replace")
            allowed = "the last line has no end, so part of it may be missing; mend or remove it"
            raise InputError(f"{self.path}, line {len(whole) + 1}", shown, allowed)
        try:
            reader = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
            for cells in reader:
                yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(str(self.path), str(error)[:200], "it has to be a CSV table") from None

    def _merge(self, rows: dict[tuple[Any, ...], Row], row: Row, where: str) -> None:
        """Put a row among those of the earlier lines."""
        told = row._asdict()  # type: ignore[attr-defined]
        key = tuple(told[name] for name in self.key)
        first = next(iter(rows.values()), row)
        _agree(first, row, self.shared, where, "of the same study")
        same_run = rows.setdefault(key, row)
        names = [name for name in told if name not in self.incidental]
        which = ", ".join(f"{name} {told[name]}" for name in self.key)
        _agree(same_run, row, names, where, f"with {which}")


def _agree(earlier: Any, row: Any, names: Iterable[str], where: str, which: str) -> None:
    for name in names:
        if (said := getattr(earlier, name)) != (value := getattr(row, name)):
            allowed = f"an earlier line {which} says {said!r}"
            raise InputError(f"{where}: {name}", value, allowed)


def _cell(text: str, kind: Any, where: str) -> Any:
    """Return a cell's value.

    Raises:
        InputError: it is not of that kind.
    """
    limits = Within(-math.inf, math.inf)
    if typing.get_origin(kind) is typing.Annotated:
        kind, limits = typing.get_args(kind)
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in options and not text:
        return None
    base = options[0]
    if base is str:
        if not text.strip() or not text.isprintable() or len(text) > 1000:
            raise InputError(where, text[:200], "it has to be one line of text")
        return text
    pattern, name = (_INTEGER, "a whole number") if base is int else (_NUMBER, "a number")
    value = math.nan
    if len(text) < 40 and pattern.fullmatch(text):
        value = int(text.removesuffix(".0")) if base is int else float(text)
    if not (math.isfinite(value) and limits.low <= value <= limits.high):
        between = f" from {limits.low:g} to {limits.high:g}" if math.isfinite(limits.low) else ""
        raise InputError(where, text[:200], f"it has to be {name}{between}")
    return value
