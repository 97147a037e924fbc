"""A command as a process: its exit code, and a SIGINT after its last line."""

import subprocess
import sys

import pytest

BODY = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored by inheritance
from pathb_jax.cli.process import end_with

def command():
    {body}

{before}
end_with(command)
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"


def ended(body, before=""):
    """Run a command whose body is `body`; return its exit code and what it said on stderr."""
    words = [sys.executable, "-c", BODY.format(body=body, before=before)]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("code", [0, 2, 143])
def test_the_exit_code_is_the_commands(code):
    assert ended(f"return {code}") == (code, "")


def test_help_ends_with_its_own_code():
    assert ended("raise SystemExit(0)") == (0, "")


def test_an_interrupt_after_the_last_line_prints_nothing():
    assert ended(f"{INTERRUPT}; return 130") == (130, "")


def test_an_interrupt_in_pythons_own_end_prints_nothing():
    """A thread that is waited for sends it: Python joins threads before it runs `atexit`."""
    sender = f"import threading\nsender = threading.Timer(0.3, lambda: {INTERRUPT})"
    assert ended("sender.start(); return 130", before=sender) == (130, "")


def test_a_failure_keeps_its_traceback():
    code, err = ended("raise ValueError('a fault of ours')")
    assert code == 1
    assert "a fault of ours" in err
