"""Runs on Ray clusters: refused flags at once; real clusters of two and four workers are slow."""

import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import ray_cluster
from small_protocol import small_table, write_toml
from small_runs import bad_input_line, read

from pathb_jax.cli import envelope, ladder
from pathb_jax.cluster import connection, driver, worker
from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.studies.digest import digest
from pathb_jax.system import provenance, signals

BAD = [
    ("--ray head", "--ray: 'head'", "host:port"),
    ("--ray ray://head:10001", "--ray: 'ray://head:10001'", "host:port"),
    ("--ray local", "--ray: 'local'", "host:port"),
    ("--ray head:70000", "--ray: 'head:70000'", "host:port"),
    ("--ray 127.0.0.1:1", "--ray: '127.0.0.1:1'", "nobody answers"),
    ("--ray auto --parallel-runs 2", "--parallel-runs: 2", "with --ray"),
]


@pytest.mark.parametrize("main", [ladder.main, envelope.main])
@pytest.mark.parametrize(("words", "where", "said"), BAD)
def test_bad_input_is_one_line(main, words, where, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = bad_input_line(main, words.split(), capsys, tmp_path)
    assert where in line
    assert said in line


def test_a_device_is_not_shared_on_a_cluster(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--ray", "auto", "--runs-per-device", "2"]
    line = bad_input_line(ladder.main, words, capsys, tmp_path)
    assert "--runs-per-device: 2" in line


def test_without_ray_it_says_what_to_install(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    line = bad_input_line(ladder.main, ["--ray", "auto"], capsys, tmp_path)
    assert "install pathb-jax[cluster]" in line


@pytest.mark.parametrize(
    "error",
    [
        InputError("--out", "there", "it is in use"),
        CheckpointError("damaged"),
        OSError(28, "No space left on device"),
        signals.StopRequested(15),
    ],
)
def test_what_a_worker_returns_comes_back_as_it_was(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_stop_reaches_those_that_have_begun_and_those_that_have_not():
    mailbox = worker.Mailbox()
    assert mailbox.begin(0) is None
    assert mailbox.tell([("notice", "one")]) is None
    assert mailbox.collect(15) == ([("notice", "one")], {0})
    assert mailbox.tell([]) == 15
    assert mailbox.begin(1) == 15
    assert mailbox.collect(15) == ([], {0, 1})


def test_a_run_that_begins_again_had_lost_its_worker():
    mailbox = worker.Mailbox()
    for key in (0, 1, 0):
        mailbox.begin(key)
    assert mailbox.collect(None)[0] == [("lost", 0)]


def settings(folder, environment=None):
    return worker.Settings("head:6379", str(folder), "auto", True, environment)


def test_a_worker_needs_the_shared_folder(tmp_path):
    with pytest.raises(InputError, match="has to be there on"):
        worker._prepare(settings(tmp_path / "elsewhere"))


def test_a_worker_of_another_kind_is_refused_with_what_differs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = provenance.environment()
    other["backend"]["cores"] = 1000
    with pytest.raises(InputError, match=r"backend\.cores: 1000 -> "):
        worker._prepare(settings(tmp_path, other))
    driver._check_code("head:6379", other)  # cores are not code
    other["source"] = {**other["source"], "program": "0123456"}
    with pytest.raises(InputError, match=r"source\.program: .* -> '0123456'"):
        driver._check_code("head:6379", other)


def run(repository, words, folder, **environment):
    """Run a script in a process of its own, in a folder of its own."""
    return subprocess.run(
        [sys.executable, str(repository / "scripts" / words[0]), *words[1:]],
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory, repository):
    """A folder with a protocol, and a ladder of one run after another, on one device."""
    folder = tmp_path_factory.mktemp("alone")
    write_toml(folder / "small.toml", small_table(passes=True))
    done = run(repository, [*LADDER, "--out", "alone", "--parallel-runs", "1"], folder)
    assert done.returncode == 0, done.stderr
    return folder


LADDER = ["ladder.py", "--protocol", "small.toml", "--speculative", "--train-seeds", "2"]


@pytest.mark.slow  # a real cluster
@pytest.mark.parametrize("cores", [(2,), (2, 2)], ids=["two workers", "four on two machines"])
def test_a_ladder_has_the_same_bits_on_a_cluster(cores, alone, repository, tmp_path):
    out = tmp_path / "out"
    with ray_cluster(*cores) as there:
        done = run(repository, [*LADDER, "--out", str(out), "--ray", there.address], alone)
    assert done.returncode == 0, done.stderr
    assert f"; {sum(cores)} at a time" in done.stdout
    assert "update 50/50" in done.stderr
    assert digest(out) == digest(alone / "alone")
    records = [read(folder / "ladder.json") for folder in (out, alone / "alone")]
    assert records[0]["environment"] == records[1]["environment"]
    again = run(repository, [*LADDER, "--out", str(out)], alone)
    assert (again.returncode, "nothing to train" in again.stderr) == (0, True)


@pytest.mark.slow  # a real cluster
def test_a_ladder_begun_here_goes_on_on_a_cluster(alone, repository, tmp_path):
    out = tmp_path / "out"
    begun = run(repository, [*LADDER, "--out", str(out), "--skip-batch"], alone)
    assert begun.returncode == 0, begun.stderr
    with ray_cluster(1) as there:
        done = run(repository, [*LADDER, "--out", str(out), "--ray", there.address], alone)
    assert done.returncode == 0, done.stderr
    assert digest(out) == digest(alone / "alone")


@pytest.mark.slow  # a real cluster
def test_an_envelope_has_the_same_figures_on_a_cluster(repository, tmp_path):
    words = ["envelope.py", "--lambdas", "0", "1", "--train-seeds", "1", "--updates", "2"]
    words += ["--eval-seeds", "4"]
    with ray_cluster(2) as there:
        for name, more in (("here", []), ("there", ["--ray", there.address])):
            places = ["--table", f"{name}/table.csv", "--out", f"{name}/runs"]
            (tmp_path / name).mkdir()
            done = run(repository, [*words, *places, *more], tmp_path)
            assert done.returncode == 0, done.stderr
    folders = [sorted(Path(tmp_path / name / "runs").iterdir()) for name in ("here", "there")]
    assert len(folders[0]) == 2
    assert [digest(run) for run in folders[0]] == [digest(run) for run in folders[1]]


@pytest.mark.slow  # a real cluster
def test_what_a_worker_refuses_ends_the_command_as_without_ray(alone, repository, tmp_path):
    out = tmp_path / "out"
    with ray_cluster(1) as there:
        words = [*LADDER, "--out", str(out), "--ray", there.address]
        (out / "mixed_0_90_pathb_lr1e4").mkdir(parents=True)
        (out / "mixed_0_90_pathb_lr1e4" / "logs").write_text("in the way of the run's files")
        done = run(repository, words, alone)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert "the same command goes on from the last checkpoint" in done.stderr
        away = run(repository, ["ladder.py", "--backend", "gpu", "--ray", there.address], tmp_path)
        assert (away.returncode, "the Ray cluster has no GPU" in away.stderr) == (2, True)


ANSWERS = {
    "open": ({"disabled": None, "own": None}, "note: the Ray cluster asks for no token"),
    "token": ({"disabled": "x\nAuthenticationError: x", "own": None}, ""),
    "other token": ({"disabled": "AuthenticationError", "own": "x"}, "asks for another token"),
    "no Ray": (
        {"disabled": "x\nno", "own": "x"},
        "no healthy head of a Ray cluster (no",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whether_a_cluster_asks_for_a_token_is_told(name, monkeypatch, capsys):
    answers, said = ANSWERS[name]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(
        connection,
        "_health",
        lambda address, variables: answers["disabled" if variables else "own"],
    )
    if answers["disabled"] is None or answers["own"] is None:
        connection._check_head("head:6379")
        told = capsys.readouterr().err
        assert told.startswith(said)
        assert len(told.splitlines()) == bool(said)
        return
    with pytest.raises(InputError, match=re.escape(said)):
        connection._check_head("head:6379")


@pytest.mark.slow  # a real cluster
@pytest.mark.parametrize("address", ["its own", "auto"])
def test_a_wrong_token_is_named_before_anything_is_written(address, repository, tmp_path):
    with ray_cluster(1) as there:
        ray = there.address if address == "its own" else "auto"
        words = ["ladder.py", "--ray", ray, "--out", str(tmp_path / "out")]
        for given, said in (
            ({"RAY_AUTH_TOKEN": "f" * 64}, "asks for another token"),
            ({"RAY_AUTH_MODE": "disabled"}, "set RAY_AUTH_MODE=token"),
            ({"RAY_AUTH_TOKEN": "", "HOME": str(tmp_path)}, "asks for another token"),
        ):
            done = run(repository, words, tmp_path, **given)
            assert done.returncode == 2, done.stderr
            (line,) = done.stderr.splitlines()
            assert line.startswith(f"error: --ray: '{ray}' is not allowed; ")
            assert said in line
            assert "gone" not in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # a real cluster
def test_a_cluster_without_a_token_is_named_before_it_trains(alone, repository, tmp_path):
    with ray_cluster(1, mode="disabled") as there:
        words = [*LADDER, "--plan", "--out", str(tmp_path / "out"), "--ray", there.address]
        done = run(repository, words, alone)
    assert done.returncode == 0, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("note:")]
    assert "asks for no token" in line


def test_a_request_can_be_made_and_taken_back():
    signals.request(signal.SIGTERM)
    try:
        with pytest.raises(signals.StopRequested):
            signals.stop_if_requested()
    finally:
        signals.request(None)
    signals.stop_if_requested()
