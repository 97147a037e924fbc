"""Policies in other runtimes act as ours do: onnxruntime, and JAX from the file alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hand_made_policies import follower
from small_runs import bad_input_line

from pathb_jax import load_policy
from pathb_jax.cli.export import main
from pathb_jax.evaluation import exporting

STORED = Path(__file__).parents[1] / "stored"
ALONE = """
import sys, numpy as np, jax
assert not any(name.startswith("pathb_jax") for name in sys.modules)
data, seen, out = sys.argv[1:]
policy = jax.export.deserialize(bytearray(open(data, "rb").read()))
np.save(out, policy.call(np.load(seen)))
"""


@pytest.fixture(params=["small", "follower"])
def policy_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "small":
        return STORED / "small.policy.json"
    return follower(tmp_path / "follower.policy.json")  # its actions reach the norm's limit


@pytest.mark.parametrize("batch", [1, 7])
def test_onnxruntime_acts_as_we_do(policy_file: Path, batch: int, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    assert main([str(policy_file), "--onnx", str(path)]) == 0
    session = onnxruntime.InferenceSession(path)
    policy = load_policy(policy_file)
    shape = (batch, policy.obs_dim)
    seen = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (actions,) = session.run(["action"], {"observation": seen})
    np.testing.assert_allclose(actions, policy(seen), rtol=0, atol=1e-5)


def test_jax_acts_with_the_file_alone(policy_file: Path, tmp_path: Path) -> None:
    path, observed, acted = (tmp_path / name for name in ("p.bin", "seen.npy", "acted.npy"))
    assert main([str(policy_file), "--stablehlo", str(path)]) == 0
    policy = load_policy(policy_file)
    seen = np.random.default_rng(1).normal(size=(5, policy.obs_dim)).astype(np.float32)
    np.save(observed, seen)
    words = [sys.executable, "-c", ALONE, *map(str, (path, observed, acted))]
    subprocess.run(words, check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(acted), policy(seen), rtol=0, atol=1e-6)


def test_a_run_is_exported_from_its_folder(tmp_path: Path) -> None:
    both = ["--onnx", str(tmp_path / "a.onnx"), "--stablehlo", str(tmp_path / "a.bin")]
    assert main([str(STORED / "run"), *both]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "a.bin"}


def test_what_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = str(STORED / "small.policy.json")
    taken = tmp_path / "taken.onnx"
    taken.write_text("mine")
    for words, said in (
        ([policy], "give --onnx FILE"),
        ([policy, "--onnx", str(taken)], "is not replaced"),
        ([policy, "--onnx", str(tmp_path / "x"), "--stablehlo", str(tmp_path / "x")], "same file"),
        ([str(tmp_path / "nothing"), "--onnx", str(tmp_path / "a.onnx")], "nothing"),
    ):
        assert said in bad_input_line(main, words, capsys, tmp_path)
    monkeypatch.setattr(exporting, "can_write_onnx", lambda: False)
    words = [policy, "--onnx", str(tmp_path / "a.onnx")]
    assert "install pathb-jax[export]" in bad_input_line(main, words, capsys, tmp_path)
