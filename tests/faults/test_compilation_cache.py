"""Every kept program truncated, flipped, exchanged or replaced by a pipe: same bits, and healed."""

import os
import random

import pytest
from commands import run, sha, train_words

from pathb_jax.system.compiled_programs import VerifiedCache

pytestmark = pytest.mark.faults

DRAW = random.Random(11)


def truncate(entries):
    for path in entries:
        path.write_bytes(path.read_bytes()[: DRAW.randrange(path.stat().st_size)])


def flip(entries):
    for path in entries:
        data = bytearray(path.read_bytes())
        data[DRAW.randrange(len(data))] ^= 1 << DRAW.randrange(8)
        path.write_bytes(data)


def exchange(entries):
    contents = [path.read_bytes() for path in entries]
    for path, content in zip(entries, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)


def pipe(entries):
    for path in entries:
        path.unlink()
        os.mkfifo(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The digest of a run, and a cache folder with its programs."""
    folder = tmp_path_factory.mktemp("whole")
    places = {"XDG_CACHE_HOME": str(folder / "cache"), "JAX_COMPILATION_CACHE_DIR": None}
    assert run("train_ppo.py", train_words(folder / "out"), **places).code == 0
    return sha(folder / "out"), folder / "cache"


@pytest.mark.parametrize(
    ("damage", "own_folder"), [(truncate, True), (flip, False), (exchange, True), (pipe, False)]
)
def test_damaged_programs_are_compiled_anew(damage, own_folder, whole, tmp_path, tally):
    entries = sorted(whole[1].rglob("*.program"))  # names depend on the folder: not a copy
    assert entries
    damage(entries)
    places = {"XDG_CACHE_HOME": str(whole[1]), "JAX_COMPILATION_CACHE_DIR": None}
    if not own_folder:
        places = {"JAX_COMPILATION_CACHE_DIR": str(entries[0].parent)}
    ended = run("train_ppo.py", train_words(tmp_path / "out"), **places)
    assert (ended.code, ended.err.splitlines()) == (0, [f"files: {tmp_path / 'out'}"])
    assert sha(tmp_path / "out") == whole[0]
    healed = [bool(VerifiedCache(path.parent).get(path.stem)) for path in entries]
    assert all(healed)
    tally(f"kept programs, {damage.__name__}", len(healed), sum(healed))
