"""A run that an earlier program wrote, as it lies in tests/stored/run, is still a run.

Its hyper-parameters hold the ends of schedules, its checkpoint does not name its columns, and
nothing in it is told of gradients' parts, advantages and episodes.
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
from pathb_jax.runs.tables import HISTORY, columns
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import read_history
from pathb_jax.store.json_files import write_json
from pathb_jax.store.models import to_json
from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification.verify import verify

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


def test_it_verifies(files):
    verification = verify(files.out, replay=False)
    assert verification.problems == []
    assert verification.figures > 12 * 14


def test_taken_up_before_its_end_it_goes_on_with_its_own_columns(files):
    history = files.history.read_bytes()
    manifest = read(files.manifest)
    write_json(files.manifest, manifest | {"status": "running", "ended": None})
    files.history.unlink()
    config = validated(build(**FLAGS, out=files.out, accept_environment_change=True))
    outcome = train(config)
    assert outcome.trained
    assert files.history.read_bytes() == history
    assert evidence_problems(files) == []


def test_a_run_that_continues_it_has_all_columns(files, tmp_path):
    flags = {**FLAGS, "updates": 2, "eval_seeds": 4, "load_checkpoint": files.out}
    outcome = train(validated(build(**flags, out=tmp_path / "further")))
    assert list(outcome.history) == list(columns(HISTORY))
    assert outcome.history["update"].tolist() == [13, 14]
    assert evidence_problems(outcome.files) == []
