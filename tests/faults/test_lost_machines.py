"""Ray clusters of which workers, machines and the head are killed, and drivers that are stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from clusters import ray_cluster
from commands import (
    finish,
    ladder_table,
    ladder_words,
    leftovers,
    patience,
    run,
    sha,
    start,
    wait_for,
)
from small_protocol import write_toml
from small_runs import read

from pathb_jax.cluster.driver import HEAD_SECONDS
from pathb_jax.cluster.worker import REPLY_SECONDS
from pathb_jax.store.lock import is_held
from pathb_jax.store.step_folders import complete_steps

pytestmark = pytest.mark.faults

UPDATES = 800
"""Enough that a run can be met in the middle."""
FLAGS = ["--speculative", "--train-seeds", "2"]
WITHIN = HEAD_SECONDS + 10.0
"""Seconds from the head's end to the command's."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A protocol, and the digest of its ladder when one run after another is trained here."""
    folder = tmp_path_factory.mktemp("plain")
    table = ladder_table()
    table["run"]["updates"] = UPDATES
    protocol = write_toml(folder / "protocol.toml", table)
    words = ladder_words(protocol, folder / "out", *FLAGS, "--parallel-runs", "1")
    ended = run("ladder.py", words)
    assert ended.code in (0, 3), ended
    return protocol, sha(folder / "out"), ended.code


@pytest.fixture
def words(plain, tmp_path):
    return ladder_words(plain[0], tmp_path / "out", *FLAGS)


@pytest.fixture
def begun():
    """Start a ladder that ends with the test at the latest."""
    started: list[subprocess.Popen[str]] = []

    def begin(words):
        started.append(start("ladder.py", words))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def runs_at_work(out, process, among=lambda pid: True):
    """Wait for runs with a checkpoint and far from their ends; return their pids by folder."""
    found = {}

    def look():
        assert process.poll() is None, process.communicate()
        for holder in out.glob("*/.lock.json"):
            steps = [
                step for f in holder.parent.glob("checkpoints/*") for step in complete_steps(f)
            ]
            with contextlib.suppress(FileNotFoundError):  # a run that just ended
                if steps and max(steps) <= UPDATES // 2 and among(pid := read(holder)["pid"]):
                    found[holder.parent.name] = pid
        return found

    wait_for(look)
    return found


def assert_as_if_nothing_happened(ended, out, plain):
    assert ended.code == plain[2], ended
    assert (sha(out), leftovers(out)) == (plain[1], [])


def test_a_worker_killed_in_mid_run(plain, words, begun, tmp_path, tally):
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        label, pid = next(iter(runs_at_work(out, process).items()))
        os.kill(pid, signal.SIGKILL)
        ended = finish(process)
    told = " ".join(ended.err.split())  # notices are wrapped
    assert f"{label}: its worker was lost; another goes on" in told
    assert "resuming after update" in told
    assert_as_if_nothing_happened(ended, out, plain)
    tally("SIGKILL of a Ray worker in mid-run: another goes on", 1, 1)


def test_a_machine_killed_in_mid_run(plain, words, begun, tmp_path, tally):
    """Of a head with one core, where the driver is, and a machine with two."""
    out = tmp_path / "out"
    with ray_cluster(1, 2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        other = cluster.nodes[1]
        runs_at_work(out, process, lambda pid: pid in {p.pid for p in other.processes()})
        other.kill()
        ended = finish(process)
    told = " ".join(ended.err.split())
    assert "its worker was lost; another goes on" in told
    assert "resuming after update" in told
    assert_as_if_nothing_happened(ended, out, plain)
    tally("SIGKILL of all of a Ray machine in mid-run: another goes on", 1, 1)


def test_the_head_killed_in_mid_run(plain, words, begun, tmp_path, tally):
    out, other = tmp_path / "out", tmp_path / "other"
    with ray_cluster(2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        workers = runs_at_work(out, process).values()
        began = time.monotonic()
        cluster.kill()
        ended = finish(process)
        seconds = time.monotonic() - began
    assert ended.code == 1, ended
    assert "the Ray cluster at" in ended.error
    assert "is gone; what is on disk is valid; the same command goes on" in ended.error
    assert seconds < WITHIN * patience()
    assert not any(psutil.pid_exists(pid) for pid in workers)
    shutil.copytree(out, other)
    with ray_cluster(2) as cluster:
        again = run("ladder.py", [*words, "--ray", cluster.address])
    assert_as_if_nothing_happened(again, out, plain)
    alone = run("ladder.py", ladder_words(plain[0], other, *FLAGS))
    assert_as_if_nothing_happened(alone, other, plain)
    note = f"exit after {seconds:.1f} s; resumed with and without --ray"
    tally("SIGKILL of the Ray head in mid-run: exit 1", 1, 1, note)


def test_the_head_alone_killed_while_a_machine_works_on(plain, words, begun, tmp_path, tally):
    """The driver is on the head's machine, the runs are on another; both end."""
    out = tmp_path / "out"
    with ray_cluster(0, 2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        folders = [out / label for label in runs_at_work(out, process)]
        cluster.nodes[0].kill()
        began = time.monotonic()
        ended = finish(process)
        seconds = time.monotonic() - began
        assert (ended.code, seconds < WITHIN * patience()) == (1, True), (ended, seconds)
        wait_for(lambda: not any(map(is_held, folders)), seconds=2 * REPLY_SECONDS * patience())
        left = time.monotonic() - began
    assert_as_if_nothing_happened(run("ladder.py", words), out, plain)
    note = f"exit after {seconds:.1f} s; the runs elsewhere ended after {left:.0f} s"
    tally("SIGKILL of the Ray head, with workers on another machine: exit 1", 1, 1, note)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_stopped_in_mid_run(signum, plain, words, begun, tmp_path, tally):
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        runs_at_work(out, process)
        began = time.monotonic()
        process.send_signal(signum)
        ended = finish(process)
        seconds = time.monotonic() - began
        assert ended.code == 128 + signum, ended
        assert f"stopped by {signum.name}: saved" in ended.err
        manifests = [read(path)["status"] for path in out.glob("*/manifests/*.json")]
        assert "incomplete" in manifests
        assert "running" not in manifests
        again = run("ladder.py", [*words, "--ray", cluster.address])
    assert_as_if_nothing_happened(again, out, plain)
    tally(f"{signum.name} to the driver of a Ray cluster", 1, 1, f"exit after {seconds:.1f} s")


def test_a_driver_killed_in_mid_run(plain, words, begun, tmp_path, tally):
    """Its workers end with it, and their locks with them; the same command may follow at once."""
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        process = begun([*words, "--ray", cluster.address])
        runs_at_work(out, process)
        process.kill()
        assert finish(process).code == -9
        again = run("ladder.py", [*words, "--ray", cluster.address])
    assert_as_if_nothing_happened(again, out, plain)
    tally("SIGKILL of the driver of a Ray cluster, taken up at once", 1, 1)
