"""ENOSPC at each write point, a file size limit, a read-only folder, and one that is removed."""

import collections
import contextlib
import os
import resource
import shutil
import subprocess
import sys

import pytest
from commands import REPOSITORY, finish, ladder_words, sha, train_words
from commands import run as command
from sabotage import watch_writes

from pathb_jax.cli import ladder
from pathb_jax.cli.train import main
from pathb_jax.ladder import estimate
from pathb_jax.runs import run
from pathb_jax.store.integrity import find_damage
from pathb_jax.store.json_files import read_json
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.store.tables import read_table

# Orbax's threads, left alone with an error, complain on their own.
pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore")]

MEBIBYTES = 32


class Disk:
    """A small file system of its own, and what happens at its write points."""

    def __init__(self, root):
        self.root, self.out, self.filler = root, root / "out", root / "filler"
        self.at = None
        """What to call at each write point under `out`, with its category."""
        watch_writes(self.out, lambda category: self.at and self.at(category))

    def fill(self):
        with self.filler.open("ab", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(2**16))
        with self.filler.open("ab", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(2**10))

    def clear(self):
        self.at = None
        self.filler.unlink(missing_ok=True)
        shutil.rmtree(self.out, ignore_errors=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    root = tmp_path_factory.mktemp("disk")
    options = ["-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "none", str(root)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fsync)  # put back what watch_writes replaces
        made = Disk(root)
        yield made
        made.at = None
    # At once or, if this process still holds a file of a command that was stopped, with its end.
    subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(run, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(estimate, "PROBE_SECONDS", 0.0)


def assert_valid(out):
    """What is on the disk can be read, all of it, and no checkpoint claims more than it holds."""
    for path in out.rglob("*"):
        if path.suffix == ".json" and ".saving" not in str(path) and "damaged" not in str(path):
            read_json(path)
        elif path.suffix == ".csv":
            read_table(path, ())
            assert path.read_bytes().endswith(b"\n"), path
        assert path.suffix != ".tmp", path
    for folder in out.glob("**/checkpoints/*"):
        for step in complete_steps(folder):
            assert find_damage(folder / str(step)) is None


def one_line(capsys):
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error" in text.lower()]
    assert line.startswith("error: "), line
    return line


def filled_at_each_point(disk, command, words, expected, capsys, only=lambda category: True):
    """Fill the disk at the first, a middle and the last of each category; return what happened."""
    counts = collections.Counter()
    disk.clear()
    disk.at = lambda category: counts.update([category])
    assert command(words) == 0
    assert sha(disk.out) == expected
    stopped = tried = 0
    for category, count in counts.items():
        if not only(category):
            continue
        for nth in sorted({1, (count + 1) // 2, count}):
            disk.clear()
            left = [nth]

            def fill(found, category=category, left=left):
                if found == category:
                    left[0] -= 1
                    if left[0] == 0:
                        disk.fill()

            disk.at = fill
            capsys.readouterr()
            code = command(words)
            disk.at = None
            tried += 1
            assert code in (0, 1), (category, nth, code)
            if code == 1:
                stopped += 1
                line = one_line(capsys)
                assert "No space left on device" in line, (category, nth, line)
            assert_valid(disk.out)
            disk.filler.unlink(missing_ok=True)
            assert command(words) == 0, (category, nth)
            assert sha(disk.out) == expected, (category, nth)
    return tried, stopped


def test_a_run_on_a_disk_that_fills_up(disk, tmp_path, capsys, tally):
    assert main(train_words(tmp_path / "whole")) == 0
    expected = sha(tmp_path / "whole")
    words = train_words(disk.out)
    tried, stopped = filled_at_each_point(disk, main, words, expected, capsys)
    assert stopped > tried // 2
    note = f"{stopped} stopped with one line, at the others nothing was left to write"
    tally("ENOSPC at the write points of a run", tried, tried, note)


def test_a_ladder_on_a_disk_that_fills_up(disk, whole, capsys, tally):
    words = ladder_words(whole.protocol, disk.out, "--no-progress")
    tried, stopped = filled_at_each_point(
        disk, ladder.main, words, whole.sha, capsys, only=lambda name: "RUN" not in name
    )
    assert stopped > tried // 2
    note = f"{stopped} stopped with one line, at the others nothing was left to write"
    tally("ENOSPC at the write points of a ladder's record, note, figures", tried, tried, note)


@pytest.mark.parametrize("limit", [300, 3_000, 10_000, 50_000])
def test_a_file_size_limit(limit, tmp_path, tally):
    """RLIMIT_FSIZE needs no privilege and holds for Orbax's own writes too."""
    out = tmp_path / "out"

    def start(*, limited):
        def set_limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "scripts" / "train_ppo.py"), *train_words(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=set_limit if limited else None,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_ENABLE_COMPILATION_CACHE": "0"}
            if limited
            else {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )

    ended = finish(start(limited=True))
    assert ended.code == 1, ended
    assert "File too large" in ended.error, ended
    assert len(ended.err.splitlines()) == 1, ended
    assert_valid(out)
    assert finish(start(limited=False)).code == 0
    assert main(train_words(tmp_path / "whole")) == 0
    assert sha(out) == sha(tmp_path / "whole")
    tally(f"no file may exceed {limit} bytes (RLIMIT_FSIZE)", 1, 1)


def at_chunk(monkeypatch, number, action):
    """Do something right before the run's chunk of this number."""
    chunk, calls = run.Run._chunk, []

    def first_act(self, updates):
        calls.append(updates)
        if len(calls) == number:
            action()
        return chunk(self, updates)

    monkeypatch.setattr(run.Run, "_chunk", first_act)


def test_a_read_only_file_system_from_the_start(disk, capsys, tally):
    disk.clear()
    subprocess.run(["mount", "-o", "remount,ro", str(disk.root)], check=True)
    try:
        for words in (train_words(disk.out), train_words(disk.out / "below")):
            assert main(words) == 2
            assert "--out" in one_line(capsys)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk.root)], check=True)
    assert main(train_words(disk.out)) == 0
    tally("--out on a read-only file system: exit 2", 2, 2)


@pytest.mark.parametrize("chunk", [1, 2, 4, 6])
def test_out_becomes_read_only_in_mid_run(chunk, tmp_path, monkeypatch, capsys, tally):
    out = tmp_path / "out"

    def immutable(flag):
        return subprocess.run(["chattr", "-R", flag, str(out)], capture_output=True, text=True)

    (out / "probe").mkdir(parents=True)
    if immutable("+i").returncode:
        pytest.skip("chattr +i does not work here (and permissions do not bind root)")
    immutable("-i")
    (out / "probe").rmdir()
    try:
        with monkeypatch.context() as patch:
            at_chunk(patch, chunk, lambda: immutable("+i"))
            assert main(train_words(out)) == 1
        line = one_line(capsys)
        assert "Operation not permitted" in line or "Permission denied" in line
    finally:
        immutable("-i")
    assert_valid(out)
    # In a process of its own, as in truth: here the failed save's threads still unwind.
    resumed = command("train_ppo.py", train_words(out))
    assert resumed.code == 0, resumed
    assert main(train_words(tmp_path / "whole")) == 0
    assert sha(out) == sha(tmp_path / "whole")
    tally(f"--out immutable from update {chunk} on", 1, 1)


@pytest.mark.parametrize("chunk", [1, 2, 4, 6])
def test_out_removed_in_mid_run(chunk, tmp_path, monkeypatch, capsys, tally):
    out, gone = tmp_path / "out", tmp_path / "gone"

    def remove():
        out.rename(gone)  # all at once: the writer is at work in it
        shutil.rmtree(gone, ignore_errors=True)

    with monkeypatch.context() as patch:
        at_chunk(patch, chunk, remove)
        assert main(train_words(out)) == 1
    assert "No such file or directory" in one_line(capsys)
    assert main(train_words(out)) == 0
    assert main(train_words(tmp_path / "whole")) == 0
    assert sha(out) == sha(tmp_path / "whole")
    tally(f"--out removed before update {chunk}", 1, 1)
