"""Bad input to real commands, as an operator would start them."""

import os
import subprocess
import sys

import pytest
from commands import LIMIT, REPOSITORY
from small_runs import VARIANT, tree_of

pytestmark = pytest.mark.faults


def bad_command_lines():
    """Return at least 50 of them: a script's name and words."""
    bad = [
        ("train_ppo.py", ["--variant", VARIANT, "--updates", word])
        for word in ("-3", "many", "", "1.5", "nan", "9" * 30, "é", "--out")
    ]
    bad += [
        ("train_ppo.py", ["--variant", VARIANT, f"--{flag}", word])
        for flag in ("lr", "gamma", "batch-envs", "tier", "backend", "load-checkpoint", "seed")
        for word in ("", "-1", "nope")
    ]
    bad += [("ladder.py", ["--protocol", word]) for word in ("", ".", "file", "/dev/null", "pipe")]
    bad += [("ladder.py", ["--out", word]) for word in ("file", "file/below", "/proc/x", "a" * 300)]
    bad += [("ladder.py", ["--updates", word]) for word in ("0", "49", "x")]
    bad += [("evaluate.py", words) for words in ([], ["--policy", "file"], ["--policy", "pipe"])]
    bad += [("evaluate.py", ["--checkpoint", word]) for word in ("folder", "file", "", "nope")]
    bad += [("check_reproducibility.py", ["--digest", w]) for w in ("", "file", "folder", "nope")]
    bad += [("check_reproducibility.py", words) for words in (["--parts"], ["--updates", "1"])]
    bad += [("reproduce_anchors.py", ["--anchors", "none"])]
    return bad


def test_bad_input_to_real_commands(tmp_path, tally):
    (tmp_path / "file").write_text("= mine")
    (tmp_path / "folder").mkdir()
    before = tree_of(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    bad = bad_command_lines()
    assert len(bad) >= 50
    for script, words in bad:
        ended = subprocess.run(
            [sys.executable, str(REPOSITORY / "scripts" / script), *words],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            cwd=tmp_path,
        )
        assert ended.returncode == 2, (script, words, ended)
        assert len(ended.stderr.splitlines()) == 1, (script, words, ended.stderr)
        assert ended.stderr.startswith("error: "), (script, words, ended.stderr)
    (tmp_path / "pipe").unlink()
    assert tree_of(tmp_path) == before
    tally("bad input to real commands", len(bad), len(bad))
