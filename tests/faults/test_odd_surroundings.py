"""Names that are no UTF-8, terminals that are ASCII, no home, platforms that are not there."""

import os
import subprocess
import sys

import jax
import pytest
from commands import REPOSITORY, ladder_words, run, train_words
from small_runs import VARIANT, bad_input_line

from pathb_jax.cli import ladder, train
from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.system import backend

ODD = os.fsdecode(b"caf\xe9")
"""A name that is no UTF-8."""


def train_in(out):
    return ["--variant", VARIANT, "--out", str(out)]


@pytest.mark.parametrize("where", [ODD, f"{ODD}/out"])
def test_a_folder_whose_name_is_no_utf8_is_refused(where, tmp_path, capsys):
    line = bad_input_line(train.main, train_in(tmp_path / where), capsys, tmp_path)
    assert line.startswith("error: --out: ")
    assert "UTF-8" in line
    line = bad_input_line(ladder.main, ["--out", str(tmp_path / where)], capsys, tmp_path)
    assert "UTF-8" in line


def test_so_is_a_folder_below_one(tmp_path, capsys, monkeypatch):
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)
    assert "UTF-8" in bad_input_line(train.main, train_in("out"), capsys, tmp_path)


@pytest.mark.parametrize("where", ["loop", "loop/out", "nowhere", "nowhere/out"])
def test_links_that_lead_nowhere_are_refused(where, tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("not there")
    line = bad_input_line(train.main, train_in(tmp_path / where), capsys, tmp_path)
    assert line.startswith("error: --out: ")
    assert "is not a folder you can write to" in line


def test_such_a_name_is_kept_in_json(tmp_path):
    write_json(tmp_path / "file.json", {"path": f"/there/{ODD}"})
    assert (tmp_path / "file.json").read_bytes().decode() == '{\n  "path": "/there/caf\\udce9"\n}\n'
    assert read_json(tmp_path / "file.json") == {"path": f"/there/{ODD}"}


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("no such platform\nat all")])
@pytest.mark.parametrize("asked", ["auto", "cpu"])
def test_a_platform_with_which_jax_does_not_start_is_named(error, asked, monkeypatch):
    def refuse(*_):
        raise error

    monkeypatch.setattr(jax, "devices", refuse)
    with pytest.raises(InputError) as refused:
        backend.select_backend(asked)
    assert str(refused.value).startswith(f"JAX_PLATFORMS: {jax.config.jax_platforms!r} is not all")


NO_HOME = """
import os, pwd, sys
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
from pathb_jax.system import backend
backend.select_backend("cpu")
import jax
print(jax.jit(lambda x: x + 1)(1.0), jax.config.jax_compilation_cache_dir)
"""


def test_without_a_home_it_does_without_a_cache(tmp_path):
    gone = ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR")
    variables = {name: value for name, value in os.environ.items() if name not in gone}
    variables["PYTHONPATH"] = str(REPOSITORY)
    words = [sys.executable, "-c", NO_HOME]
    done = subprocess.run(words, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2.0 None\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
@pytest.mark.parametrize("platforms", ["cuda", "nonsense", "cpu,nonsense"])
def test_no_command_starts_on_another_platform(platforms, whole, tmp_path, tally):
    out, run_folder = tmp_path / "out", whole.out / "mixed_0_90_pathb_lr1e4"
    commands = [
        ("train_ppo.py", train_words(out)),
        ("ladder.py", ladder_words(whole.protocol, out)),
        ("ladder.py", ["--plan"]),
        ("evaluate.py", ["--checkpoint", str(run_folder)]),
        ("check_reproducibility.py", ["--digest", str(run_folder)]),
        ("check_reproducibility.py", []),
        ("envelope.py", ["--doc", str(tmp_path / "page.md"), "--out", str(out)]),
        ("reproduce_anchors.py", ["--doc", str(tmp_path / "page.md"), "--out", str(out)]),
    ]
    for command, words in commands:
        ended = run(command, words, JAX_PLATFORMS=platforms)
        assert (ended.code, ended.out) == (2, ""), (command, ended)
        assert ended.error.startswith(f"error: JAX_PLATFORMS: '{platforms}' is not allowed; ")
    assert list(tmp_path.iterdir()) == []
    tally(f"JAX_PLATFORMS={platforms}", len(commands), len(commands))


@pytest.mark.faults
def test_an_ascii_terminal_and_locale(tmp_path, tally):
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = run("train_ppo.py", train_words(tmp_path / "out", progress=True), **plain)
    assert ended.code == 0
    ended = run("train_ppo.py", train_words(tmp_path / "caf\u00e9"), **plain)
    assert (ended.code, "UTF-8" in ended.error) == (2, True)
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    ended = run("train_ppo.py", train_words(tmp_path / "caf\u00e9"), **ascii_only)
    assert (ended.code, r"caf\xe9" in ended.err) == (0, True)
    words = ["--checkpoint", str(tmp_path / "caf\u00e9"), "--eval-seeds", "2"]
    ended = run("evaluate.py", words, **ascii_only)
    assert (ended.code, r"caf\xe9" in ended.out) == (0, True)
    tally("ASCII terminals and locales", 4, 4)
