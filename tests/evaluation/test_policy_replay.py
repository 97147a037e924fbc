"""A trained policy's file, read and replayed with nothing of the project's own.

Whether what is recorded agrees with that is what `verification.replay` says of every run; here it
is held against a run where some seeds succeed and some do not, figure by figure.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pathb_jax.cli.train import main as train
from pathb_jax.store.json_files import read_json
from pathb_jax.verification.float64_world import play, policy_of
from pathb_jax.verification.verify import verify

SEEDS = 32


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Small run long enough that some seeds succeed and some do not."""
    out = tmp_path_factory.mktemp("trained")
    train(
        f"--variant signature_ppo_terminal --updates 122 --eval-seeds {SEEDS} "
        f"--success-floor 0 --out {out}".split()
    )
    return out


@pytest.mark.slow
def test_replay_agrees_with_the_evaluation(trained: Path) -> None:
    policy = json.loads(next(trained.glob("policies/*.json")).read_text())
    assert policy["format"] == "mesa-policy-json-v1"
    for suffix, first in (("", 10000), ("_seed_20000", 20000)):
        summary = read_json(next(trained.glob(f"logs/*_evaluation{suffix}_summary.json")))
        assert 0 < summary["success_count"] < SEEDS, "too easy or too hard to tell anything"
        played = play(policy_of(policy), range(first, first + SEEDS))
        assert abs(int(played["terminalOutcome"].sum()) - summary["success_count"]) <= 1
        alignment = played["terminalAlignment"].mean()
        assert alignment == pytest.approx(summary["mean_terminal_alignment"], abs=1e-4)
        with next(trained.glob(f"logs/*_seed_0_evaluation{suffix}.csv")).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        told = np.array([[float(row["terminalX"]), float(row["terminalY"])] for row in rows])
        away = np.abs(told - np.column_stack([played["terminalX"], played["terminalY"]]))
        assert np.median(away) < 2e-6, "far from what float32 rounds"


@pytest.mark.slow
def test_verification_agrees(trained: Path) -> None:
    found = verify(trained, replay=True)
    assert found.problems == []
    assert found.said["policies replayed"].startswith("3 of 3 sets")
