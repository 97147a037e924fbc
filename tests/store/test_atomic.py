"""Whole-file writes: what a killed writer leaves behind."""

import os
import subprocess
import sys

import pytest

from pathb_jax.store import atomic
from pathb_jax.store.atomic import write_atomically


def test_what_a_killed_writer_left_is_removed_and_a_living_one_s_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    target = tmp_path / "file[1].csv"
    abandoned = tmp_path / f".file[1].csv.{dead.pid}-0a1b2c3d.tmp"
    kept = [
        tmp_path / f".file[1].csv.{os.getpid()}-0a1b2c3d.tmp",
        tmp_path / f".other.csv.{dead.pid}-0a1b2c3d.tmp",
        tmp_path / ".file[1].csv.mine-0.tmp",
        tmp_path / f".file[1].csv.{10**30}-0.tmp",
    ]
    for path in (abandoned, *kept):
        path.write_text("half")
    write_atomically(target, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, target])


def test_a_folder_that_cannot_be_opened_is_left_to_windows(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(atomic.os, "open", refuse)
    with pytest.raises(PermissionError):
        atomic.sync_folder(tmp_path)
    monkeypatch.setattr(atomic.os, "name", "nt")
    atomic.sync_folder(tmp_path)


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("broken", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, broken, error):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(broken, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
