"""CSV tables: appended chunk by chunk and repaired after a crash, or written whole."""

import contextlib
import csv
import io
import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import read_bounded

READ_LIMIT = 64 * 2**20
"""Bytes that ``read_table`` accepts: a history of 1 221 updates has a third of a MiB."""

COLUMN_LIMIT = 1000
"""Columns that ``read_table`` accepts: each costs pandas some 70 microseconds."""


@dataclass(frozen=True)
class Layout:
    """The columns of an appended table; the first is the update index.

    Args:
        columns: names, in order.
        integers: those of them that hold integers; the others hold floats.
        rising: each row's update has to exceed the one before (else it may repeat, never fall).
    """

    columns: tuple[str, ...]
    integers: frozenset[str]
    rising: bool


class AppendedTable:
    """A CSV file that grows by whole rows, and that a crash can only shorten.

    Opening an existing file drops what follows its last valid row: a line cut short by a crash, or
    blocks that a power cut left empty. ``dropped`` counts those lines. One writer is assumed.

    Raises:
        InputError: the file has other columns.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self._header = ",".join(layout.columns) + "\n"
        content = path.read_bytes() if path.exists() else b""
        header = self._header.encode()
        if not content.startswith(header) and not header.startswith(content):
            found = content.split(b"\n", 1)[0][:200].decode(errors="replace")
            raise InputError(str(path), found, f"its columns have to be {self._header.strip()}")
        lines = content[len(header) :].split(b"\n")
        self._rows = self._valid_prefix(lines[:-1])
        self.dropped = len(lines) - 1 - len(self._rows) + bool(lines[-1])
        if content != self._content(self._rows).encode():
            write_atomically(path, self._content(self._rows))

    @property
    def last_update(self) -> int:
        """The last row's update index; 0 when there are no rows."""
        return self._rows[-1][0] if self._rows else 0

    def append(self, rows: Mapping[str, ArrayLike]) -> None:
        """Append one row per element of the equally long columns, and force them to the disk.

        Raises:
            ValueError: a column is missing or unknown, a figure is not finite, or updates go back;
                nothing is written.
            OSError: the disk is full, or the file is gone; what was there before stays valid.
        """
        lines = self._format(rows)
        payload = "".join(line for _, line in lines).encode()
        with self.path.open(
            "r+b"
        ) as stream:  # not "ab": a deleted file must not come back headless
            before = stream.seek(0, os.SEEK_END)
            try:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                os.ftruncate(stream.fileno(), before)
                raise
        self._rows += lines

    def truncate_to(self, update: int) -> int:
        """Drop the rows after ``update`` (a resumed run writes them again), whole or not at all.

        Returns:
            The last update that is left, 0 for none: less than ``update`` when rows were lost.
        """
        kept = [row for row in self._rows if row[0] <= update]
        if len(kept) < len(self._rows):
            write_atomically(self.path, self._content(kept))
            self._rows = kept
        return self.last_update

    def _content(self, rows: list[tuple[int, str]]) -> str:
        return self._header + "".join(line for _, line in rows)

    def _format(self, columns: Mapping[str, ArrayLike]) -> list[tuple[int, str]]:
        layout = self.layout
        if set(columns) != set(layout.columns):
            wrong = ", ".join(sorted(set(columns) ^ set(layout.columns)))
            raise ValueError(f"missing or unknown columns for {self.path.name}: {wrong}")
        arrays = {}
        for name in layout.columns:
            values = np.asarray(columns[name])
            if values.ndim != 1:
                raise ValueError(f"column {name} has shape {values.shape}, expected one axis")
            if name in layout.integers and values.dtype.kind not in "iu":
                raise ValueError(f"column {name} has dtype {values.dtype}, expected integers")
            arrays[name] = values if name in layout.integers else values.astype(np.float64)
        if len({len(column) for column in arrays.values()}) != 1:
            raise ValueError("the columns differ in length")
        rows = _csv_text(arrays, header=False).splitlines(keepends=True)
        updates = arrays[layout.columns[0]].tolist()
        if not self._in_order([self.last_update, *updates]):
            raise ValueError(f"updates {updates} do not follow {self.last_update}")
        return list(zip(updates, rows, strict=True))

    def _in_order(self, updates: list[int]) -> bool:
        step = 1 if self.layout.rising else 0
        return all(after - before >= step for before, after in itertools.pairwise(updates))

    def _valid_prefix(self, lines: list[bytes]) -> list[tuple[int, str]]:
        """Return (update, line) of the rows before the first that ``append`` never wrote."""
        rows: list[tuple[int, str]] = []
        for line in lines:
            try:
                cells = line.decode("ascii").split(",")
                for name, cell in zip(self.layout.columns, cells, strict=True):
                    if name in self.layout.integers:
                        int(cell)
                    elif not math.isfinite(float(cell)):
                        raise ValueError(name)
            except ValueError:
                break
            update = int(cells[0])
            if not self._in_order([rows[-1][0] if rows else 0, update]):
                break
            rows.append((update, ",".join(cells) + "\n"))
        return rows


def write_table(path: Path, columns: Mapping[str, ArrayLike]) -> None:
    """Write a CSV file of equally long columns, whole or not at all.

    Raises:
        ValueError: the columns differ in length, or a figure is not finite; nothing is written.
        OSError: as ``write_atomically``.
    """
    write_atomically(path, _csv_text(columns, header=True))


def read_table(path: Path, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read a CSV file's complete lines: a last line without its end is still being written.

    Returns:
        Column -> int64 where every cell is an integer, float64 where every cell is a number (an
        empty cell is NaN), else strings.

    Raises:
        InputError: no such file, too large, not a CSV table, or a required column is missing.
    """
    import pandas as pd  # takes a second

    data = read_bounded(path, READ_LIMIT)
    text = data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace")
    stream = io.StringIO(text, newline="")
    try:
        width = len(next(csv.reader(stream), []))
        if width > COLUMN_LIMIT:
            raise ValueError(f"{width} columns")
        stream.seek(0)
        # As text, the header like the rows, and by pandas' Python engine: only so do cells that are
        # missing from a short line differ from empty ones.
        lines = pd.read_csv(
            stream,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            engine="python",
        )
    except (
        csv.Error,
        ValueError,
    ) as error:  # pandas' EmptyDataError and ParserError are the latter
        allowed = f"it has to be a CSV table of at most {COLUMN_LIMIT} columns"
        raise InputError(str(path), str(error)[:200], allowed) from None
    header = [] if lines.empty else lines.iloc[0].tolist()
    missing = [name for name in required if name not in header]
    if missing or len(set(header)) != len(header):
        allowed = f"it needs distinct columns, {', '.join(missing or required)} among them"
        raise InputError(str(path), ",".join(header)[:200], allowed)
    short = lines.isna().any(axis="columns").to_numpy()
    if short.any():
        row = int(short.argmax())
        allowed = f"every line needs {len(header)} cells, as the first has"
        raise InputError(f"{path}, line {row + 1}", int(lines.iloc[row].count()), allowed)
    cells = lines.to_numpy(dtype=object)[1:]
    return {name: _parsed(column) for name, column in zip(header, cells.T, strict=True)}


def _parsed(cells: np.ndarray) -> np.ndarray:
    """Return a column of texts as ``read_table`` says."""
    for dtype in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            # Python's int and float; pandas' own parser is exact only from pandas 3.1 on
            return np.where(cells == "", "nan", cells).astype(dtype)
    return cells.astype(str)


def _csv_text(columns: Mapping[str, ArrayLike], *, header: bool) -> str:
    """Return CSV lines; a float is the shortest text that reads back to the same float64.

    Raises:
        ValueError: the columns differ in length, or a figure is not finite.
    """
    import pandas as pd  # takes a second

    arrays = {name: np.asarray(values) for name, values in columns.items()}
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ValueError(f"column {name} has a figure that is not finite")
            arrays[name] = values.astype(np.float64)
    return pd.DataFrame(arrays).to_csv(index=False, header=header, lineterminator="\n")
