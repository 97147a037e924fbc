"""CSV tables: written whole or not at all, appended to by whole rows, read strictly."""

import contextlib
import csv
import io
import os
from collections.abc import Collection, Mapping
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


def write_table(
    path: Path, columns: Mapping[str, ArrayLike], may_lack: Collection[str] = ()
) -> None:
    """Write a CSV file of equally long columns, whole or not at all.

    Args:
        path: the file.
        columns: by name, from left to right.
        may_lack: those whose figures may be missing: NaN, an empty cell.

    Raises:
        ValueError: the columns differ in length, or a figure is not finite; nothing is written.
        OSError: as ``write_atomically``.
    """
    write_atomically(path, _csv_text(columns, may_lack))


def append_table(
    path: Path, columns: Mapping[str, ArrayLike], may_lack: Collection[str] = ()
) -> None:
    """Append rows to a file of ``write_table``, as it would have written them, and sync the disk.

    Raises:
        ValueError: the columns differ in length, or a figure is not finite; nothing is written.
        InputError: the file has other columns, or the same in another order; likewise.
        OSError: the disk is full, or the file is gone; its earlier rows are left as they were.
    """
    text = _csv_text(columns, may_lack).encode()
    start = text.index(b"\n") + 1
    header, rows = text[:start], text[start:]
    # Not "ab": a deleted file must not come back headless. Unbuffered: what a failed write leaves
    # in a buffer, close would write again, after the truncation.
    with path.open("r+b", buffering=0) as stream:
        found = stream.read(start)
        if found != header:
            allowed = f"its columns have to be {','.join(columns)}"
            raise InputError(str(path), found[:200].decode(errors="replace"), allowed)
        before = stream.seek(0, os.SEEK_END)
        try:
            while rows:  # a write to a nearly full disk can be partial
                rows = rows[stream.write(rows) :]
            os.fsync(stream.fileno())
        except BaseException:
            stream.truncate(before)
            raise


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


def read_numbers(
    path: Path, required: tuple[str, ...], *, whole: tuple[str, ...] = (), finite: bool = True
) -> dict[str, np.ndarray]:
    """Read a CSV file as ``read_table``, of which the required columns hold figures.

    Args:
        path: the file.
        required: columns that have to be there, with a number in every cell.
        whole: those of them that hold whole numbers >= 0.
        finite: whether the others may hold neither empty cells nor infinity.

    Raises:
        InputError: as ``read_table``, or a cell holds something else; it is named.
    """
    columns = read_table(path, required)
    for name in required:
        values, what = columns[name], "a number"
        if values.dtype.kind not in "if":
            good = np.array([_is_number(cell) for cell in values])
        elif name in whole:
            what = "a whole number >= 0"
            good = (values >= 0) & (values < 2**53) & (np.floor(values) == values)
        else:
            good = np.isfinite(values) | (not finite)
        if not good.all():
            row = int(np.argmin(good))
            allowed = f"every cell of the column has to be {what}"
            raise InputError(f"{path}, line {row + 2}: {name}", str(values[row])[:60], allowed)
        columns[name] = values.astype(np.int64) if name in whole else values
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _parsed(cells: np.ndarray) -> np.ndarray:
    """Return a column of texts as ``read_table`` says."""
    for dtype in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            # Python's int and float; pandas' own parser is exact only from pandas 3.1 on
            return np.where(cells == "", "nan", cells).astype(dtype)
    return cells.astype(str)


def _csv_text(columns: Mapping[str, ArrayLike], may_lack: Collection[str]) -> str:
    """Return a header and rows; a float is the shortest text that reads back to the same float64.

    Raises:
        ValueError: the columns differ in length, or a figure is not finite and may not be missing.
    """
    import pandas as pd  # takes a second

    arrays = {name: np.asarray(values) for name, values in columns.items()}
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            given = values[~np.isnan(values)] if name in may_lack else values
            if not np.isfinite(given).all():
                raise ValueError(f"column {name} has a figure that is not finite")
            arrays[name] = values.astype(np.float64)
    return pd.DataFrame(arrays).to_csv(index=False, lineterminator="\n")
