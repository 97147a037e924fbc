"""Ray clusters of which workers, machines and the head are killed, and drivers that are stopped."""

import os
import shutil
import signal
import time

import psutil
import pytest
from clusters import ray_cluster
from commands import finish, ladder_table, ladder_words, leftovers, run, sha, start, wait_for
from small_protocol import write_toml
from small_runs import read

from pathb_jax.cluster import HEAD_SECONDS

pytestmark = pytest.mark.faults

UPDATES = 400
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


def runs_at_work(out):
    """Pids that train a run which has a checkpoint and is far from its end, by its folder."""
    found = {}
    for holder in out.glob("*/.lock.json"):
        steps = {int(p.parent.name) for p in holder.parent.glob("checkpoints/*/*/manifest.json")}
        if steps and max(steps) <= UPDATES // 2:
            found[holder.parent.name] = read(holder)["pid"]
    return found


def test_a_worker_killed_in_mid_run(plain, tmp_path, tally):
    protocol, expected, code = plain
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        process = start("ladder.py", ladder_words(protocol, out, *FLAGS, "--ray", cluster.address))
        wait_for(lambda: runs_at_work(out) or process.poll() is not None)
        slug, pid = next(iter(runs_at_work(out).items()))
        os.kill(pid, signal.SIGKILL)
        ended = finish(process)
    assert ended.code == code, ended
    told = " ".join(ended.err.split())  # notices are wrapped
    assert f"{slug}: its worker was lost; another goes on" in told
    assert "resuming after update" in told
    assert (sha(out), leftovers(out)) == (expected, [])
    tally("SIGKILL of a Ray worker in mid-run: another goes on", 1, 1)


def test_a_machine_killed_in_mid_run(plain, tmp_path, tally):
    """Of a head with one core, where the driver is, and a machine with two."""
    protocol, expected, code = plain
    out = tmp_path / "out"
    with ray_cluster(1, 2) as cluster:
        process = start("ladder.py", ladder_words(protocol, out, *FLAGS, "--ray", cluster.address))
        there = {child.pid for child in cluster.nodes[1].processes()}

        def elsewhere():
            there.update(child.pid for child in cluster.nodes[1].processes())
            return [pid for pid in runs_at_work(out).values() if pid in there]

        wait_for(lambda: elsewhere() or process.poll() is not None)
        assert elsewhere()
        cluster.nodes[1].kill()
        ended = finish(process)
    assert ended.code == code, ended
    assert "its worker was lost; another goes on" in " ".join(ended.err.split())
    assert (sha(out), leftovers(out)) == (expected, [])
    tally("SIGKILL of all of a Ray machine in mid-run: another goes on", 1, 1)


def test_the_head_killed_in_mid_run(plain, tmp_path, tally):
    protocol, expected, code = plain
    out, other = tmp_path / "out", tmp_path / "other"
    with ray_cluster(2) as cluster:
        process = start("ladder.py", ladder_words(protocol, out, *FLAGS, "--ray", cluster.address))
        wait_for(lambda: runs_at_work(out) or process.poll() is not None)
        workers = list(runs_at_work(out).values())
        began = time.monotonic()
        cluster.kill()
        ended = finish(process)
        seconds = time.monotonic() - began
    assert workers
    assert ended.code == 1, ended
    assert "the Ray cluster at" in ended.error
    assert "is gone; what is on disk is valid; the same command goes on" in ended.error
    assert seconds < WITHIN
    assert not any(psutil.pid_exists(pid) for pid in workers)
    shutil.copytree(out, other)
    with ray_cluster(2) as cluster:
        again = run("ladder.py", ladder_words(protocol, out, *FLAGS, "--ray", cluster.address))
    alone = run("ladder.py", ladder_words(protocol, other, *FLAGS))
    assert [again.code, alone.code] == [code, code], (again, alone)
    assert [sha(out), sha(other)] == [expected, expected]
    assert leftovers(out) == []
    note = f"exit after {seconds:.1f} s; resumed with and without --ray"
    tally("SIGKILL of the Ray head in mid-run: exit 1", 1, 1, note)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_stopped_in_mid_run(signum, plain, tmp_path, tally):
    protocol, expected, code = plain
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        words = ladder_words(protocol, out, *FLAGS, "--ray", cluster.address)
        process = start("ladder.py", words)
        wait_for(lambda: runs_at_work(out) or process.poll() is not None)
        assert runs_at_work(out)
        began = time.monotonic()
        process.send_signal(signum)
        ended = finish(process)
        seconds = time.monotonic() - began
        assert ended.code == 128 + signum, ended
        assert f"stopped by {signum.name}: saved" in ended.err
        manifests = [read(path)["status"] for path in out.glob("*/manifests/*.json")]
        assert "incomplete" in manifests
        assert "running" not in manifests
        again = run("ladder.py", words)
    assert again.code == code, again
    assert (sha(out), leftovers(out)) == (expected, [])
    tally(f"{signum.name} to the driver of a Ray cluster", 1, 1, f"exit after {seconds:.1f} s")


def test_a_driver_killed_in_mid_run(plain, tmp_path, tally):
    """Its workers end with it, and their locks with them; the same command may follow at once."""
    protocol, expected, code = plain
    out = tmp_path / "out"
    with ray_cluster(2) as cluster:
        words = ladder_words(protocol, out, *FLAGS, "--ray", cluster.address)
        process = start("ladder.py", words)
        wait_for(lambda: runs_at_work(out) or process.poll() is not None)
        process.kill()
        assert finish(process).code == -9
        again = run("ladder.py", words)
    assert again.code == code, again
    assert (sha(out), leftovers(out)) == (expected, [])
    tally("SIGKILL of the driver of a Ray cluster, taken up at once", 1, 1)
