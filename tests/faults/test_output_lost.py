"""Full disks, closed pipes and terminals that hang up: a command outlives its output."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from commands import REPOSITORY, ladder_words, run, sha, train_words, wait_for

from pathb_jax.cli import command, devices, reproducibility
from pathb_jax.studies import reproducibility as study
from pathb_jax.system import signals

LINES = 3000
"""More than any buffer on the way holds."""


def talks():
    for _ in range(LINES):
        print("to standard output", flush=True)
        print("to standard error", file=sys.stderr)
    return 7


@pytest.fixture
def full():
    with Path("/dev/full").open("w") as stream:
        yield stream


@pytest.fixture
def closed_pipe():
    """The end of a pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        yield stream


@pytest.mark.parametrize("name", ["full", "closed_pipe"])
@pytest.mark.parametrize("lost", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_a_command_ends_with_its_own_code(name, lost, request, monkeypatch, capsys):
    stream = request.getfixturevalue(name)
    with monkeypatch.context() as patch:
        for where in lost:
            patch.setattr(sys, where, stream)
        assert command.run(talks) == 7
        assert all(getattr(sys, where) is stream for where in lost)
    printed = capsys.readouterr()
    if "stdout" not in lost:
        assert printed.out.count("\n") == LINES
    if "stderr" not in lost:
        notes = [line for line in printed.err.splitlines() if line != "to standard error"]
        expected = ["note: standard output was lost ([Errno 28] No space left on device)"]
        assert notes == (expected if name == "full" else [])


def test_bad_input_and_failures_keep_their_codes_too(full, monkeypatch):
    monkeypatch.setattr(sys, "stderr", full)
    assert command.run(lambda: devices.check_parallel_runs(0, "Small") or 0) == 2


def test_a_terminal_without_a_character_is_given_its_code(monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert command.run(lambda: print("r\u00e9sum\u00e9 \udcff \u2503 end") or 0) == 0
    assert raw.getvalue() == rb"r\xe9sum\xe9 \udcff \u2503 end" + b"\n"


TALKS = """
import sys
from pathb_jax.cli import command
def talks():
    for _ in range(3000):
        print("to standard output")
    return 7
sys.exit(command.run(talks))
"""


@pytest.mark.parametrize("where", ["/dev/full", "a pipe that is closed"])
def test_python_has_nothing_to_say_at_its_end(where):
    if where == "/dev/full":
        out = os.open(where, os.O_WRONLY)
    else:
        read, out = os.pipe()
        os.close(read)
    words = [sys.executable, "-c", TALKS]
    done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    os.close(out)
    assert done.returncode == 7
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


def children_with(word):
    return [child for child in psutil.Process().children() if word in " ".join(child.cmdline())]


def sent_when_a_child_is_there(signum, word):
    """Send this process a signal once it has a child whose command holds a word.

    Returns:
        The list that the child is put on.
    """
    seen = []

    def send():
        wait_for(lambda: children_with(word) and True)
        seen.extend(children_with(word))
        os.kill(os.getpid(), signum)

    threading.Thread(target=send, daemon=True).start()
    return seen


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_reproducibility_check_leaves_no_child_and_no_folder(
    signum, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(study, "_COMMANDS", "import time; time.sleep(3600)")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    children = sent_when_a_child_is_there(signum, "time.sleep(3600)")
    assert reproducibility.main([]) == 128 + signum
    assert capsys.readouterr().err.splitlines()[-1] == f"stopped by {signum.name}"
    assert children
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signum) == signal.SIG_DFL


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_child_is_being_started_leaves_no_child(signum, monkeypatch, capsys):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *words, **options):
            super().__init__(*words, **options)
            started.append(psutil.Process(self.pid))
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(study, "_COMMANDS", "import time; time.sleep(3600)")
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    assert reproducibility.main([]) == 128 + signum
    assert len(started) == 1
    assert not started[0].is_running()
    assert signals.requested() is None


def test_a_hangup_is_ignored_where_nohup_says_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for context in (signals.stopping_at_safe_points, signals.stopping_at_once):
            with context():
                os.kill(os.getpid(), signal.SIGHUP)
                assert signals.requested() is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.faults
def test_a_run_outlives_its_output(tmp_path, tally):
    assert run("train_ppo.py", train_words(tmp_path / "whole")).code == 0
    words = [sys.executable, str(REPOSITORY / "scripts" / "train_ppo.py")]
    words += train_words(tmp_path / "out", progress=True)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=full, cwd=REPOSITORY)
    assert done.returncode == 0
    assert sha(tmp_path / "out") == sha(tmp_path / "whole")
    tally("standard output and error on a full disk", 1, 1)


@pytest.mark.faults
def test_a_ladder_outlives_the_reader_of_its_output(whole, tmp_path, tally):
    words = [sys.executable, str(REPOSITORY / "scripts" / "ladder.py")]
    words += ladder_words(whole.protocol, tmp_path / "out")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("protocol ")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate()
    assert (process.returncode, "Traceback" in err, "Exception" in err) == (0, False, False), err
    assert sha(tmp_path / "out") == whole.sha
    tally("ladder | head -1", 1, 1)
