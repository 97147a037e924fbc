"""The table of a study's finished runs: typed, checked, and safe to share between processes."""

import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from filelock import FileLock, Timeout
from pydantic import AfterValidator, ConfigDict, model_validator

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import read_bounded
from pathb_jax.store.models import Model, parse

READ_LIMIT = 64 * 2**20
"""Bytes of a table that are read: a row has some 200."""

LOCK_SECONDS = 60.0
"""How long to wait for another process, which needs milliseconds."""


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 1000:
        raise ValueError("it has to be one line of text")
    return text


Text = Annotated[str, AfterValidator(_one_line)]
"""One line of text, not empty."""


class StudyRow(Model):
    """A finished run: its fields are the table's columns, read from texts of which "" is None."""

    model_config = ConfigDict(strict=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, cells: dict[str, Any]) -> dict[str, Any]:
        return {name: None if cell == "" else cell for name, cell in cells.items()}


Row = TypeVar("Row", bound=StudyRow)


@dataclasses.dataclass(frozen=True)
class StudyTable(Generic[Row]):
    """A CSV file of rows, one per run, in the order of their keys.

    It is always written whole, so whatever is wrong with it was done to it since: nothing is
    passed over in silence, not even a last line without its end, which may have lost digits.
    """

    path: Path
    row: type[Row]
    key: tuple[str, ...]
    """Columns that say which run a row is: there is one row of each."""
    incidental: tuple[str, ...]
    """Columns in which two rows of the same run may differ: speed, and what trained it."""
    shared: tuple[str, ...] = ()
    """Columns that are the same in all rows."""

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
        writer = csv.DictWriter(stream, self.row.model_fields, lineterminator="\n")
        writer.writeheader()
        # floats as their shortest exact text, None as nothing
        writer.writerows(row.model_dump() for row in rows)
        return stream.getvalue().encode()

    def _decoded(self, data: bytes) -> list[Row]:
        if data and not data.endswith(b"\n"):
            *whole, last = data.split(b"\n")
            shown = last[:200].decode(errors="replace")
            allowed = "the last line has no end, so part of it may be missing; mend or remove it"
            raise InputError(f"{self.path}, line {len(whole) + 1}", shown, allowed)
        try:
            reader = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
            (_, header), *lines = [(reader.line_num, cells) for cells in reader] or [(1, [])]
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(str(self.path), str(error)[:200], "it has to be a CSV table") from None
        if sorted(header) != sorted(self.row.model_fields):
            allowed = f"its columns have to be {','.join(self.row.model_fields)}"
            raise InputError(str(self.path), ",".join(header)[:200], allowed)
        rows: dict[tuple[Any, ...], Row] = {}
        for number, cells in lines:
            where = f"{self.path}, line {number}"
            if len(cells) != len(header):
                allowed = f"every line needs {len(header)} cells, as the first has"
                raise InputError(where, len(cells), allowed)
            row = parse(self.row, dict(zip(header, cells, strict=True)), f"{where}: ")
            self._merge(rows, row, where)
        return [rows[key] for key in sorted(rows)]

    def _merge(self, rows: dict[tuple[Any, ...], Row], row: Row, where: str) -> None:
        """Put a row among those of the earlier lines."""
        first = next(iter(rows.values()), row)
        _agree(first, row, self.shared, where, "of the same study")
        same_run = rows.setdefault(tuple(getattr(row, name) for name in self.key), row)
        names = [name for name in self.row.model_fields if name not in self.incidental]
        which = ", ".join(f"{name} {getattr(row, name)}" for name in self.key)
        _agree(same_run, row, names, where, f"with {which}")


def _agree(earlier: StudyRow, row: StudyRow, names: Iterable[str], where: str, which: str) -> None:
    for name in names:
        if (before := getattr(earlier, name)) != (value := getattr(row, name)):
            allowed = f"an earlier line {which} says {before!r}"
            raise InputError(f"{where}: {name}", value, allowed)
