"""What the fault suite shares: an uninterrupted ladder to compare with, and a tally."""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest

_TALLY: list[dict] = []


class Whole(NamedTuple):
    """A ladder that nothing happened to."""

    protocol: Path
    out: Path
    sha: str
    started: float
    """Seconds until its record appeared: start-up, compile and probe."""
    seconds: float
    """Seconds from there to its end."""


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Whole:
    from commands import finish, ladder_table, ladder_words, run, sha, start, wait_for
    from small_protocol import write_toml

    folder = tmp_path_factory.mktemp("whole")
    protocol = write_toml(folder / "protocol.toml", ladder_table())
    first = run("ladder.py", ladder_words(protocol, folder / "first"))
    assert first.code == 0, first.err
    began = time.monotonic()  # the second has its compiled programs in the cache
    process = start("ladder.py", ladder_words(protocol, folder / "out"))
    wait_for((folder / "out" / "ladder.json").exists)
    started = time.monotonic() - began
    assert finish(process).code == 0
    seconds = time.monotonic() - began - started
    assert sha(folder / "first") == sha(folder / "out")
    return Whole(protocol, folder / "out", sha(folder / "out"), started, seconds)


@pytest.fixture(scope="session")
def tally():
    """Count what was tried and what survived, for the summary and docs/RELIABILITY.md."""

    def count(fault: str, tried: int, survived: int, note: str = "") -> None:
        entry = {"fault": fault, "tried": tried, "survived": survived, "note": note}
        _TALLY.append(entry)
        if "PATHB_FAULTS_TALLY" in os.environ:
            with Path(os.environ["PATHB_FAULTS_TALLY"]).open("a") as stream:
                print(json.dumps(entry), file=stream)

    return count


def pytest_terminal_summary(terminalreporter) -> None:
    if not _TALLY:
        return
    terminalreporter.section("faults: tried, survived")
    for entry in _TALLY:
        terminalreporter.write_line(
            "{tried:6d} {survived:6d}  {fault}  {note}".format(**entry).rstrip()
        )
