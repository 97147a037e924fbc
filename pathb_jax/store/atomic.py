"""Whole-file writes that happen completely or not at all (ladder.md, section Files)."""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace ``path`` by ``data``: a reader sees the old file or the new one, never a part.

    A temporary file in the same folder is written, forced to the disk and renamed over ``path``;
    then the folder itself is forced to the disk, so that a power cut cannot undo the rename.
    Parent folders are made as needed. Text is written as UTF-8, its line ends unchanged.

    Raises:
        OSError: the disk is full, the folder is read-only, ...; the old file is left as it was and
            the temporary file is removed.
    """
    payload = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to the disk (a rename is durable only after that)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
