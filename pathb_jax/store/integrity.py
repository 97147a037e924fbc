"""The SHA-256 manifest of a folder: written last, so that its presence means complete."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import NonNegativeInt, model_validator

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import sync_folder
from pathb_jax.store.json_files import encode_json, read_json, write_json
from pathb_jax.store.models import Model, parse

MANIFEST = "manifest.json"


class FileEntry(Model):
    """One file."""

    sha256: str
    size: NonNegativeInt


class Manifest(Model):
    """The content of manifest.json."""

    format: Literal["pathb-manifest-v1"]
    files: dict[str, FileEntry]
    files_sha256: str
    """Of the list itself: a flipped bit in it must not blame another file."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.files_sha256 != _digest_of(self.model_dump()["files"]):
            raise InputError("files_sha256", self.files_sha256, "it is that of other files")
        for path in map(PurePosixPath, self.files):
            if path.is_absolute() or ".." in path.parts:
                raise InputError("files", str(path), "it is in another folder")
        return self


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
    content = {"format": "pathb-manifest-v1", "files": files, "files_sha256": _digest_of(files)}
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
    files = _listed(folder)
    if not files or (only is not None and only not in files):
        return f"{MANIFEST} is damaged"
    for name in [only] if only is not None else sorted(files):
        damage = _compare(folder / name, files[name])
        if damage is not None:
            return f"{name} {damage}"
    return None


def listed_bytes(folder: Path) -> int:
    """Return how many bytes the files under ``folder`` have by its manifest; 0 if it is damaged."""
    return sum(entry.size for entry in _listed(folder).values())


def _listed(folder: Path) -> dict[str, FileEntry]:
    """Return the files that a manifest lists; none if it is missing or damaged."""
    try:
        return parse(Manifest, read_json(folder / MANIFEST), "").files
    except InputError:
        return {}


def _digest_of(files: dict[str, Any]) -> str:
    return hashlib.sha256(encode_json(files, sort_keys=True).encode()).hexdigest()


def _compare(path: Path, expected: FileEntry) -> str | None:
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != expected.size:
        return f"has {size} bytes instead of {expected.size}"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if digest == expected.sha256 else "differs from what was written (SHA-256)"
