"""Runs of every kind verify: continued, stopped and resumed, of other sensor tiers, not over."""

import shutil

import pytest
from small_runs import Watcher, small_config

from pathb_jax.runs.trainer import train
from pathb_jax.system import signals
from pathb_jax.verification.verify import verify


def test_a_continued_run(finished, tmp_path):
    train(small_config(tmp_path / "on", load_checkpoint=finished.files.out, updates=4))
    found = verify(tmp_path / "on", replay=True)
    assert found.problems == []
    assert found.said["policies replayed"] == "3 of 3 sets"


def test_a_run_that_was_stopped_and_resumed(tmp_path, one_update_per_chunk):
    config = small_config(tmp_path / "run")

    def stop(progress):
        if progress.update == 4:
            raise signals.StopRequested(2)

    with pytest.raises(signals.StopRequested):
        train(config, Watcher(stop))
    unfinished = verify(tmp_path / "run", replay=True)
    assert unfinished.problems == []
    assert unfinished.said["runs"] == "0 of 1 are over"
    train(config)
    assert verify(tmp_path / "run", replay=True).problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ("privileged-field", "3 of 3 sets"),
        ("delayed-field", "3 of 3 sets"),
        ("noisy-field", "0 of 3 sets, 3 have noise that only the trainer can draw"),
    ],
)
def test_other_sensor_tiers(tmp_path, tier, said):
    train(small_config(tmp_path / "run", sensor_tier=tier))
    found = verify(tmp_path / "run", replay=True)
    assert found.problems == []
    assert found.said["policies replayed"] == said


def test_two_runs_in_one_folder(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.files.out, folder)
    train(small_config(folder, run_label="second", seed=1))
    found = verify(folder, replay=False)
    assert found.problems == []
    assert found.said["runs"] == "2 of 2 are over"
