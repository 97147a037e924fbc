"""A run on another environment as the first program that knew such wrote it."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_runs import build

import pathb_jax
from pathb_jax.config_checks import validated
from pathb_jax.runs.evidence import evidence_problems
from pathb_jax.runs.trainer import train
from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification.verify import verify

SLUG = "Pendulum-v1_small_seed_0"


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repository / "tests" / "stored" / "own_run", tmp_path / "run"))


def test_its_files_agree_and_can_be_recomputed(folder: Path) -> None:
    assert evidence_problems(RunFiles(folder, SLUG)) == []
    found = verify(folder, replay=True)
    assert found.holds
    assert found.figures > 100


def test_it_is_the_same_run_and_goes_on(folder: Path, tmp_path: Path) -> None:
    flags = {
        "env": "Pendulum-v1",
        "success_return": -1200.0,
        "batch_envs": 4,
        "rollout_length": 16,
        "minibatch_size": 16,
        "epochs": 2,
        "updates": 4,
        "eval_seeds": 2,
    }
    outcome = train(validated(build(**flags, out=folder)))
    assert not outcome.trained
    assert outcome.summaries[30000]["success_count"] == 1
    further = {**flags, "updates": 1, "load_checkpoint": folder, "out": tmp_path / "further"}
    assert train(validated(build(**further))).manifest.update == 5


def test_its_policies_act_alike(folder: Path, repository: Path) -> None:
    of_file = pathb_jax.load_policy(folder / "policies" / f"{SLUG}.policy.json")
    seen = np.random.default_rng(0).normal(0, 1, (16, 3))
    actions = pathb_jax.load_policy(folder)(seen)
    np.testing.assert_allclose(of_file(seen), actions, atol=1e-6)
    assert of_file.env == "Pendulum-v1"
    example = runpy.run_path(str(repository / "examples" / "act_numpy.py"))["NumpyPolicy"]
    in_numpy = example(folder / "policies" / f"{SLUG}.policy.json")(seen)
    np.testing.assert_allclose(in_numpy, actions, atol=1e-5)
