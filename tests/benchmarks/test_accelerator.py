"""The accelerator's hour: parts are measured once, and whatever fails is said."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import accelerator
import pytest
from accelerator import PARTS, Flags, Part, main, measured, opened, shapes

from pathb_jax.errors import InputError

SCRIPT = Path(accelerator.__file__)


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["accelerator.py", *arguments])
    return main()


def test_every_part_has_a_name_of_its_own():
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    trained = {(p.tier, p.runs) for p in PARTS if p.kind == "train"}
    assert {("Small", n) for n in (1, 4, 16, 64, 256)} <= trained
    assert {(tier, n) for tier in ("Medium", "Large") for n in (1, 4, 16)} <= trained
    varied = {(p.precision, p.deterministic, p.command_buffers) for p in PARTS}
    assert len(varied) == 5


def test_smoke_has_the_same_networks_and_small_shapes():
    part = Part("train", "Large", 16, precision="tf32")
    assert shapes(part, smoke=False).batch_size == 8192
    small = shapes(part, smoke=True)
    assert (small.tier, small.matmul_precision, small.batch_size) == ("Large", "tf32", 64)


def test_a_part_that_is_there_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    asked: list[str] = []

    def measured(part: Part, flags: Flags) -> dict:
        asked.append(part.name)
        if part.kind == "rejax":
            return {"failed": "Traceback\nModuleNotFoundError: rejax"}
        return {"figures": {"env_steps_per_second": [1e6, 3e6, 2e6], "compile_seconds": 1.25}}

    monkeypatch.setattr(accelerator, "measured", measured)
    file = tmp_path / "figures.json"
    arguments = ["--json", str(file), "--parts", "train-Small-x4", "rejax-Small-x64"]
    assert run_main(monkeypatch, *arguments) == 1
    shown = capsys.readouterr().out
    assert "2,000,000" in shown
    assert "ModuleNotFoundError: rejax" in shown
    assert asked == ["train-Small-x4", "rejax-Small-x64"]
    assert run_main(monkeypatch, *arguments) == 1  # what failed is tried again, and only that
    assert asked == ["train-Small-x4", "rejax-Small-x64", "rejax-Small-x64"]


def test_figures_of_another_commit_or_size_are_refused(tmp_path: Path):
    file = tmp_path / "figures.json"
    content = opened(Flags(json=file))
    for key, value in (("smoke", True), ("source", {"commit": "other"}), ("format", "x")):
        file.write_text(json.dumps(content | {key: value}))
        with pytest.raises(InputError, match="--json"):
            opened(Flags(json=file))
    file.write_text(json.dumps(content))
    assert opened(Flags(json=file)) == content


def test_a_part_that_takes_too_long_is_stopped(tmp_path: Path):
    flags = Flags(json=tmp_path / "f.json", smoke=True, part_seconds=0.01)
    assert measured(Part("device"), flags) == {"failed": "not done after 0 s"}


def test_a_part_that_fails_says_why(tmp_path: Path):
    flags = Flags(json=tmp_path / "f.json", smoke=True, backend="tpu")
    failed = measured(Part("device"), flags)["failed"]
    assert "--backend" in failed


@pytest.mark.slow
def test_one_part_is_measured_for_real(tmp_path: Path):
    file = tmp_path / "figures.json"
    arguments = ["--smoke", "--rounds", "2", "--seconds", "0.05", "--parts", "train-Small-x1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments, "--json", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (figures,) = (part["figures"] for part in json.loads(file.read_text())["parts"].values())
    assert len(figures["env_steps_per_second"]) == 2
    assert min(figures["env_steps_per_second"]) > 0


@pytest.mark.slow
def test_every_part_is_measured_for_real(tmp_path: Path):
    flags = dataclasses.replace(Flags(), json=tmp_path / "f.json", smoke=True, rounds=1)
    flags = dataclasses.replace(flags, seconds=0.05, part_seconds=1200.0)
    results = {p.name: measured(p, flags) for p in PARTS if p.kind != "rejax"}
    assert [name for name, result in results.items() if "failed" in result] == []
    predicted = results["predict"]["figures"]["env_steps_per_second"]
    assert predicted.keys() == {p.name for p in PARTS if p.kind == "train"}
    assert all(rate > 0 for rates in predicted.values() for rate in rates.values())
