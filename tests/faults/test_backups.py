"""A folder copied while a command works in it, as a backup does: the copy goes on elsewhere."""

import re
import shutil
import subprocess

import pytest
from commands import finish, ladder_words, run, sha, start, train_words, wait_for

from pathb_jax.store.step_folders import complete_steps

pytestmark = pytest.mark.faults

COPIES = 6
"""At most, of one run or ladder."""


def newest(folder):
    """Return every run's newest whole checkpoint below a folder."""
    found = {path: complete_steps(path) for path in folder.rglob("checkpoints/*") if path.is_dir()}
    return {path / str(max(steps)) for path, steps in found.items() if steps}


def copies_of(out, process, folder):
    """Copy a folder as `cp -r` does, past what goes meanwhile, until its command ends.

    Returns:
        The copies during which no run replaced its newest checkpoint twice, so that they have it.
    """
    wait_for(lambda: newest(out) or process.poll() is not None)
    kept = []
    while process.poll() is None and len(kept) < COPIES:
        to, before = folder / str(len(kept)), newest(out)
        subprocess.run(["cp", "-r", out, to], stderr=subprocess.DEVNULL, check=False)
        if all(path.is_dir() for path in before):
            kept.append(to)
        else:
            shutil.rmtree(to)
    assert finish(process).code == 0
    return kept


def test_a_run_copied_while_it_trains(tmp_path, tally):
    flags = {"updates": 600, "eval_every": 40}
    out, folder = tmp_path / "out", tmp_path / "copies"
    folder.mkdir()
    copies = copies_of(out, start("train_ppo.py", train_words(out, **flags)), folder)
    for copy in copies:
        ended = run("train_ppo.py", train_words(copy, **flags))
        assert ended.code == 0, ended
        assert re.search("resuming after update|finished before", ended.err), ended.err
        assert sha(copy) == sha(out)
    assert copies
    tally("a run copied while it trains, each copy resumed", len(copies), len(copies))


def test_a_ladder_copied_while_it_works(whole, tmp_path, tally):
    out, folder = tmp_path / "out", tmp_path / "copies"
    folder.mkdir()
    copies = copies_of(out, start("ladder.py", ladder_words(whole.protocol, out)), folder)
    for copy in copies:
        ended = run("ladder.py", ladder_words(whole.protocol, copy))
        assert ended.code == 0, ended
        assert sha(copy) == whole.sha
    assert copies
    tally("a ladder copied while it works, each copy resumed", len(copies), len(copies))
