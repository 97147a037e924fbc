"""Real commands for the fault suite: a short Small ladder and a small run, and their digests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from small_protocol import small_table
from small_runs import FLAGS, command_line

from pathb_jax.studies.digest import digest

REPOSITORY = Path(__file__).parents[2]
LIMIT = 1200
"""Seconds after which a command counts as hanging, on a busy machine too."""

HIGH_ENTROPY = 1.0
"""The first candidate's entropy_coef: its log_std rises, so it fails the second stage."""


class Ended(NamedTuple):
    """A process that ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what went wrong; fails if there is not exactly one."""
        (line,) = [text for text in self.err.splitlines() if text.startswith("error:")]
        return line


def ladder_table() -> dict[str, Any]:
    """Return a protocol of three runs of a second each: one rejected, one adopted, one batch."""
    table = small_table(passes=True)
    shapes = {"batch_envs": 16, "rollout_length": 128, "minibatch_size": 256, "epochs": 2}
    table["run"] |= shapes
    table["candidates"][0]["change"] = {"entropy_coef": HIGH_ENTROPY}
    table["candidates"][1]["change"] = {"entropy_coef": 0.0}
    table["stages"]["training_dynamics"]["log_std_rise_at_most"] = 0.06
    return table


def ladder_words(protocol: Path, out: Path, *more: str) -> list[str]:
    return ["--protocol", str(protocol), "--out", str(out), *more]


def train_words(out: Path, **flags: Any) -> list[str]:
    return [*command_line(**{**FLAGS, "out": out, **flags}), "--no-progress"]


def start(
    command: str, words: list[str], sabotage: Any = None, **environment: str | None
) -> subprocess.Popen[str]:
    """Start a command (a script's name, such as ladder.py) with this checkout's code.

    Args:
        command: the script.
        words: its arguments.
        sabotage: what goes wrong in it, as sabotage.py says.
        environment: variables to set, or with None to unset.
    """
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    program = [str(REPOSITORY / "scripts" / command)]
    if sabotage is not None:
        variables["PATHB_SABOTAGE"] = json.dumps(sabotage, default=str)
        module = {"ladder.py": "ladder", "train_ppo.py": "train"}[command]
        program = [str(Path(__file__).with_name("sabotage.py")), module]
    if "PYTHONPATH_FIRST" in variables:
        variables["PYTHONPATH"] = f"{variables['PYTHONPATH_FIRST']}:{variables['PYTHONPATH']}"
    return subprocess.Popen(
        [sys.executable, *program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in variables.items() if value is not None},
    )


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> Ended:
    """Wait for a process; one that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it hung for {limit} s: {err[-2000:]}") from None
    assert "Traceback" not in err, err[-4000:]
    return Ended(process.returncode, out, err)


def run(command: str, words: list[str], sabotage: Any = None, **environment: str | None) -> Ended:
    """Start a command and wait for its end."""
    return finish(start(command, words, sabotage, **environment))


def sha(folder: Path) -> str:
    """Return the digest that `check_reproducibility --digest` prints."""
    return digest(folder)["all"]


def wait_for(condition: Callable[[], object], seconds: float = LIMIT, pause: float = 0.02) -> None:
    """Wait until a condition holds; fail if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(pause)


def patience() -> float:
    """How many times longer things may take where others want this machine's cores too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def leftovers(folder: Path) -> list[str]:
    """Return what an interrupted writer may not leave for good."""
    names = [path.name for path in folder.rglob("*")]
    return [n for n in names if n.endswith((".tmp", ".saving", ".replaced", ".deleting"))]
