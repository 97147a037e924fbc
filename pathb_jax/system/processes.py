"""Other processes of this machine."""

import psutil


def is_alive(pid: int) -> bool:
    """Say whether a process of this machine has the number, whoever's it is.

    `os.kill(pid, 0)`, which asks elsewhere, interrupts a group of processes on Windows.
    """
    try:
        return pid > 0 and bool(psutil.pid_exists(pid))
    except OverflowError:  # no system has such numbers
        return False
