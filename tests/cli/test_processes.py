"""The scripts as operators start them: processes of their own."""

import os
import signal
import subprocess
import sys

import pytest
from small_runs import (
    FLAGS,
    VARIANT,
    assert_same_bits,
    command_line,
    read,
    rows,
    small_config,
    stored_state,
    tree_of,
)


def start(repository, script, words, **more):
    return subprocess.Popen(
        [sys.executable, str(repository / "scripts" / script), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def finish(process):
    out, err = process.communicate()
    return process.returncode, out, err


def test_train_again_and_evaluate(repository, finished, tmp_path):
    flags = {**FLAGS, "success_floor": 1.0, "out": tmp_path / "run"}
    words = [*command_line(**flags), "--no-progress"]
    code, out, err = finish(start(repository, "train_ppo.py", words))
    assert (code, err) == (3, f"files: {tmp_path / 'run'}\n")
    assert "seeds 10000..10003: success" in out
    # It is the very run that was trained within this process, by other chunks perhaps.
    assert_same_bits(stored_state(finished.config), stored_state(small_config(tmp_path / "run")))

    shifted = {"variant": VARIANT, "eval_seeds": 4, "eval_seed_start": 20000, "eval_only": True}
    shifted |= {"load_checkpoint": tmp_path / "run", "out": tmp_path / "evaluated"}
    code, out, err = finish(start(repository, "train_ppo.py", command_line(**shifted)))
    assert (code, err) == (3, f"files: {tmp_path / 'evaluated'}\n")
    name = "logs/*_evaluation_seed_20000"
    for ending in (".csv", "_summary.json"):
        own, again = (next((tmp_path / at).glob(name + ending)) for at in ("run", "evaluated"))
        if ending == ".csv":
            assert rows(own) == rows(again)
        else:
            assert {**read(own), "checkpoint": 0} == {**read(again), "checkpoint": 0}


def test_a_backend_that_is_not_there(repository, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    look = "import jax, sys; sys.exit(any(d.platform == 'gpu' for d in jax.devices()))"
    if subprocess.run([sys.executable, "-c", look], env=environment).returncode:
        pytest.skip("there is a GPU")
    out = tmp_path / "out"
    for script, words in (
        ("ladder.py", ["--backend", "gpu", "--out", str(out)]),
        ("train_ppo.py", ["--variant", VARIANT, "--backend", "gpu", "--out", str(out)]),
    ):
        process = start(repository, script, words, env=environment, cwd=tmp_path)
        code, printed, err = finish(process)
        assert (code, printed) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith("error: --backend: 'gpu' is not allowed; ")
        assert "cpu" in line
        assert "pathb-jax[cuda12] or pathb-jax[cuda13]" in line
    assert tree_of(tmp_path) == {}


def test_bad_input_is_quick_and_has_no_traceback(repository, tmp_path):
    words = ["--variant", VARIANT, "--updates", "-3", "--out", str(tmp_path / "out")]
    code, out, err = finish(start(repository, "train_ppo.py", words))
    assert (code, out) == (2, "")
    assert err == "error: --updates: -3 is not allowed; give a whole number >= 0\n"
    assert tree_of(tmp_path) == {}


WAITING = """
import sys, time
from pathb_jax.system import signals
from pathb_jax.cli import train
from pathb_jax.runs.run import Run
chunk, calls = Run._chunk, []
def waiting(self, updates):
    chunk(self, updates)
    calls.append(updates)
    if len(calls) == 7:
        print("in the middle", flush=True)
        while signals.requested() is None:
            time.sleep(0.01)
Run._chunk = waiting
sys.exit(train.main(sys.argv[1:]))
"""
"""A run that waits for a signal once it has trained a while."""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_from_outside_it_goes_on_bit_by_bit(repository, tmp_path, how):
    flags = {**FLAGS, "updates": 400, "eval_every": 20}
    whole = command_line(**{**flags, "out": tmp_path / "whole"})
    assert finish(start(repository, "train_ppo.py", whole))[0] == 0
    words = command_line(**{**flags, "out": tmp_path / "stopped"})
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(how)
    code, _, err = finish(process)
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in err
    code, _, err = finish(start(repository, "train_ppo.py", words))
    assert code == 0
    assert "resuming after update" in err
    first, second = (
        stored_state(small_config(tmp_path / name, **flags)) for name in ("whole", "stopped")
    )
    assert_same_bits(first, second)
