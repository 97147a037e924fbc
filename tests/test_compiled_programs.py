"""Compiled programs that were kept are used only if they are what was kept."""

import os

import jax
import pytest

from pathb_jax.system import compiled_programs
from pathb_jax.system.compiled_programs import VerifiedCache

KEY = "jit_f-0123"


@pytest.fixture
def cache(tmp_path):
    return VerifiedCache(tmp_path)


def entry(cache, key=KEY):
    return cache._path / f"{key}.program"


def test_what_was_put_comes_back_and_nothing_else_is_left(cache):
    assert cache.get(KEY) is None
    cache.put(KEY, b"program")
    cache.put(KEY, b"another")
    assert cache.get(KEY) == b"another"
    assert list(cache._path.iterdir()) == [entry(cache)]


def test_every_flipped_bit_and_every_truncation_is_found_and_heals(cache):
    cache.put(KEY, b"program")
    whole = entry(cache).read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole + b"x", b"program", whole * 2]
    for at in range(8 * len(whole)):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        damaged.append(bytes(data))
    for data in damaged:
        entry(cache).write_bytes(data)
        assert cache.get(KEY) is None, data
        assert not entry(cache).exists()
    cache.put(KEY, b"program")
    assert cache.get(KEY) == b"program"


def test_exchanged_entries_are_found(cache):
    cache.put("one", b"1")
    cache.put("two", b"2")
    entry(cache, "one").rename(cache._path / "aside")
    entry(cache, "two").rename(entry(cache, "one"))
    (cache._path / "aside").rename(entry(cache, "two"))
    assert (cache.get("one"), cache.get("two")) == (None, None)


def test_what_is_no_file_is_neither_waited_for_nor_used(cache):
    os.mkfifo(entry(cache, "pipe"))
    entry(cache, "folder").mkdir()
    entry(cache, "loop").symlink_to(entry(cache, "loop"))
    for key in ("pipe", "folder", "loop"):
        assert cache.get(key) is None
        cache.put(key, b"program")
    assert (cache.get("pipe"), cache.get("folder")) == (b"program", None)
    assert cache.get("loop") == b"program"


def test_the_folder_has_a_limit_and_the_longest_unused_go_first(tmp_path):
    cache = VerifiedCache(tmp_path, limit=900)
    (tmp_path / "jit_g-cache").write_bytes(b"x" * 900)  # another program's: not ours to count
    for number, key in enumerate(("a", "b", "c")):
        cache.put(key, b"x" * 200)
        os.utime(entry(cache, key), (number, number))
    assert cache.get("a") is not None  # used now, so that b is the oldest
    cache.put("d", b"x" * 200)
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    (tmp_path / ".killed.program").write_bytes(b"x" * 500)
    os.utime(tmp_path / ".killed.program", (0, 0))
    cache.put("e", b"x" * 200)
    assert not (tmp_path / ".killed.program").exists()
    cache.put("f", b"x" * 900)
    assert cache.get("f") is None
    ours = sum(path.stat().st_size for path in tmp_path.glob("*.program"))
    assert 0 < ours <= 900


def test_a_folder_that_cannot_be_written_to_is_done_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = VerifiedCache(tmp_path / "file")
    cache.put(KEY, b"program")
    assert cache.get(KEY) is None
    assert compiled_programs._file_cache(str(tmp_path / "file")) is None
    assert compiled_programs._file_cache("gs://bucket/programs") is None


@pytest.fixture
def jax_cache(tmp_path):
    """JAX's own cache, in an empty folder."""
    from jax._src import compilation_cache

    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation_cache.reset_cache()
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def compile_anew(addend=3):
    def added(x):
        return x * 2 + addend

    return jax.jit(added)(1.0)


def test_jax_asks_here_and_compiles_what_is_damaged_anew(jax_cache, monkeypatch):
    found = []

    def get(self, key, get=VerifiedCache.get):
        value = get(self, key)
        if "added" in key:
            found.append(value is not None)
        return value

    monkeypatch.setattr(VerifiedCache, "get", get)
    assert compile_anew() == 5
    (kept,) = jax_cache.glob("jit_added*")
    assert kept.suffix == ".program"
    whole = kept.read_bytes()
    assert compile_anew() == 5
    assert found == [False, True]
    for data in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(data)
        assert (compile_anew(), compile_anew()) == (5, 5)
        assert found[-2:] == [False, True]
    assert compile_anew(4) == 6
    one, other = jax_cache.glob("jit_added*")
    other.write_bytes(one.read_bytes())
    one.write_bytes(whole)
    assert {float(compile_anew()), float(compile_anew(4))} == {5, 6}


def test_where_jax_is_another_it_keeps_nothing(monkeypatch):
    from jax._src import compilation_cache

    monkeypatch.delattr(compilation_cache, "get_file_cache")
    try:
        compiled_programs.verify()
        assert not jax.config.jax_enable_compilation_cache
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
