"""Whether a process lives."""

import os
import subprocess
import sys

import pytest

from pathb_jax.system.processes import is_alive


def test_this_one_lives_and_a_finished_one_does_not() -> None:
    assert is_alive(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_alive(child.pid)


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1, 2**80])
def test_a_number_of_no_process(pid: int) -> None:
    assert not is_alive(pid)
