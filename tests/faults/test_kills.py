"""SIGKILL at random moments, and on purpose at every kind of write point."""

import collections
import concurrent.futures
import os
import random
import subprocess

import pytest
from commands import finish, ladder_words, leftovers, run, sha, start, wait_for
from small_runs import read

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("PATHB_FAULTS_KILLS", "40"))
SEED = int(os.environ.get("PATHB_FAULTS_SEED", "4"))
WORKERS = int(os.environ.get("PATHB_FAULTS_WORKERS", "2"))


def where_it_stood(out):
    """Say what a killed ladder was at, from its files."""
    if not (out / "ladder.json").exists():
        return "start-up and compile"
    record = read(out / "ladder.json")
    entries = [*record["candidates"], *record["batch"]]
    running = [entry["run_dir"] for entry in entries if entry.get("status") == "running"]
    if not running:
        return "record, note and figures"
    manifests = list((out / running[0] / "manifests").glob("*.json"))
    if not manifests:
        return "a run's beginning"
    if list((out / running[0]).glob("checkpoints/*/*.saving")):
        return "a checkpoint's writing"
    return "a run's end" if read(manifests[0])["status"] == "completed" else "a run"


def kill_once(words, out, after, from_record):
    """Kill the ladder so many seconds after its start, or after its record appeared.

    Returns:
        Whether it was still running then.
    """
    process = start("ladder.py", words)
    if from_record:
        wait_for(lambda: (out / "ladder.json").exists() or process.poll() is not None)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
    return finish(process).code == -9


def test_killed_at_random_moments(whole, tmp_path, tally):
    """One in eight before the first run, the others spread evenly from there to the end.

    Every fourth is killed a second time, while it resumes.
    """
    draw = random.Random(SEED)
    moments = [
        (draw.random() * whole.started, False)
        if k % 8 == 0
        else ((k + draw.random()) / KILLS * whole.seconds, True)
        for k in range(KILLS)
    ]
    again = [draw.uniform(0.3, 1.0) * whole.started if k % 4 == 0 else None for k in range(KILLS)]
    stood = collections.Counter()

    def one(index):
        out = tmp_path / str(index)
        words = ladder_words(whole.protocol, out)
        (after, from_record), killed = moments[index], 0
        while killed == 0:
            killed = int(kill_once(words, out, after, from_record))
            if not killed:  # it was quicker than the one that was measured
                out, after = tmp_path / f"{index}-{after:.3f}", after * 0.8
                words = ladder_words(whole.protocol, out)
        stood[where_it_stood(out)] += 1
        if again[index] is not None:
            killed += kill_once(words, out, again[index], False)
        ended = run("ladder.py", words)
        assert ended.code == 0, (index, ended)
        return killed, sha(out) == whole.sha and leftovers(out) == []

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(one, range(KILLS)))
    survived = sum(equal for _, equal in results)
    at = ", ".join(f"{count} in {name}" for name, count in stood.most_common())
    note = f"{sum(killed for killed, _ in results)} kills in all; first ones: {at}"
    tally("SIGKILL at random moments, then resumed", KILLS, survived, note)
    assert survived == KILLS, [index for index, (_, equal) in enumerate(results) if not equal]


def test_killed_at_every_kind_of_write_point(whole, tmp_path, tally):
    listed = tmp_path / "trace"
    traced = tmp_path / "traced"
    words = ladder_words(whole.protocol, traced)
    assert run("ladder.py", words, {"out": traced, "trace": listed}).code == 0
    assert sha(traced) == whole.sha
    counts = collections.Counter(listed.read_text().splitlines())
    assert any(name.startswith("os.rename") and ".saving" in name for name in counts)
    assert any(name.endswith("manifest.json.tmp") for name in counts)
    draw = random.Random(SEED)
    # To a killed process's files an fsync makes no difference, but for what stands behind it.
    points = [n for n in counts if not n.startswith("pathb.fsync") or n.endswith("_history.csv")]
    pending = [(name, draw.randint(1, min(counts[name], 12))) for name in points]

    def chain(points, folder):
        """Kill one ladder at each point in turn; begin another when a point comes no more."""
        killed, ended = [], 0
        for name, nth in points:
            out = folder / str(ended)
            at = {"out": out, "kill": name, "nth": nth}
            code = run("ladder.py", ladder_words(whole.protocol, out), at).code
            if code == 0:
                assert sha(out) == whole.sha, killed
                ended += 1
                at["out"] = out = folder / str(ended)
                code = run("ladder.py", ladder_words(whole.protocol, out), at).code
            assert code == -9, (name, nth, code)
            killed.append(name)
        assert run("ladder.py", ladder_words(whole.protocol, out)).code == 0
        assert (sha(out), leftovers(out)) == (whole.sha, []), killed
        return len(killed), ended + 1

    parts = [pending[worker::WORKERS] for worker in range(WORKERS)]
    folders = [tmp_path / f"worker-{worker}" for worker in range(WORKERS)]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(chain, parts, folders))
    killed, ladders = (sum(column) for column in zip(*results, strict=True))
    note = f"in {ladders} ladders, each of equal digest at its end"
    tally("SIGKILL right before each kind of write point", len(pending), killed, note)
    assert killed == len(pending)
