"""The SHA-256 manifest of a folder: written last, so that its presence means complete."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import sync_folder
from pathb_jax.store.json_files import encode_json, read_json, write_json

MANIFEST = "manifest.json"
FORMAT = "pathb-manifest-v1"


class CheckpointError(RuntimeError):
    """A checkpoint is damaged, does not fit, or could not be saved; the message names what."""


def seal(folder: Path) -> None:
    """Force every file under ``folder`` to the disk, then write the manifest: size and SHA-256.

    The manifest is the last file to appear, so a folder that has one was complete at that moment.

    Raises:
        OSError: a file cannot be read or written.
    """
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            # Orbax leaves its small metadata files in the page cache: a power cut would empty them
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = path.relative_to(folder).as_posix()
        files[name] = {"sha256": digest, "size": path.stat().st_size}
    for inner in (path for path in folder.rglob("*") if path.is_dir()):
        sync_folder(inner)
    content = {"format": FORMAT, "files": files, "files_sha256": _digest_of(files)}
    write_json(folder / MANIFEST, content)


def find_damage(folder: Path, only: str | None = None) -> str | None:
    """Compare the files under ``folder`` (or ``only`` the named one) with its manifest.

    Files that the manifest does not list (a desktop's index file) are not looked at.

    Returns:
        What is wrong, naming the file, or None when all is as it was written.

    Raises:
        OSError: a file that is there cannot be read.
    """
    if not (folder / MANIFEST).is_file():
        return f"{MANIFEST} is missing: the checkpoint is incomplete"
    try:
        files = _listed(read_json(folder / MANIFEST))
    except InputError:
        files = None
    if not files or (only is not None and only not in files):
        return f"{MANIFEST} is damaged"
    for name in [only] if only is not None else sorted(files):
        damage = _compare(folder / name, files[name])
        if damage is not None:
            return f"{name} {damage}"
    return None


def listed_bytes(folder: Path) -> int:
    """Return how many bytes the files under ``folder`` have by its manifest; 0 if it is damaged."""
    try:
        files = _listed(read_json(folder / MANIFEST))
    except InputError:
        files = None
    return sum(size for size, _ in (files or {}).values())


def _listed(manifest: Any) -> dict[str, tuple[int, str]] | None:
    """Return the manifest's files as name -> (size, SHA-256), or None when it is not one."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return None
    listed = {}
    try:
        if manifest["files_sha256"] != _digest_of(manifest["files"]):
            return None
        for name, entry in manifest["files"].items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                return None
            listed[name] = (int(entry["size"]), str(entry["sha256"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return listed


def _digest_of(files: Any) -> str:
    """Return the SHA-256 of the list itself: a flipped bit in it must not blame another file."""
    return hashlib.sha256(encode_json(files, sort_keys=True).encode()).hexdigest()


def _compare(path: Path, expected: tuple[int, str]) -> str | None:
    size, sha256 = expected
    if not path.is_file():
        return "is missing"
    actual = path.stat().st_size
    if actual != size:
        return f"has {actual} bytes instead of {size}"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if digest == sha256 else "differs from what was written (SHA-256)"
