"""Which program it is: its sources decide, not the commit they stand in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pathb_jax.system import source

ASK = "from pathb_jax.system import source; print(source.source_version())"


def git(folder, *words):
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    variables = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, env=variables)


def ask(folder: Path, **variables: str) -> dict:
    """Return what a copy of the program says of itself."""
    clean = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        env={**clean, **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return eval(said)


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for package in ("pathb_jax", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(repository / package, folder / package, symlinks=True, ignore=ignored)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


@pytest.fixture
def copy(checkout, tmp_path) -> Path:
    shutil.copytree(checkout, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_a_copy_of_the_sources_is_the_same_program(copy):
    said = ask(copy)
    assert said["program"] == source.program_digest()
    assert len(said["program"]) == 64
    assert (len(said["commit"]), said["dirty"]) == (40, False)
    shutil.rmtree(copy / ".git")  # as in a wheel
    assert ask(copy) == {**said, "commit": None, "dirty": None}


def test_another_commit_and_what_is_no_source_change_nothing(copy):
    before = ask(copy)
    (copy / "docs").mkdir()
    (copy / "docs" / "page.md").write_text("a figure more\n")
    (copy / "picture.png").write_bytes(b"picture")
    (copy / "pathb_jax" / "__pycache__").mkdir()
    (copy / "pathb_jax" / "__pycache__" / "run.cpython-311.pyc").write_bytes(b"cache")
    protocol = copy / "pathb_jax" / "protocols" / "path_b.toml"
    protocol.write_text(protocol.read_text() + "# edited\n")
    run = copy / "pathb_jax" / "runs" / "run.py"
    assert ask(copy) == before
    git(copy, "commit", "-aqm", "two", "--allow-empty")
    run.write_bytes(run.read_bytes().replace(b"\n", b"\r\n"))
    after = ask(copy)
    assert after["program"] == before["program"]
    assert after["commit"] != before["commit"]


def test_two_uncommitted_states_are_two_programs(copy):
    before = ask(copy)
    edited = copy / "pathb_jax" / "ladder" / "acceptance.py"
    text, programs = edited.read_text(), {before["program"]}
    for comment in ("# one", "# two"):
        edited.write_text(f"{text}{comment}\n")
        said = ask(copy)
        assert (said["commit"], said["dirty"]) == (before["commit"], True)
        programs.add(said["program"])
    (copy / "envs" / "more.py").write_text("")
    programs.add(ask(copy)["program"])
    assert len(programs) == 4


def test_git_variables_do_not_make_it_another_repository(checkout, tmp_path):
    git(tmp_path, "init", "-q", "other")
    other = tmp_path / "other"
    git(other, "commit", "-qm", "other", "--allow-empty")
    before = ask(checkout)
    there = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
    }
    assert ask(checkout, **there) == before
