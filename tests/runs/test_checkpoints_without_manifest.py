"""Checkpoints whose run is not told of: refused, but for what a writer left half-written."""

import pytest
from small_runs import small_config

from pathb_jax.errors import InputError
from pathb_jax.runs.identity import find_manifest
from pathb_jax.runs.outcome import run_files


@pytest.fixture
def config(tmp_path):
    return small_config(tmp_path / "run")


@pytest.fixture
def checkpoints(config):
    folder = run_files(config).checkpoints
    folder.mkdir(parents=True)
    return folder


def test_a_half_written_one_is_none(config, checkpoints):
    (checkpoints / "6.saving" / "arrays").mkdir(parents=True)
    assert find_manifest(config, run_files(config)) is None


@pytest.mark.parametrize("name", ["6", "6.replaced", "6.damaged-1"])
def test_what_was_a_checkpoint_is_refused(config, checkpoints, name):
    (checkpoints / "6.saving").mkdir()
    (checkpoints / name).mkdir()
    with pytest.raises(InputError, match="without its manifest"):
        find_manifest(config, run_files(config))
