"""The command verify: its words, its output, its exit status."""

import json
import subprocess
import sys

import pytest
from small_runs import bad_input_line

from pathb_jax.cli.verify import main


def test_a_run_of_its_own(finished, tmp_path, capsys):
    target = tmp_path / "found.json"
    assert main([str(finished.files.out), "--json", str(target)]) == 0
    *_, summary, last = capsys.readouterr().out.splitlines()
    assert last == "everything holds"
    assert "runs: 1 of 1 are over; policies replayed: 3 of 3 sets" in summary
    found = json.loads(target.read_text())
    assert found["figures"] == found["reproduced"] > 0
    assert f"{found['figures']} of {found['figures']} figures reproduced" in summary
    assert main([str(finished.files.out), "--no-replay"]) == 0
    assert "policies replayed: not tried" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{out}/nowhere"], "DIR: "),
        (["{out}"], "it holds neither ladder.json nor manifests/*.json"),
        (["{run}", "--json", "{out}"], "it is a folder"),
        (["{run}", "--json", "{run}/logs/found.json"], "give a path elsewhere"),
        ([], "DIR"),
    ],
)
def test_bad_input_is_one_line(finished, tmp_path, capsys, words, said):
    words = [word.format(out=tmp_path, run=finished.files.out) for word in words]
    assert said in bad_input_line(main, words, capsys, tmp_path)


def test_a_broken_record_is_one_line(tmp_path, capsys):
    for text in ("", "{}", "[]"):
        (tmp_path / "ladder.json").write_text(text)
        assert "ladder.json" in bad_input_line(main, [str(tmp_path)], capsys, tmp_path)


@pytest.mark.slow
def test_as_script_and_as_module(repository, finished):
    script = str(repository / "scripts" / "verify.py")
    for words in ([script], ["-m", "pathb_jax", "verify"]):
        command = [sys.executable, *words, str(finished.files.out)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("everything holds\n")
