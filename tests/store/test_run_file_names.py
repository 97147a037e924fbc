"""Where a run keeps what."""

from pathlib import Path

import pytest

from pathb_jax.errors import InputError
from pathb_jax.store.run_files import RunFiles, slug


def test_slug_and_files():
    label = "mixed_0_90_pathb_lr1e4"
    name = slug("mixed_ppo_phase3_lambda_0_9", "Large", 0, label)
    assert name == f"mixed_ppo_phase3_lambda_0_9_large_seed_0_{label}"
    files = RunFiles(Path("out"), "S")
    assert {str(path) for path in (files.checkpoints, files.history, files.evaluations)} == {
        "out/checkpoints/S",
        "out/logs/S_history.csv",
        "out/logs/S_evaluations.csv",
    }
    assert str(files.policy) == "out/policies/S.policy.json"
    assert str(files.manifest) == "out/manifests/S.json"
    assert str(files.evaluation_csv(10000, first=True)) == "out/logs/S_evaluation.csv"
    assert str(files.evaluation_csv(20000, first=False)) == "out/logs/S_evaluation_seed_20000.csv"
    summary = files.evaluation_summary(10000, first=True)
    assert str(summary) == "out/logs/S_evaluation_summary.json"
    summary = files.evaluation_summary(20000, first=False)
    assert str(summary) == "out/logs/S_evaluation_seed_20000_summary.json"


@pytest.mark.parametrize("label", ["a/b", "..\\x", "a b", "ü", "x\n", "x" * 121])
def test_slug_refuses_what_is_no_file_name(label):
    with pytest.raises(InputError, match="--run-label"):
        slug("v", "Small", 0, label)
