"""Whole-file writes that happen completely or not at all (docs/spec/ladder.md, "Files")."""

import contextlib
import glob
import os
import secrets
from pathlib import Path

from pathb_jax.system.processes import is_alive


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace ``path`` by ``data``: a reader sees the old file or the new one, never a part.

    A temporary file in the same folder is written, forced to the disk and renamed over ``path``;
    then the folder itself is forced to the disk, so that a power cut cannot undo the rename.
    Parent folders are made as needed. Text is written as UTF-8, its line ends unchanged, and a byte
    of a path that is none by its code. What a killed writer of the same file left is removed.

    Raises:
        OSError: the disk is full, the folder is read-only, ...; the old file is left as it was and
            the temporary file is removed.
    """
    payload = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
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


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of ``path`` whose process is no more."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*-*.tmp"):
        pid = temporary.name.removeprefix(f".{path.name}.").partition("-")[0]
        of_writer = pid.isdecimal() and int(pid) < 2**31  # else it is no file of ours
        if of_writer and not is_alive(int(pid)):
            with contextlib.suppress(OSError):
                temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to the disk (a rename is durable only after that).

    Windows opens no folders, and its file system keeps a journal of names itself.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
