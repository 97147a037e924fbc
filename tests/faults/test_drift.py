"""A second writer, a stale lock, and what changed between a stop and its resumption."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from commands import REPOSITORY, Ended, finish, ladder_words, run, sha, start, wait_for
from small_runs import read, tree_of

from pathb_jax.studies.digest import digest

pytestmark = pytest.mark.faults

STOP = {"when": "pathb_jax.runs.run:Run._chunk", "nth": 15, "delay": 0.0, "signals": [9]}
"""SIGKILL in the second run of the ladder."""


def kill_in_the_second_run(words, folder, **environment):
    ended = run("ladder.py", words, {**STOP, "mark": folder / "mark"}, **environment)
    assert ended.code == -signal.SIGKILL, ended


def test_two_ladders_at_once_and_a_stale_lock(whole, tmp_path, tally):
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    first = start("ladder.py", words)
    try:
        wait_for(lambda: (out / "ladder.json").exists())
        os.kill(first.pid, signal.SIGSTOP)
        holder = read(out / ".lock.json")
        second = run("ladder.py", words)
        single = run(
            "train_ppo.py",
            ["--variant", "reward_ppo_phase3", "--updates", "1", "--out", str(out)],
        )
        for refused in (second, single):
            assert refused.code == 2, refused
            assert f"in use by pid {first.pid} on {socket.gethostname()}" in refused.error
            assert f"since {holder['since']}" in refused.error
    finally:
        first.kill()
    assert finish(first).code == -signal.SIGKILL
    tally("a second ladder or run in the same folder: exit 2 naming the holder", 2, 2)
    assert read(out / ".lock.json")["pid"] == first.pid  # stale
    assert run("ladder.py", words).code == 0
    assert sha(out) == whole.sha
    tally("a stale lock after SIGKILL", 1, 1)


def test_a_protocol_edited_in_mid_run(whole, tmp_path, tally):
    out, protocol = tmp_path / "out", tmp_path / "protocol.toml"
    words = ladder_words(protocol, out)
    text = whole.protocol.read_text()
    protocol.write_text(text)
    kill_in_the_second_run(words, tmp_path)
    before = tree_of(out)
    edited = text.replace('"threshold" = 0.0', '"threshold" = 0.125')
    assert edited != text
    protocol.write_text(edited)
    refused = run("ladder.py", words)
    assert refused.code == 2, refused
    assert "0.0 -> 0.125" in refused.error
    assert tree_of(out) == before
    protocol.write_text(f"# a comment is a change too\n{text}")
    refused = run("ladder.py", words)
    assert refused.code == 2, refused
    assert "--protocol" in refused.error
    assert tree_of(out) == before
    protocol.write_text(text)
    assert run("ladder.py", words).code == 0
    assert sha(out) == whole.sha
    tally("a protocol edited in mid-run: refused with old -> new", 2, 2)


def resumed_elsewhere(whole, tmp_path, expected, **environment) -> Ended:
    """Stop here, resume there: refused, then accepted and recorded. Return the acceptance."""
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    kill_in_the_second_run(words, tmp_path)
    before = tree_of(out)
    refused = run("ladder.py", words, **environment)
    assert refused.code == 2, refused
    assert expected in refused.error
    assert "--accept-environment-change" in refused.error
    assert tree_of(out) == before
    accepted = run("ladder.py", [*words, "--accept-environment-change"], **environment)
    assert accepted.code == 0, accepted
    record = read(out / "ladder.json")
    assert f"environment: {expected}" in record["deviations"]
    assert (record["standing"], record["canonical"]) == ("exploratory", False)
    second = record["candidates"][1]
    manifest = read(out / second["run_dir"] / "manifests" / f"{second['slug']}.json")
    assert expected in manifest["environment_changes"][0]["changes"]
    return accepted


def assert_same_runs(whole, out):
    ours, theirs = digest(out), digest(whole.out)
    for part in theirs:
        if part not in ("record", "all"):
            assert ours[part] == theirs[part], part


def test_an_xla_flag_changed(whole, tmp_path, tally):
    flag = "--xla_cpu_enable_fast_math=false"
    old = os.environ.get("XLA_FLAGS", "")
    expected = f"backend.xla_flags: {old!r} -> {flag!r}"
    resumed_elsewhere(whole, tmp_path, expected, XLA_FLAGS=flag)
    assert_same_runs(whole, tmp_path / "out")  # this one changes no bit
    tally("an XLA flag changed between stop and resume", 1, 1)


def test_a_version_changed(whole, tmp_path, tally):
    """Another optax, as far as the metadata say, found first on the path."""
    import importlib.metadata

    fake = tmp_path / "packages" / "optax-9.9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: optax\nVersion: 9.9.9\n")
    now = importlib.metadata.version("optax")
    expected = f"backend.versions.optax: {now!r} -> '9.9.9'"
    resumed_elsewhere(whole, tmp_path, expected, PYTHONPATH_FIRST=str(fake.parent))
    assert_same_runs(whole, tmp_path / "out")
    tally("a package version changed between stop and resume", 1, 1)


def git(folder, *words):
    who = ["-c", "user.name=faults", "-c", "user.email=faults@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A committed copy of the program."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pathb_jax", "envs", "scripts"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=ignore)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def started_there(checkout, words):
    """Start a ladder with the copy's program."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, str(checkout / "scripts" / "ladder.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def edit(checkout):
    """Change the program, though nothing that it does."""
    edited = checkout / "pathb_jax" / "ladder" / "acceptance.py"
    edited.write_text(edited.read_text() + "# edited\n")


def test_another_commit_and_an_edited_program(whole, checkout, tmp_path, tally):
    out = tmp_path / "out"
    words = ladder_words(whole.protocol, out)
    process = started_there(checkout, words)
    wait_for(lambda: any(out.glob("*/manifests/*.json")))
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    edit(checkout)
    refused = finish(started_there(checkout, words))
    assert refused.code == 2, refused
    assert "source.program: " in refused.error
    assert "source.dirty: False -> True" in refused.error
    git(checkout, "checkout", "-q", ".")
    # Another commit of the same program is the same program; so it is with a picture beside it.
    git(checkout, "commit", "-qm", "two", "--allow-empty")
    (checkout / "picture.png").write_bytes(b"picture")
    again = finish(started_there(checkout, words))
    assert again.code == 0, again
    record = read(out / "ladder.json")
    assert (record["standing"], record["deviations"]) == ("registered", [])
    assert_same_runs(whole, out)
    tally("another commit of the same program, and an edited one, between stop and resume", 2, 2)
    runs = [*record["candidates"], *record["batch"]]
    assert record["started"] <= min(entry["trained"]["started"] for entry in runs)
    assert max(entry["trained"]["ended"] for entry in runs) <= record["ended"]

    # Without its record the ladder takes the finished runs up, if they are of this program.
    (out / "ladder.json").unlink()
    edit(checkout)
    refused = finish(started_there(checkout, words))
    assert refused.code == 2, refused
    assert f"run {runs[0]['run_dir']} there was trained in another environment" in refused.error
    assert not (out / "ladder.json").exists()
    accepted = finish(started_there(checkout, [*words, "--accept-environment-change"]))
    assert accepted.code == 0, accepted
    record = read(out / "ladder.json")
    assert record["standing"] == "exploratory"
    listed = [line for line in record["deviations"] if "source.program: " in line]
    assert len(listed) == len(runs)
    assert "environment: program: as committed -> with uncommitted changes" in record["deviations"]
    assert all(entry["trained"]["before_ladder"] for entry in record["candidates"])
    tally("a finished ladder's record deleted, its runs taken up by an edited program", 1, 1)


@pytest.mark.parametrize(
    ("name", "value", "now"),
    [("JAX_THREEFRY_PARTITIONABLE", "0", False), ("JAX_DISABLE_MOST_OPTIMIZATIONS", "1", True)],
)
def test_a_setting_of_jax_changed(whole, tmp_path, tally, name, value, now):
    expected = f"backend.jax_config.{name.lower()}: None -> {now}"
    resumed_elsewhere(whole, tmp_path, expected, **{name: value})
    tally("a setting of JAX changed between stop and resume", 1, 1)


def test_a_setting_of_jax_from_the_beginning(whole, tmp_path):
    words = ladder_words(whole.protocol, tmp_path / "out", "--plan")
    planned = run("ladder.py", words, JAX_THREEFRY_PARTITIONABLE="0")
    assert planned.code == 0, planned
    said = "departures: environment: jax_threefry_partitionable: default -> False"
    assert f"verdict will be exploratory; {said}" in planned.out


FINISH = """
import sys
from pathlib import Path
from pathb_jax.system import backend
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs.trainer import train
backend.select_backend("auto")
protocol = load_protocol(sys.argv[1])
plan = LadderPlan(
    protocol, planned_run(protocol), Path(sys.argv[2]), accept_environment_change=True
)
train(plan.candidate_run(protocol.candidates[1]))
"""


def test_a_run_finished_elsewhere_does_not_launder_the_change(whole, tmp_path, tally):
    out, flag = tmp_path / "out", "--xla_cpu_enable_fast_math=false"
    words = ladder_words(whole.protocol, out)
    kill_in_the_second_run(words, tmp_path)
    subprocess.run(
        [sys.executable, "-c", FINISH, str(whole.protocol), str(out)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": flag},
        check=True,
    )
    before = tree_of(out)
    refused = run("ladder.py", words)
    assert refused.code == 2, refused
    assert flag in refused.error
    assert tree_of(out) == before
    accepted = run("ladder.py", [*words, "--accept-environment-change"])
    assert accepted.code == 0, accepted
    record = read(out / "ladder.json")
    assert record["standing"] == "exploratory"
    entry = record["candidates"][1]
    assert any(entry["run_dir"] in line and flag in line for line in record["deviations"])
    assert entry["trained"]["environment_changes"][0]["changes"]
    tally("a run finished alone in another environment, then taken up by its ladder", 1, 1)
