"""Strict JSON files: written whole, read with a size limit, never NaN or infinity."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically

READ_LIMIT = 16 * 2**20
"""Bytes that ``read_json`` accepts by default; parsing takes up to 30 times as much memory."""


def encode_json(value: Any, *, sort_keys: bool = False, indent: int | None = 2) -> str:
    """Return ``value`` as JSON text with a final line end. NumPy scalars and arrays are plain data.

    Raises:
        ValueError: a number in it is NaN or infinite.
        TypeError: it holds something that JSON cannot.
    """
    separators = None if indent is not None else (",", ":")
    text = json.dumps(
        value,
        sort_keys=sort_keys,
        indent=indent,
        separators=separators,
        allow_nan=False,
        ensure_ascii=False,
        default=_plain,
    )
    # A byte of a path that is no UTF-8 as JSON's own escape, which reads back as it was.
    return text.encode(errors="backslashreplace").decode() + "\n"


def write_json(path: Path, value: Any, *, sort_keys: bool = False) -> None:
    """Write ``value`` whole or not at all; keys keep their order unless ``sort_keys``.

    Raises:
        ValueError, TypeError: as ``encode_json``; nothing is written.
        OSError: as ``write_atomically``; the old file stays.
    """
    write_atomically(path, encode_json(value, sort_keys=sort_keys))


def read_json(path: Path, *, limit: int = READ_LIMIT) -> Any:
    """Read one JSON file of at most ``limit`` bytes.

    Raises:
        InputError: there is no such file, it is too large, or it is not strict JSON in UTF-8.
        OSError: the system cannot read it (permissions, a failing disk).
    """
    return decode_json(path, read_bounded(path, limit))


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        InputError: there is no such file (or it is a folder, pipe, device), or it is larger.
    """
    if not path.is_file():
        raise InputError(str(path), "no such file", "it has to be a file")
    with path.open("rb") as stream:
        # Some files of the system tell no size; a file may grow while it is read.
        large = os.fstat(stream.fileno()).st_size > limit
        if large or len(data := stream.read(limit + 1)) > limit:
            raise InputError(str(path), "too large", f"it may have {limit} bytes at most")
    return data


def decode_json(path: Path, data: bytes) -> Any:
    """Parse the content of ``path``; the path is for the messages.

    Raises:
        InputError: ``data`` is not strict JSON in UTF-8, or is nested too deeply.
    """
    allowed = "it has to be a JSON file (UTF-8, finite numbers)"
    try:
        # Reading each number by hand takes time: only where one may be beyond what is finite.
        number = _finite if re.search(rb"[eE]\+?\d{3}|\d{309}", data) else None
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, parse_float=number)
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError, an endless integer
        raise InputError(str(path), str(error)[:200], allowed) from None
    except RecursionError:
        raise InputError(str(path), "nested too deeply", allowed) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:60]}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
