"""Files that flags ask for: refused before any work if they are somebody else's."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_bounded
from pathb_jax.store.own_files import IsOwn, is_own_picture, picture_files

LARGEST_OUTPUT = 64 * 2**20
"""Bytes of a file that are looked at to tell whether this tool wrote it."""


def check_writable(flag: str, folder: Path | None) -> None:
    """Raise InputError unless `folder` can be created or written to; create nothing."""
    if folder is None:
        return
    existing = folder.absolute()
    try:
        str(existing).encode()
    except UnicodeEncodeError:  # checkpoints cannot be written there
        allowed = "its whole path has to be UTF-8, and so has the locale (LC_ALL=C.UTF-8)"
        raise InputError(flag, str(folder), allowed) from None
    try:
        while not os.path.lexists(existing):  # a link that leads nowhere is in the way
            existing = existing.parent
    except OSError as error:  # a name that is too long
        raise InputError(flag, str(folder), error.strerror or "the system refuses it") from None
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(flag, str(folder), f"{existing} is not a folder you can write to")


def check_output(flag: str, path: Path | None, is_own: IsOwn, kind: str) -> None:
    """Raise InputError unless a file can be written, and replaces none but this tool's own.

    Args:
        flag: what asks for the file.
        path: where it goes; None: it is not asked for.
        is_own: recognises what this command wrote there earlier.
        kind: what that is, in words.
    """
    if path is None:
        return
    check_writable(flag, path.parent)
    try:
        if not path.exists():
            return
    except OSError as error:  # a name that is too long
        raise InputError(flag, str(path), error.strerror or "the system refuses it") from None
    if path.is_dir():
        raise InputError(flag, str(path), "it is a folder; give the path of a file")
    # A run's own evaluations look like those on request; they are what verdicts are read from.
    folder = _real(path).parent
    evidence = folder.name == "logs" and (folder.parent / "manifests").is_dir()
    try:
        own = not evidence and is_own(read_bounded(path, LARGEST_OUTPUT))
    except (InputError, OSError):
        own = False
    if not own:
        allowed = f"it is there and no {kind} that this command wrote; give another name or move it"
        raise InputError(flag, str(path), allowed)


def check_page(flag: str, page: Path, is_own: IsOwn, figures: Sequence[str]) -> None:
    """Raise InputError unless a page and its figures can be written, PNG and SVG.

    A figure that a page of this tool shows was written with it, whatever it looks like. `figures`
    are the PNG files, relative to the page's folder.
    """
    if page.suffix != ".md":
        raise InputError(flag, str(page), "give the path of a Markdown file (.md)")
    check_output(flag, page, is_own, "page")
    shown = page.read_text(encoding="utf-8", errors="replace") if page.exists() else ""
    for figure in (file for png in figures for file in picture_files(png)):
        check_writable(flag, (page.parent / figure).parent)
        if f"({figure})" not in shown:
            check_output(flag, page.parent / figure, is_own_picture, "figure")


def study_files(out: Path, table: Path | None, doc: Path | None, name: str) -> tuple[Path, Path]:
    """Return a study's table and page: by default NAME.csv in `out`, and NAME.md beside the table.

    Raises:
        InputError: the table cannot be one.
    """
    table = table or out / f"{name}.csv"
    if table.suffix != ".csv" or table.is_dir():
        raise InputError("--table", str(table), "give the path of a CSV file (.csv)")
    return table, doc or table.with_name(f"{name.upper()}.md")


def check_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Raise InputError if two flags name the same file."""
    taken: dict[Path, str] = {}
    for flag, path in outputs.items():
        if path is not None and (other := taken.setdefault(_real(path), flag)) != flag:
            raise InputError(flag, str(path), f"{other} names the same file")


def _real(path: Path) -> Path:
    """Return a path without links; unlike `Path.resolve` it takes a circle of them too."""
    return Path(os.path.realpath(path))
