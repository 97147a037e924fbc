"""Which program this is: a digest over its sources, and what version and git say of them."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("pathb_jax", "pathb_jax.envs")
"""The second is a link to `envs/` in a checkout, and a folder of the first in a wheel."""
_IN_CHECKOUT = ("pathb_jax", "envs")
_PROTOCOLS = "pathb_jax/protocols/*.toml"
"""What a protocol says is compared by itself."""


@functools.cache
def program_digest() -> str:
    """Return a SHA-256 over the sources of the packages as imported.

    It stays what it is in a wheel, a checkout and another commit of the same sources, and tells two
    uncommitted states apart. Line ends count as LF; caches and protocol files do not count.
    """
    paths = {
        Path(*package.split("."), path.relative_to(folder)): path
        for package, folder in zip(PACKAGES, map(_folder, PACKAGES), strict=True)
        for path in folder.rglob("*")
        if path.is_file()
    }
    sha = hashlib.sha256()
    for name, path in sorted(paths.items()):
        if not _is_left_out(name):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            sha.update(f"{name.as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return sha.hexdigest()


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None  # both packages have an __init__.py
    return Path(spec.origin).parent


def _is_left_out(name: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
    return hidden or name.match(_PROTOCOLS)


@functools.cache
def source_version() -> dict[str, Any]:
    """Return the project's version, the git commit, whether its files differ, and their digest.

    Commit and dirty are None outside a git checkout. `dirty` speaks of the packages' files alone:
    a document or a picture beside them is not the program.
    """
    root = _folder("pathb_jax").parent
    # A copy inside some other project's checkout must not report that project's commit.
    is_checkout = (root / ".git").exists()
    commit = _git(root, "rev-parse", "HEAD") if is_checkout else None
    left_out = [f":(exclude){_PROTOCOLS}", ":(exclude,glob)**/__pycache__/**"]
    status = _git(root, "status", "--porcelain", "--", *_IN_CHECKOUT, *left_out) if commit else None
    return {
        "version": importlib.metadata.version("pathb-jax"),
        "commit": commit,
        "dirty": None if status is None else bool(status),
        "program": program_digest(),
    }


def _git(root: Path, *arguments: str) -> str | None:
    # GIT_DIR, GIT_WORK_TREE and their like would make git speak of another repository.
    variables = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            env=variables,
            start_new_session=True,  # a Ctrl-C is for the command, which may go on
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
