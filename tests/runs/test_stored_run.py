"""A run that an earlier program wrote, as it lies in tests/stored/run, is still a run.

Its hyper-parameters hold the ends of schedules, and its checkpoint does not name its columns.
"""

import shutil

import numpy as np
import pytest
from small_runs import build, read

from pathb_jax.config_checks import validated
from pathb_jax.runs.evidence import evidence_problems
from pathb_jax.runs.loading import load_newest, saved_config
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import RunFiles, read_history
from pathb_jax.store.models import to_json

SHAPES = {"batch_envs": 8, "rollout_length": 16, "minibatch_size": 32, "eval_seeds": 4}
FLAGS = {
    "variant": "mixed_ppo_phase3_lambda_0_9",
    "updates": 12,
    "lr_schedule": "linear:0",
    "entropy_schedule": "linear:0.001",
    **SHAPES,
}


@pytest.fixture
def files(repository, tmp_path) -> RunFiles:
    shutil.copytree(repository / "tests" / "stored" / "run", tmp_path / "run")
    return run_files(validated(build(**FLAGS, out=tmp_path / "run")))


def test_its_files_agree(files):
    assert evidence_problems(files) == []


def test_its_manifest_is_kept_whole(files):
    manifest = read_manifest(files)
    assert to_json(manifest) == read(files.manifest)
    assert manifest.config.hparams["lr_end"] == 0.0
    assert (manifest.update, manifest.env_steps, manifest.is_finished) == (12, 1536, True)


def test_it_is_the_same_run(files):
    outcome = train(validated(build(**FLAGS, out=files.out)))
    assert not outcome.trained
    assert outcome.summaries[10000]["seeds"] == 4


def test_its_checkpoint_has_the_columns_of_its_history(files):
    loaded = load_newest(files.out, None, "--load-checkpoint")
    history = read_history(files.history)
    assert list(loaded.history) == list(history)
    for name, column in history.items():
        np.testing.assert_array_equal(loaded.history[name], column)
    assert saved_config(files.out, "--load-checkpoint").schedule.lr_end == 0.0
