"""SIGTERM and SIGINT during compile, training, evaluation and saving: stopped soon, resumable."""

import signal
import time

import pytest
from commands import finish, ladder_words, patience, run, sha, start, train_words
from small_runs import VARIANT, read

pytestmark = pytest.mark.faults

WITHIN = 20.0
"""Seconds from the signal to the exit on a machine with a core to spare; the promise, not what it
takes."""

COLD = {"JAX_ENABLE_COMPILATION_CACHE": "0"}
"""Without compiled programs at hand, so that compiling takes its time."""

PHASES = {
    "the import of JAX": ("pathb_jax.system.backend:select_backend", 1, 0.0, {}),
    "compile": ("pathb_jax.learn.program:Program.__init__", 1, 2.0, COLD),
    "the probe": ("pathb_jax.ladder.estimate:evaluate_policy", 1, 0.001, {}),
    "a run's beginning": ("pathb_jax.runs.trainer:begin", 1, 0.001, {}),
    "training": ("pathb_jax.runs.run:Run._chunk", 4, 0.005, {}),
    "evaluation": ("pathb_jax.runs.run:Run._play", 3, 0.001, {}),
    "saving": ("pathb_jax.store.checkpoint_store:CheckpointStore._write", 3, 0.001, {}),
    "a run's last files": ("pathb_jax.runs.run:write_policy", 1, 0.0, {}),
    "the record": ("pathb_jax.ladder.ladder:write_record", 2, 0.0, {}),
    "the second run": ("pathb_jax.runs.run:Run._chunk", 15, 0.005, {}),
}


def stopped(command, words, mark, phase, signals, gap=0.0, **environment):
    """Run a command that is sent signals in a phase; return how it ended and after how long."""
    where, nth, delay, variables = phase
    what = {"when": where, "nth": nth, "delay": delay, "signals": signals, "gap": gap, "mark": mark}
    process = start(command, words, what, **{**variables, **environment})
    ended = finish(process)
    return ended, time.time() - float(mark.read_text())


def assert_incomplete(out):
    """The record, and the manifest of the run that was at work, say that they are not finished."""
    if (out / "ladder.json").exists():
        record = read(out / "ladder.json")
        assert record["verdict"] == "incomplete"
        for entry in record["candidates"]:
            for manifest in (out / entry["run_dir"]).glob("manifests/*.json"):
                open_run = entry["status"] == "running"
                expected = {"incomplete", "running", "completed"} if open_run else {"completed"}
                assert read(manifest)["status"] in expected


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", PHASES)
def test_stopped_in(name, signum, whole, tmp_path, tally):
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    ended, seconds = stopped("ladder.py", words, tmp_path / "mark", PHASES[name], [signum])
    assert (ended.code, seconds < WITHIN * patience()) == (128 + signum, True), (ended, seconds)
    (line,) = [text for text in ended.err.splitlines() if "stopped by" in text]
    assert signal.Signals(signum).name in line
    assert_incomplete(out)
    again = run("ladder.py", words)
    assert again.code == 0, again
    assert sha(out) == whole.sha
    tally(f"{signal.Signals(signum).name} in {name}", 1, 1, f"exit after {seconds:.1f} s")


@pytest.mark.parametrize("gap", [0.0, 0.3])
@pytest.mark.parametrize("name", ["training", "saving", "the record"])
def test_a_second_sigint_stops_at_once(name, gap, whole, tmp_path, tally):
    """With a gap it comes while the first one's stop is under way, or Python's own end."""
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    twice = [signal.SIGINT, signal.SIGINT]
    ended, seconds = stopped("ladder.py", words, tmp_path / "mark", PHASES[name], twice, gap)
    assert (ended.code, seconds < WITHIN * patience()) == (130, True), (ended, seconds)
    assert run("ladder.py", words).code == 0
    assert sha(out) == whole.sha
    tally(f"two SIGINT, {gap} s apart, in {name}", 1, 1, f"exit after {seconds:.1f} s")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_says_that_it_is_incomplete(signum, tmp_path, tally):
    words = train_words(tmp_path / "whole", updates=40, eval_every=4)
    assert run("train_ppo.py", words).code == 0
    out = tmp_path / "out"
    words = train_words(out, updates=40, eval_every=4)
    at = ("pathb_jax.runs.run:Run._chunk", 5, 0.0, {})
    ended, _ = stopped("train_ppo.py", words, tmp_path / "mark", at, [signum])
    assert ended.code == 128 + signum, ended
    assert read(next((out / "manifests").iterdir()))["status"] == "incomplete"
    again = run("train_ppo.py", words)
    assert again.code == 0
    assert "resuming after update" in again.err
    assert sha(out) == sha(tmp_path / "whole")
    tally(f"{signum.name} in a run of its own", 1, 1)


def test_medium_stops_in_time(tmp_path, tally):
    words = ["--variant", VARIANT, "--tier", "Medium", "--updates", "3", "--eval-seeds", "4"]
    words += ["--success-floor", "0", "--out", str(tmp_path / "out")]
    for name, at in (
        ("compile", ("pathb_jax.learn.program:Program.__init__", 1, 2.0, COLD)),
        ("training", ("pathb_jax.runs.run:Run._chunk", 1, 0.5, {})),
    ):
        ended, seconds = stopped("train_ppo.py", words, tmp_path / name, at, [signal.SIGTERM])
        assert (ended.code, seconds < WITHIN * patience()) == (143, True), (ended, seconds)
        tally(f"SIGTERM in {name}, Medium at its real size", 1, 1, f"exit after {seconds:.1f} s")
    ended = run("train_ppo.py", words)
    assert ended.code == 0, ended
    assert "resuming after update 1" in ended.err
