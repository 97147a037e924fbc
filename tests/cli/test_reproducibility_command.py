"""`check_reproducibility`: its table, its exit codes, bad input."""

import json
import os
import subprocess
import sys

import jax
import pytest
from small_runs import SEEDS, SHAPES

from pathb_jax.cli import reproducibility as command
from pathb_jax.cli import train
from pathb_jax.runs import run
from pathb_jax.studies import reproducibility, reproducibility_checks
from pathb_jax.studies.vmapped import Deviation
from pathb_jax.system import backend

SMALLER = {
    "devices": (1, 2),
    "eval_seeds": SEEDS,
    "shapes": {name.replace("_", "-"): size for name, size in SHAPES.items()},
}
ROWS = [
    "same command twice",
    "stopped and resumed",
    "evaluation cadence changed",
    "beside others on 1 device",
    "beside others on 2 devices",
    "one of 2 vmapped, 1 update",
    "one of 2 vmapped, 2 updates",
    "both seed sets in one pass",
]
ARGUMENTS = ["--updates", "4", "--vmapped-updates", "2", "1", "--vmapped-runs", "2"]


@pytest.fixture
def in_process(monkeypatch):
    """Run the reference commands in this process, on the devices that it has."""

    def run_commands(commands, *, cached):
        for words in commands:
            assert train.main(words) == 0

    monkeypatch.setattr(reproducibility, "run_commands", run_commands)
    monkeypatch.setattr(backend, "select_backend", lambda *_, **__: None)
    # Compiling the vmapped program takes long; it is tried for real in a slow test.
    near = [Deviation(updates, updates * 4e-7, [1, 0], [1, 0], SEEDS) for updates in (1, 2)]
    monkeypatch.setattr(reproducibility_checks, "deviations", lambda *_: iter(near))


def test_kept_promises_are_printed_and_written(in_process, tmp_path, capsys):
    out, keep = tmp_path / "table.json", tmp_path / "runs"
    arguments = [*ARGUMENTS, "--json", str(out), "--keep", str(keep)]
    assert command.main(arguments, **SMALLER) == 0
    printed, told = capsys.readouterr()
    assert "error" not in told
    assert "Small: stopped and resumed" in told
    written = json.loads(out.read_text())
    found = {row["check"]: row for row in written["findings"]}
    assert list(found) == ROWS
    for name in ROWS:
        assert name in printed
    # This process has one device, whatever number the command would have made of it.
    if len(jax.devices()) == 1:
        two = found.pop("beside others on 2 devices")
        assert (two["verdict"], two["reason"]) == ("not tried", "only 1 cpu device here")
        assert "promises: 6 kept, 0 broken, 1 not tried" in printed
    two = found.pop("one of 2 vmapped, 2 updates")
    assert two["verdict"] == "no promise"
    assert two["found"] == "8.0e-07; successes of 4: alone 1 0, vmapped 1 0"
    assert {row["verdict"] for row in found.values()} == {"kept"}
    assert "stopped by SIGTERM 2 times" in found["stopped and resumed"]["compared"]
    assert written["backend"]["platform"] == jax.devices()[0].platform
    assert (keep / "Small" / "alone" / "1").is_dir()

    assert command.main([*ARGUMENTS, "--keep", str(keep)], **SMALLER) == 2
    assert "it has files already" in capsys.readouterr().err


def test_a_broken_promise_is_named(in_process, monkeypatch, capsys):
    """Evaluations that change what is trained, which no other row can see."""
    evaluate = run.Run._evaluate

    def meddling(self):
        evaluate(self)
        params = jax.tree.map(lambda x: x * 1.0001, self.state.params)
        self.state = self.state.replace(params=params)

    monkeypatch.setattr(run.Run, "_evaluate", meddling)
    assert command.main(ARGUMENTS, **SMALLER) == 1
    printed, told = capsys.readouterr()
    assert "1 broken" in printed
    (line,) = [line for line in told.splitlines() if line.startswith("error")]
    assert line.startswith("error: broken: Small, evaluation cadence changed: differ: every 1: ")
    assert "last checkpoint" in line


def test_a_deviation_beyond_the_tolerance_is_broken(monkeypatch, tmp_path):
    far = [Deviation(updates, 0.02, [1, 0], [0, 0], SEEDS) for updates in (1, 10)]
    monkeypatch.setattr(reproducibility_checks, "deviations", lambda *_: iter(far))
    setting = reproducibility.Setting(tmp_path, vmapped_runs=2)
    one, ten = reproducibility_checks.vmapped(setting)
    assert (one.check, one.verdict) == ("one of 2 vmapped, 1 update", "broken")
    assert one.promise == "deviation <= 1e-04"
    assert one.found == "2.0e-02; successes of 4: alone 1 0, vmapped 0 0"
    assert ten.verdict == "no promise"


def test_a_failed_reference_run_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(reproducibility, "_COMMANDS", "import sys; sys.exit('out of memory')")
    assert command.main([]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "error: a reference run ended with exit code 1: out of memory"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--updates", "3"], "--updates"),
        (["--updates", "many"], "--updates"),
        (["--tier"], "--tier"),
        (["--tier", "Tiny"], "--tier"),
        (["--tier", "Small", "Small"], "--tier"),
        (["--vmapped-updates"], "--vmapped-updates"),
        (["--vmapped-updates", "0", "1"], "--vmapped-updates"),
        (["--vmapped-updates", "1025"], "--vmapped-updates"),
        (["--vmapped-runs", "1"], "--vmapped-runs"),
        (["--keep", "file"], "--keep"),
        (["--json", "."], "--json"),
        (["--parts"], "--parts"),
        (["--digest", "nope"], "--digest"),
    ],
)
def test_bad_input(arguments, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(command, "train_references", lambda setting: pytest.fail("it began"))
    assert command.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help_tells_exit_codes(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "Exit status: 0 " in text
    for flag in ("--tier", "--updates", "--vmapped-updates", "--json", "--keep", "--digest"):
        assert flag in text


def test_a_digest_is_printed_still(finished, capsys):
    out = finished.config.output.out
    assert command.main(["--digest", str(out), "--parts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(f"  {out}")
    assert any("last checkpoint" in line for line in lines)


@pytest.mark.slow
def test_the_real_check(repository, tmp_path):
    """Processes, host devices and all, but for the shapes."""
    code = f"""
import sys
from pathb_jax.cli.reproducibility import main
sys.exit(main({[*ARGUMENTS, "--backend", "cpu", "--json", str(tmp_path / "t")]}, **{SMALLER}))
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found = {row["check"]: row for row in json.loads((tmp_path / "t").read_text())["findings"]}
    assert list(found) == ROWS
    assert found.pop("one of 2 vmapped, 2 updates")["verdict"] == "no promise"
    assert {row["verdict"] for row in found.values()} == {"kept"}
