"""Compiled programs kept on the disk, and used only if they are what was kept.

JAX runs what it finds in its compilation cache as it is: a flipped bit there is another program.
Here a SHA-256 over an entry's name and content stands before the content. What does not agree is
removed and compiled anew. This guards against damage, not against somebody who can write there.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

SIZE_LIMIT = 2**30
"""Bytes that a folder may hold; JAX_COMPILATION_CACHE_MAX_SIZE says otherwise."""

_SUFFIX = ".program"
_MAGIC = b"pathb-compiled-v1\n"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size


class VerifiedCache:
    """What JAX asks for compiled programs: the methods of its `CacheInterface`.

    Processes share a folder without a lock: entries appear whole, and one that another process
    removes meanwhile is compiled again.

    Args:
        folder: where entries are; it exists.
        limit: bytes that they may take. Beyond it those go that were used longest ago.
    """

    def __init__(self, folder: Path, limit: int = SIZE_LIMIT) -> None:
        self._path, self._limit = folder, limit

    def get(self, key: str) -> bytes | None:
        """Return what was kept under `key`, or None."""
        path = self._path / f"{key}{_SUFFIX}"
        try:
            with open(path, "rb", opener=_open_at_once) as stream:
                state = os.fstat(stream.fileno())
                if stat.S_ISREG(state.st_mode) and state.st_size <= self._limit:
                    kept = stream.read()
                    if kept[:_HEADER] == _header(key, kept[_HEADER:]):
                        os.utime(path)  # used: not the next to go
                        return kept[_HEADER:]
            path.unlink()
        except OSError:
            pass  # it is not there, or cannot be read: compile
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`, if there is room for it and the disk takes it."""
        path = self._path / f"{key}{_SUFFIX}"
        temporary = path.with_name(f".{secrets.token_hex(8)}{_SUFFIX}")
        size = _HEADER + len(value)
        if size > self._limit:
            return
        # Not forced to the disk: what a power cut leaves does not agree with its SHA-256.
        with contextlib.suppress(OSError):
            self._make_room(size)
            try:
                temporary.write_bytes(_header(key, value) + value)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove the entries used longest ago, and what killed writers left, for `size` bytes."""
        entries = []
        with os.scandir(self._path) as found:
            for entry in found:
                with contextlib.suppress(OSError):  # another process removed it
                    if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False):
                        state = entry.stat(follow_symlinks=False)
                        entries.append((state.st_mtime, state.st_size, entry.path))
        total = size + sum(kept for _, kept, _ in entries)
        for _, kept, path in sorted(entries):
            if total <= self._limit:
                return
            with contextlib.suppress(OSError):
                Path(path).unlink()
            total -= kept


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, but do not wait for the other end where somebody put a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _header(key: str, value: bytes) -> bytes:
    digest = hashlib.sha256(f"{len(key)} {key}\n".encode())
    digest.update(value)
    return _MAGIC + digest.digest()


def verify() -> None:
    """Make JAX keep compiled programs so from now on, wherever its settings say.

    The one place that touches JAX's own parts. Where they are not what they were, JAX keeps none.
    """
    import jax
    from jax._src import compilation_cache

    if not hasattr(compilation_cache, "get_file_cache"):
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if compilation_cache.get_file_cache is not _file_cache:
        compilation_cache.get_file_cache = _file_cache  # type: ignore[assignment]
        compilation_cache.reset_cache()  # one in use already would go on unchecked


def _file_cache(path: str) -> tuple[VerifiedCache, str] | None:
    """Stand in for JAX's `get_file_cache`; None: keep nothing."""
    import jax

    limit = jax.config.jax_compilation_cache_max_size  # type: ignore[attr-defined]
    if "://" in path:
        return None
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return VerifiedCache(Path(path), SIZE_LIMIT if limit < 0 else limit), path
