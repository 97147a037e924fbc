"""Many runs at once: the bits of each are those of the run alone."""

import functools
import json
import os
import subprocess
import sys
import threading

import jax
import pytest
from small_runs import Watcher, small_config

from pathb_jax.runs import side_by_side, trainer
from pathb_jax.runs.outcome import run_files
from pathb_jax.store.artifacts import read_history
from pathb_jax.store.json_files import read_json
from pathb_jax.studies.digest import digest
from pathb_jax.system import signals

SIDE_BY_SIDE = """
import json, sys, threading
from pathlib import Path
from pathb_jax.system import backend
at_once = int(sys.argv[1])
backend.select_backend("cpu", host_devices=at_once)
from pathb_jax.runs import side_by_side
from pathb_jax.runs.observer import Observer
from pathb_jax.studies.digest import digest
from small_runs import small_config
out, seeds = Path(sys.argv[2]), range(int(sys.argv[3]))
configs = [small_config(out / str(seed), seed=seed) for seed in seeds]
threads = set()
class Watcher(Observer):
    def progress(self, progress):
        threads.add(threading.current_thread().name)
order = [finished.position for finished in side_by_side.train_all(configs, Watcher(), at_once)]
digests = [digest(config.output.out)["all"] for config in configs]
print(json.dumps({"order": order, "digests": digests, "threads": sorted(threads)}))
"""


def trained_side_by_side(repository, out, at_once, runs):
    """Train runs of seeds 0, 1, ... in a process of its own, on as many host devices."""
    ended = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE, str(at_once), str(out), str(runs)],
        env={**os.environ, "PYTHONPATH": f"{repository}:{repository}/tests"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The digest of a seed's run, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def digest_of(seed):
        config = small_config(folder / str(seed), seed=seed)
        return digest(trainer.train(config).files.out)["all"]

    return digest_of


@pytest.mark.parametrize(
    ("at_once", "runs"),
    [(2, 3), *(pytest.param(number, 8, marks=pytest.mark.slow) for number in (4, 8))],
)
def test_a_run_has_the_same_bits_beside_others(at_once, runs, alone, repository, tmp_path):
    digests = [alone(seed) for seed in range(runs)]
    assert len(set(digests)) == runs
    report = trained_side_by_side(repository, tmp_path, at_once, runs)
    assert report["digests"] == digests
    assert sorted(report["order"]) == list(range(runs))
    assert len(report["threads"]) == at_once


@pytest.fixture
def vmapped(tmp_path):
    """Two runs of other lengths and rates, as one program."""
    return [
        small_config(tmp_path / "one", seed=0, updates=6),
        small_config(tmp_path / "two", seed=1, updates=4, lr=1e-3, eval_every=2),
    ]


def histories(outcomes):
    return [outcome.history["value_loss"] for outcome in outcomes]


@pytest.mark.slow  # compiles the vmapped program
def test_runs_as_one_program_leave_the_files_of_runs_alone(vmapped, tmp_path):
    configs = vmapped
    finished = list(side_by_side.train_all(configs, runs_per_device=2))
    assert [item.position for item in finished] == [0, 1]
    together = [item.outcome for item in finished]
    alone = [
        trainer.train(small_config(tmp_path / f"{name}-alone", **flags))
        for name, flags in (
            ("one", {"seed": 0, "updates": 6}),
            ("two", {"seed": 1, "updates": 4, "lr": 1e-3, "eval_every": 2}),
        )
    ]
    for one, other in zip(alone, together, strict=True):
        names = [sorted(p.name for p in x.files.out.glob("*/*")) for x in (one, other)]
        assert names[0] == names[1]
        assert len(other.history["update"]) == len(one.history["update"])
        # float32 rounding at the first update; later it grows
        assert other.history["value_loss"][0] == pytest.approx(one.history["value_loss"][0], 1e-4)
        assert list(other.evaluations["update"]) == list(one.evaluations["update"])
        assert read_json(one.files.manifest)["runs_together"] == 1
        assert read_json(other.files.manifest)["runs_together"] == 2
    assert next(iter(side_by_side.train_all(configs, runs_per_device=2))).outcome.trained is False


@pytest.mark.slow  # compiles the vmapped program
def test_runs_as_one_program_stop_and_resume(vmapped, tmp_path, monkeypatch):
    monkeypatch.setattr("pathb_jax.runs.run.CHUNK_SECONDS", 0.0)
    flags = ({"seed": 0, "updates": 6}, {"seed": 1, "updates": 4, "lr": 1e-3, "eval_every": 2})
    whole = trainer.train_together(
        [small_config(tmp_path / f"{k}-whole", **f) for k, f in enumerate(flags)]
    )

    def stop(progress):
        if progress.update == 3:
            monkeypatch.setattr(signals, "_requested", 15)

    with pytest.raises(signals.StopRequested):
        trainer.train_together(vmapped, Watcher(stop))
    files = [run_files(config) for config in vmapped]
    assert [read_json(f.manifest)["status"] for f in files] == ["incomplete"] * 2
    assert [len(read_history(f.history)["update"]) for f in files] == [3, 3]
    monkeypatch.setattr(signals, "_requested", None)
    resumed = trainer.train_together(vmapped)
    for one, other in zip(whole, resumed, strict=True):
        assert digest(one.files.out)["all"] == digest(other.files.out)["all"]


# Failures and stops, with pretended runs on one device that is there twice.


@pytest.fixture
def threads(monkeypatch):
    """Return a function that puts `work(name, observer)` in place of training."""

    def put(work):
        monkeypatch.setattr(side_by_side, "devices", lambda asked: jax.devices()[:1] * 2)
        monkeypatch.setattr(side_by_side, "_compile", lambda chosen, group: None)
        monkeypatch.setattr(
            trainer, "train", lambda config, observer: work(config.output.out.name, observer)
        )

    return put


def ended(configs):
    return [item.outcome for item in side_by_side.train_all(configs)]


@pytest.fixture
def four(tmp_path):
    return [small_config(tmp_path / name) for name in "abcd"]


def test_every_run_is_trained_once(threads, four):
    began = []

    def work(name, observer):
        began.append(name)
        return name.upper()

    threads(work)
    assert sorted(ended(four)) == ["A", "B", "C", "D"]
    assert sorted(began) == ["a", "b", "c", "d"]


def test_a_failure_is_raised_and_ends_the_others(threads, four):
    began, failed = [], threading.Event()

    def work(name, observer):
        began.append(name)
        if name == "a":
            failed.set()
            raise OSError("no space")
        failed.wait()
        while True:  # until the observer says that nobody waits
            observer.progress(None)

    threads(work)
    with pytest.raises(OSError, match="no space"):
        ended(four)
    assert set(began) <= {"a", "b"}, "nothing new may begin after a failure"


def test_a_stop_is_raised_when_all_runs_have_stopped(threads, four):
    stopped = []

    def work(name, observer):
        stopped.append(name)
        raise signals.StopRequested(15)

    threads(work)
    with pytest.raises(signals.StopRequested):
        ended(four)
    assert len(stopped) == 2, "each thread ends with its run"


def test_whoever_stops_listening_ends_the_runs(threads, four):
    def work(name, observer):
        if name == "a":
            return name
        while True:
            observer.progress(None)

    threads(work)
    runs = side_by_side.train_all(four)
    assert next(runs).outcome == "a"
    runs.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("run-on-")]
