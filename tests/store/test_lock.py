import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pathb_jax.errors import InputError
from pathb_jax.store import lock
from pathb_jax.store.lock import HOLDER, LOCK, is_held, locked, refuse_if_held

HOLD = """
import sys, time
from pathlib import Path
from pathb_jax.store.lock import locked, is_held
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


NO_FLOCK = """
import errno, fcntl
def flock(descriptor, operation):
    raise OSError(errno.{name}, "no locks here")
fcntl.flock = flock
"""


def held_elsewhere(folder: Path, before: str = "") -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", before + HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_a_kill_frees_the_folder(tmp_path: Path):
    process = held_elsewhere(tmp_path / "out")
    try:
        with pytest.raises(InputError) as refused, locked(tmp_path / "out"):
            pass
        message = str(refused.value)
        assert "--out" in message
        assert f"pid {process.pid} on {socket.gethostname()} since 2" in message
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "out" / HOLDER).exists(), "the kill left its name behind"
    with locked(tmp_path / "out"):
        holder = json.loads((tmp_path / "out" / HOLDER).read_text())
        assert holder["pid"] == os.getpid()


def test_whether_a_folder_is_held_can_be_asked_without_taking_it(tmp_path: Path):
    assert not is_held(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    process = held_elsewhere(tmp_path / "out")
    try:
        assert is_held(tmp_path / "out")
    finally:
        process.kill()
        process.communicate()
    assert not is_held(tmp_path / "out")


def test_nothing_but_the_lock_file_is_left(tmp_path: Path):
    with locked(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    with locked(tmp_path):
        pass


def test_a_holder_s_name_that_cannot_be_removed_does_not_keep_the_lock(tmp_path, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError(path)

    with monkeypatch.context() as patch, locked(tmp_path):
        patch.setattr(Path, "unlink", refuse)
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_where_there_is_no_flock_a_kill_frees_the_folder_too(name, tmp_path, monkeypatch):
    code = NO_FLOCK.format(name=name)
    folder = tmp_path / "out"
    with locked(folder):
        pass  # on a system that had locks; what it left says nothing
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)  # put back whatever `exec` makes of it
    exec(code, {})
    process = held_elsewhere(folder, code)
    try:
        assert is_held(folder)
        with pytest.raises(InputError, match=f"in use by pid {process.pid} on "), locked(folder):
            pass
    finally:
        process.kill()
        process.communicate()
    assert not is_held(folder)
    with locked(folder), pytest.raises(InputError), locked(folder):
        pass
    assert [path.name for path in folder.iterdir()] == [LOCK]


@pytest.mark.parametrize("number", [errno.EINTR, errno.EIO])
def test_another_failure_of_the_lock_is_a_failure(number, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(number, "fails")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="fails") as failed, locked(tmp_path):
        pass
    assert failed.value.errno == number


def test_a_file_system_that_never_answers_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    """As where a lock's server is lost, or each call is interrupted: C asks again and again."""
    answered = threading.Event()
    monkeypatch.setattr(fcntl, "flock", lambda *_: answered.wait())
    monkeypatch.setattr(lock, "ANSWER_SECONDS", 0.01)
    try:
        with pytest.raises(InputError, match=r"--out: .* has not answered"), locked(tmp_path):
            pass
    finally:
        answered.set()


def test_asking_whether_a_folder_can_be_had_leaves_nothing(tmp_path: Path):
    (tmp_path / "there").mkdir()
    for name in ("there", "there/below/it", "not/there"):
        refuse_if_held(tmp_path / name)
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]
