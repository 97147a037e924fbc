"""Every command of docs/TUTORIAL.md, as a reader types it, and its Python."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_documents import blocks

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[1] / "docs" / "TUTORIAL.md").read_text("utf-8")
EXPECTED = {"ladder": 3, "train": 3}
"""Exit codes other than 0: all candidates are rejected; success stays below the floor."""


def test_it_can_be_typed(tmp_path: Path) -> None:
    commands = 0
    for block in blocks(PAGE):
        if block.startswith("import "):
            subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "python":
                assert words[:3] == ["-m", "pip", "install"]
                continue
            assert program == "pathb"
            command = [sys.executable, "-m", "pathb_jax", *words]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            code = 0 if "--check" in words else EXPECTED.get(words[0], 0)
            assert done.returncode == code, (line, done.stderr)
            commands += 1
    assert commands == 8
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
