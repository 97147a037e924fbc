"""`pathb`: its help, its version, its words; and the one table of exit codes."""

import re
import shutil
import subprocess
import sys

import pytest
from small_runs import bad_input_line

from pathb_jax.cli import exit_codes
from pathb_jax.cli.main import COMMANDS, SHELLS, main


def test_help_lists_commands_and_exit_codes(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: pathb ")
    assert all(len(line) <= 100 for line in lines)
    for name, command in COMMANDS.items():
        assert [
            line for line in lines if re.match(rf"  {name} +{re.escape(command.summary)}$", line)
        ]
    for code, meaning in exit_codes.MEANINGS.items():
        assert [line for line in lines if line.split() == [code, *meaning.split()]]


def test_the_table_has_every_code():
    codes = {value for name, value in vars(exit_codes).items() if isinstance(value, int)}
    told = {int(code.removesuffix("+N")) for code in exit_codes.MEANINGS}
    assert codes == told


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_it_answers_before_anything_heavy_is_imported(word):
    code = (
        f"import sys; from pathb_jax.cli.main import main; main(['{word}'])\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & {"jax", "tyro", "numpy", "scipy", "pydantic", "pandas"}


def test_version_names_the_commit_if_there_is_one(capsys, repository):
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"pathb \d+\.\d+\.\d+, ", out)
    assert ("commit" in out) == (repository / ".git").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["trian"],
            "error: COMMAND: 'trian' is not allowed; did you mean train? (see pathb --help)",
        ),
        (["laddder", "--plan"], "did you mean ladder?"),
        (["x\x1b[31m"], r"COMMAND: 'x\x1b[31m' is not allowed; give one of train, ladder, "),
        ([], "COMMAND: '(missing)' is not allowed; give one of "),
        (["--completion", "tcsh"], "--completion: 'tcsh' is not allowed; give one of bash, zsh, "),
        (["--completion"], "--completion"),
        (["train", "--no-such-flag"], "--no-such-flag"),
    ],
)
def test_bad_words_are_one_line(words, said, capsys, tmp_path):
    assert said in bad_input_line(main, words, capsys, tmp_path)


def test_a_subcommand_has_its_own_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pathb", "verify", "--help"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("usage: pathb verify ")


COMPLETING = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); COMP_LINE="${*:2}"; COMP_POINT=${#COMP_LINE}
_tyro_pathb
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_for_the_shell(shell, capsys, tmp_path):
    assert main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert "reproducibility" not in script.split()
    for name in COMMANDS:
        assert name in script
    if shell == "bash" and (bash := shutil.which("bash")):
        (tmp_path / "script").write_text(script)
        for words, expected in (
            (["tr"], "train"),
            (["train", "--tier", ""], "Small Medium Large"),
            (["check", "--dig"], "--digest"),
        ):
            call = [bash, "-c", COMPLETING, "bash", str(tmp_path / "script"), "pathb", *words]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            assert done.stdout.split() == expected.split()
