"""Every command of the pages that are to be typed, as a reader types it, and their Python."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from test_documents import blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def type_page(name: str, folder: Path, expected: Mapping[str, int]) -> int:
    """Type all of a page in a folder; return the number of commands.

    Args:
        name: of the page.
        folder: where.
        expected: exit codes other than 0, by subcommand.
    """
    commands = 0
    for block in blocks((ROOT / "docs" / name).read_text("utf-8")):
        if block.startswith("import "):
            subprocess.run([sys.executable, "-c", block], cwd=folder, check=True)
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "python":
                assert words[:3] == ["-m", "pip", "install"]
                continue
            assert program == "pathb"
            command = [sys.executable, "-m", "pathb_jax", *words]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            code = 0 if "--check" in words else expected.get(words[0], 0)
            assert done.returncode == code, (line, done.stderr)
            commands += 1
    return commands


def test_the_tutorial_can_be_typed(tmp_path: Path) -> None:
    # All candidates are rejected; success stays below the floor.
    assert type_page("TUTORIAL.md", tmp_path, {"ladder": 3, "train": 3}) == 8
    ladder = tmp_path / "results" / "tutorial"
    assert {path.name for path in ladder.glob("*.*")} >= {"ladder.json", "report.html"}
    # What step 5 tells the reader to try.
    rows = next(ladder.glob("*/logs/*_evaluation.csv"))
    text = rows.read_text()
    rows.write_text(text.replace("timeout", "success", 1))
    words = [sys.executable, "-m", "pathb_jax", "verify", str(ladder)]
    verified = subprocess.run(words, capture_output=True, text=True)
    assert verified.returncode == 1
    assert rows.name in verified.stdout + verified.stderr


def test_ones_own_environment_can_be_typed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert type_page("OWN_ENVIRONMENT.md", tmp_path, {}) == 7
    assert (tmp_path / "pendulum.png").exists()
    assert (tmp_path / "results" / "pendulum-ladder" / "ladder.json").exists()
