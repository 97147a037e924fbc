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

from pathb_jax.store.digest import digest

pytestmark = pytest.mark.faults

STOP = {"when": "pathb_jax.running:Run._chunk", "nth": 15, "delay": 0.0, "signals": [9]}
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


def test_another_commit(whole, tmp_path, tally):
    checkout, out = tmp_path / "checkout", tmp_path / "out"
    checkout.mkdir()
    for name in ("pathb_jax", "envs", "scripts"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=ignore)
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "one")
    first = git(checkout, "rev-parse", "HEAD")
    words = [str(checkout / "scripts" / "ladder.py"), *ladder_words(whole.protocol, out)]

    def ladder(*more):
        environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [sys.executable, *words, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    process = ladder()
    wait_for(lambda: any(out.glob("*/manifests/*.json")))
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    git(checkout, "commit", "-qm", "two", "--allow-empty")
    second = git(checkout, "rev-parse", "HEAD")
    refused = finish(ladder())
    assert refused.code == 2, refused
    assert f"source.commit: {first!r} -> {second!r}" in refused.error
    (checkout / "scripts" / "edited.py").write_text("# dirty\n")
    refused = finish(ladder())
    assert "source.dirty: False -> True" in refused.error
    accepted = finish(ladder("--accept-environment-change"))
    assert accepted.code == 0, accepted
    record = read(out / "ladder.json")
    assert f"environment: source.commit: {first!r} -> {second!r}" in record["deviations"]
    assert record["standing"] == "exploratory"
    assert_same_runs(whole, out)
    tally("another commit, then a dirty tree, between stop and resume", 2, 2)
