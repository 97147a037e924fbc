"""States that a run keeps for good, beside its rotating checkpoints."""

import pytest
from small_runs import Watcher, small_config

from pathb_jax.runs.loading import load
from pathb_jax.runs.trainer import train
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.studies.digest import digest


def test_a_run_that_keeps_states_is_the_same_run(finished, tmp_path):
    config = small_config(tmp_path / "run", keep_every=2)
    outcome = train(config)
    assert complete_steps(outcome.files.checkpoints) == [2, 3, 4, 6]
    assert digest(outcome.files.out) == digest(finished.files.out)
    for update in (2, 4):
        kept = load(outcome.files.checkpoints / str(update), config.train, "RUN")
        assert int(kept.state.update) == update
        assert kept.history["update"].tolist() == list(range(1, update + 1))
    assert not train(small_config(tmp_path / "run")).trained  # it may be left out afterwards


def test_states_are_kept_through_a_stop(finished, tmp_path, one_update_per_chunk):
    def stop(progress):
        if progress.update == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_config(tmp_path / "run", keep_every=1), Watcher(stop))
    outcome = train(small_config(tmp_path / "run"))
    assert complete_steps(outcome.files.checkpoints) == [1, 2, 3, 4, 5, 6]
    assert digest(outcome.files.out) == digest(finished.files.out)


def test_the_count_is_that_of_continued_runs(finished, tmp_path):
    flags = {"load_checkpoint": finished.files.out, "updates": 5, "eval_every": 5}
    outcome = train(small_config(tmp_path / "on", keep_every=4, **flags))
    assert complete_steps(outcome.files.checkpoints) == [8, 11]  # from 6 on; half the run is 8
    outcome = train(small_config(tmp_path / "more", keep_every=7, **flags))
    assert complete_steps(outcome.files.checkpoints) == [7, 8, 11]  # else 7 would not be saved
