"""Every file of every checkpoint truncated, emptied, deleted and flipped by one byte."""

import random
import re
import shutil

import pytest
from commands import finish, sha, start, train_words, wait_for
from small_runs import Watcher, small_config, tree_of

from pathb_jax.cli import evaluate, reproducibility
from pathb_jax.cli.train import main
from pathb_jax.runs import run
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store.step_folders import complete_steps

pytestmark = pytest.mark.faults

DRAW = random.Random(4)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[DRAW.randrange(len(data))] ^= 1 << DRAW.randrange(8)
    path.write_bytes(data)


DAMAGES = {"truncated": truncate, "emptied": empty, "deleted": lambda path: path.unlink()}
DAMAGES["flipped by one bit"] = flip


def files_of(step):
    return sorted(p.relative_to(step).as_posix() for p in step.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run stopped after update 5 of 6 with checkpoints of updates 4 and 5, and its whole twin."""
    folder = tmp_path_factory.mktemp("damage")

    def stop(progress):
        if progress.update == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "CHUNK_SECONDS", 0.0)
        whole = small_config(folder / "whole", eval_every=1)
        train(whole)
        config = small_config(folder / "stopped", eval_every=1)
        with pytest.raises(KeyboardInterrupt):
            train(config, Watcher(stop))
        checkpoints = run_files(config).checkpoints.relative_to(folder / "stopped")
        assert complete_steps(folder / "stopped" / checkpoints) == [4, 5]
        yield folder / "stopped", checkpoints, sha(folder / "whole")


def resume(out, capsys):
    code = main(train_words(out, eval_every=1))
    return code, capsys.readouterr().err


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("update", [4, 5])
def test_one_file_damaged(how, update, stopped, tmp_path, capsys, tally):
    source, checkpoints, expected = stopped
    names = files_of(source / checkpoints / str(update))
    assert {"manifest.json", "state.json"} < set(names)
    tried = detected = 0
    for name in names:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)
        path = out / checkpoints / str(update) / name
        if how in ("truncated", "flipped by one bit") and path.stat().st_size == 0:
            continue
        tried += 1
        DAMAGES[how](path)
        code, err = resume(out, capsys)
        assert code == 0, (name, err)
        if f"checkpoint of update {update} is damaged" in err:
            detected += 1
            said = " ".join(err.split())
            assert re.search(rf"{re.escape(name)} |manifest\.json is (missing|damaged)", said), err
            assert (out / checkpoints / f"{update}.damaged-1").is_dir()
            assert f"resuming after update {update - 1}" in said
        else:
            assert update == 4  # not looked at: the newer one is good
            assert "resuming after update 5" in err
        assert sha(out) == expected, name
    assert detected == (tried if update == 5 else 0)
    where = "the last checkpoint" if update == 5 else "the one before the last"
    note = f"{detected} detected and set aside, the others harmless"
    tally(f"each file of {where} {how}", tried, tried, note)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_digest_does_not_vouch_for_a_damaged_checkpoint(how, stopped, tmp_path, capsys, tally):
    source, checkpoints, _ = stopped
    names = files_of(source / checkpoints / "5")
    if how == "deleted":
        names.remove("manifest.json")  # no checkpoint any more: the digest is of the one before
    for name in names:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)
        DAMAGES[how](out / checkpoints / "5" / name)
        assert reproducibility.main(["--digest", str(out)]) == 2, name
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert name in line or "manifest.json" in line
    tally(f"--digest of a run with a file {how}", len(names), len(names))


@pytest.mark.parametrize("how", DAMAGES)
def test_no_checkpoint_left_is_an_error_and_no_fresh_start(how, stopped, tmp_path, capsys, tally):
    source, checkpoints, _ = stopped
    out = tmp_path / "out"
    shutil.copytree(source, out)
    for update in (4, 5):
        DAMAGES[how](out / checkpoints / str(update) / "state.json")
    for _ in range(2):  # the second time too
        code, err = resume(out, capsys)
        assert code == 1
        (line,) = [text for text in err.splitlines() if text.startswith("error:")]
        assert "no good checkpoint is left" in line
        assert "4.damaged-1" in line
        assert "5.damaged-1" in line
    kept = {name for name in tree_of(out) if "damaged" in name and name.endswith("manifest.json")}
    assert len(kept) == 2
    assert main([*train_words(out, eval_every=1), "--fresh"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.superseded-1"]
    tally(f"state.json of all checkpoints {how}: a clear error, twice", 1, 1)


def test_a_reader_beside_a_run_that_saves_all_the_time(tmp_path, capsys, tally):
    """The digest and the evaluation of what is newest, never "damaged"."""
    out = tmp_path / "out"
    process = start("train_ppo.py", train_words(out, updates=100, eval_every=1))
    read = 0
    try:
        wait_for(lambda: any(out.glob("checkpoints/*/*/manifest.json")))
        while process.poll() is None or read < 3:
            assert reproducibility.main(["--digest", str(out)]) == 0, capsys.readouterr().err
            words = ["--checkpoint", str(out), "--eval-seeds", "2"]
            assert evaluate.main(words) == 0, capsys.readouterr().err
            read += 2
    finally:
        process.kill()
    assert finish(process).code == 0
    tally("--digest and evaluate beside a run that saves after every update", read, read)
