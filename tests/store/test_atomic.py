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
