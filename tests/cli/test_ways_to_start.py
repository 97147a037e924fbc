"""Every command as subcommand, module and script: in a checkout, installed, and installed editably.

The installed ones are started in a folder with an `envs` package of the user's own.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from small_protocol import small_table, write_toml
from small_runs import FLAGS, command_line

from pathb_jax.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SCRIPTS = {
    path: re.findall(
        r"^from pathb_jax\.cli\.(\w+) import main$", path.read_text("utf-8"), re.MULTILINE
    )
    for path in sorted((ROOT / "scripts").glob("*.py"))
}
OFFLINE = ["--no-input", "--disable-pip-version-check", "-q", "--no-deps", "--no-index"]


def started(words, folder=ROOT, path=ROOT):
    """Run words in a process of its own that finds the packages in `path`."""
    variables = {**os.environ, "PYTHONPATH": str(path)}
    if path is None:
        del variables["PYTHONPATH"]
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_every_script_is_a_subcommand_too():
    assert PROJECT["scripts"] == {"pathb": "pathb_jax.__main__:pathb"}
    modules = sorted(module for names in SCRIPTS.values() for module in names)
    assert modules == sorted(command.module for command in COMMANDS.values())


@pytest.mark.parametrize("words", [["pathb_jax", name] for name in COMMANDS], ids=COMMANDS)
def test_as_subcommand(words):
    code, out, err = started([sys.executable, "-m", *words, "--no-such-flag"])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_as_script(script, tmp_path):
    code, out, err = started([sys.executable, str(script), "--help"], tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")


def sources(folder):
    """Copy what is installed from, so that installing changes nothing in the checkout."""
    for name in ("pathb_jax", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def pip(folder, *words):
    code, _, err = started([sys.executable, "-m", "pip", *words], folder, path=None)
    assert code == 0, err


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder with the wheel's packages and commands."""
    folder = tmp_path_factory.mktemp("wheel")
    source = sources(folder / "source")
    pip(folder, "wheel", *OFFLINE, "--no-build-isolation", "-w", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    pip(folder, "install", *OFFLINE, "--target", str(folder / "site"), str(wheel))
    shutil.rmtree(source)
    return folder / "site"


@pytest.fixture(scope="module")
def editable(tmp_path_factory):
    """The Python of a virtual environment with the project installed editably.

    Everything else is taken from this environment, whose own `.pth` files do not act there.
    """
    folder = tmp_path_factory.mktemp("editable")
    python = folder / "venv" / "bin" / "python"
    assert started([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)[0] == 0
    (packages,) = (folder / "venv").glob("lib/*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    install = ["--python", str(python), "install", *OFFLINE, "--no-build-isolation"]
    pip(folder, *install, "--ignore-installed", "-e", str(sources(folder / "source")))
    return python


@pytest.fixture
def own_envs(tmp_path):
    """A folder whose `envs` is the user's."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("MINE = True\n")
    return tmp_path


ENVS = """
import sys
from pathlib import Path
sys.path.insert(0, "")
import envs
assert envs.MINE
import gymnax
import pathb_jax.envs
env, _ = gymnax.make("MesaShadowField-v0")
assert type(env).__module__ == "pathb_jax.envs.shadow_field", type(env)
print(Path(pathb_jax.__file__).parent)
"""


def assert_commands_work(pathb, path, folder):
    """Train, look and digest; no command minds the user's own `envs`."""
    train = command_line(**{**FLAGS, "out": "run"})
    for words in (
        ["--version"],
        ["--completion", "bash"],
        ["train", *train],
        ["evaluate", "--checkpoint", "run", "--eval-seeds", "4"],
        ["check", "--digest", "run"],
    ):
        code, out, err = started([*pathb, *words], folder, path)
        assert code == 0, (words, err)
        assert out


@pytest.mark.slow  # builds and installs a wheel
def test_a_wheel_beside_an_envs_package_of_the_users(wheel, own_envs):
    (record,) = wheel.glob("*.dist-info/RECORD")
    tops = {line.split(",")[0].split("/")[0] for line in record.read_text("utf-8").splitlines()}
    assert {top for top in tops if not top.endswith(".dist-info")} <= {"pathb_jax", "..", "bin"}
    code, out, err = started([sys.executable, "-P", "-c", ENVS], own_envs, wheel)
    assert (code, out.strip()) == (0, str(wheel / "pathb_jax")), err
    assert_commands_work([str(wheel / "bin" / "pathb")], wheel, own_envs)


@pytest.mark.slow  # installs
def test_an_editable_install_beside_an_envs_package_of_the_users(editable, own_envs):
    code, out, err = started([str(editable), "-c", ENVS], own_envs, None)
    assert (code, Path(out.strip()).parts[-2:]) == (0, ("source", "pathb_jax")), err
    look = "import importlib.util; print(importlib.util.find_spec('envs'))"
    assert started([str(editable), "-P", "-c", look], own_envs, None)[1] == "None\n"
    assert_commands_work([str(editable.with_name("pathb"))], None, own_envs)


@pytest.mark.slow  # builds and installs a wheel
@pytest.mark.parametrize("name", COMMANDS)
def test_as_console_command_of_a_wheel(name, wheel, tmp_path):
    code, out, err = started([str(wheel / "bin" / "pathb"), name, "--help"], tmp_path, wheel)
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: pathb {name} ")
    module = [sys.executable, "-m", "pathb_jax", name, "--help"]
    assert started(module, tmp_path, wheel)[0] == 0


@pytest.mark.slow  # trains
def test_a_wheel_is_all_that_the_commands_need(wheel, tmp_path):
    write_toml(tmp_path / "small.toml", small_table(passes=True))
    train = command_line(**{**FLAGS, "out": "run"})
    study = "--lambdas 0 --train-seeds 1 --updates 2 --eval-seeds 4 --out runs --doc page.md"
    for words in (
        ["train", *train],
        ["evaluate", "--checkpoint", "run", "--eval-seeds", "4", "--render", "a.png"],
        ["ladder", "--protocol", "small.toml", "--out", "ladder"],
        ["check", "--digest", "ladder"],
        ["envelope", *study.split()],
        ["anchors", "--page-only", "--doc", "anchors.md", "--json", "-"],
    ):
        command = [str(wheel / "bin" / "pathb"), *words]
        code, out, err = started(command, tmp_path, wheel)
        assert code == 0, (words, err)
        assert out
    note = next((tmp_path / "ladder").glob("*.md")).read_text("utf-8")
    assert "adopted" in note
    look = "import pathb_jax; from pathb_jax.ladder.protocol import load_protocol; "
    look += "load_protocol('path_b'); print(pathb_jax.__file__)"
    code, out, err = started([sys.executable, "-c", look], tmp_path, wheel)
    assert (code, Path(out.strip()).parent) == (0, wheel / "pathb_jax"), err
