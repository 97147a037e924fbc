"""Event files for TensorBoard, read as it would read them."""

import struct

import numpy as np
import pytest
from small_runs import FLAGS, command_line
from tensorboardX.proto.event_pb2 import Event

from pathb_jax.cli.train import main
from pathb_jax.store.artifacts import read_evaluations, read_history
from pathb_jax.store.run_files import files_of_run


def events(folder):
    """Return every scalar of a folder of event files, tag -> {step: value}."""
    scalars = {}
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])  # after a checksum; another follows
            for value in event.summary.value:
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
            data = data[12 + length + 4 :]
    return scalars


def test_they_hold_history_evaluations_and_settings(tmp_path):
    out = tmp_path / "run"
    assert main([*command_line(**FLAGS, out=out), "--tensorboard"]) == 0
    files = files_of_run(out, "--out")
    history, evaluations = read_history(files.history), read_evaluations(files.evaluations)
    scalars = events(out / "tensorboard")
    steps = history["env_steps"].tolist()
    for name in set(history) - {"update", "env_steps"}:
        told = {s: v for s, v in zip(steps, history[name], strict=True) if np.isfinite(v)}
        assert scalars.get(f"history/{name}", {}) == pytest.approx(told, rel=1e-6)
    first = evaluations["seed_start"] == 10000
    assert scalars["seeds_10000/success_rate"] == pytest.approx(
        dict(zip(evaluations["env_steps"][first], evaluations["success_rate"][first], strict=True))
    )
    assert any(tag.startswith("_hparams_") for tag in scalars)


def test_without_the_library_it_is_refused_before_anything(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*command_line(**FLAGS, out=tmp_path / "run"), "--tensorboard"]) == 2
    assert "install pathb-jax[tensorboard]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
