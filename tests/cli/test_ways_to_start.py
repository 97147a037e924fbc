"""Every command as module, script and console command, in a checkout and as a wheel elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from small_protocol import small_table, write_toml
from small_runs import FLAGS, command_line

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONSOLE = {name: entry.removesuffix(":main") for name, entry in PROJECT["scripts"].items()}
"""Console command -> the module whose `main` it is."""
SCRIPTS = {
    path: re.findall(r"^from (pathb_jax\.cli\.\w+) import main$", path.read_text("utf-8"), re.M)
    for path in sorted((ROOT / "scripts").glob("*.py"))
}


def started(words, folder=ROOT, path=ROOT):
    """Run words in a process of its own that finds the packages in `path`."""
    variables = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_every_script_is_a_console_command_too():
    assert sorted(module for modules in SCRIPTS.values() for module in modules) == sorted(
        CONSOLE.values()
    )
    assert all(entry.endswith(":main") for entry in PROJECT["scripts"].values())
    assert all(name.startswith("pathb-") for name in CONSOLE)


@pytest.mark.parametrize("module", CONSOLE.values())
def test_as_module(module):
    code, out, err = started([sys.executable, "-m", module, "--no-such-flag"])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_as_script(script, tmp_path):
    code, out, err = started([sys.executable, str(script), "--help"], tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel's packages and commands, made of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pathb_jax", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), "./source"]
    assert started(build, folder)[0] == 0
    (wheel,) = folder.glob("*.whl")
    install = [*pip, "install", *offline, "--target", str(folder / "site"), str(wheel)]
    assert started(install, folder)[0] == 0
    shutil.rmtree(folder / "source")
    return folder / "site"


@pytest.mark.slow  # builds and installs a wheel
@pytest.mark.parametrize("name", CONSOLE)
def test_as_console_command_of_a_wheel(name, installed, tmp_path):
    code, out, err = started([str(installed / "bin" / name), "--help"], tmp_path, installed)
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")
    module = [sys.executable, "-m", CONSOLE[name], "--help"]
    assert started(module, tmp_path, installed)[0] == 0


@pytest.mark.slow  # trains
def test_a_wheel_is_all_that_the_commands_need(installed, tmp_path):
    write_toml(tmp_path / "small.toml", small_table(passes=True))
    train = command_line(**{**FLAGS, "out": "run"})
    study = "--lambdas 0 --train-seeds 1 --updates 2 --eval-seeds 4 --out runs --doc page.md"
    for words in (
        ["pathb-train", *train],
        ["pathb-evaluate", "--checkpoint", "run", "--eval-seeds", "4", "--render", "a.png"],
        ["pathb-ladder", "--protocol", "small.toml", "--out", "ladder"],
        ["pathb-check", "--digest", "ladder"],
        ["pathb-envelope", *study.split()],
        ["pathb-anchors", "--page-only", "--doc", "anchors.md"],
    ):
        command = [str(installed / "bin" / words[0]), *words[1:]]
        code, out, err = started(command, tmp_path, installed)
        assert code == 0, (words, err)
        assert out
    note = next((tmp_path / "ladder").glob("*.md")).read_text("utf-8")
    assert "adopted" in note
    look = "import pathb_jax; from pathb_jax.ladder.protocol import load_protocol; "
    look += "load_protocol('path_b'); print(pathb_jax.__file__)"
    code, out, err = started([sys.executable, "-c", look], tmp_path, installed)
    assert (code, Path(out.strip()).parent) == (0, installed / "pathb_jax"), err
