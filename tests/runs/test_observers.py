"""What observers are told: every row and evaluation once, from the beginning."""

import contextlib

import numpy as np
from small_runs import Watcher, small_config

from pathb_jax.runs.observer import Observers
from pathb_jax.runs.trainer import train
from pathb_jax.system import signals


def joined(chunks, table, name):
    return np.concatenate([getattr(chunk, table)[name] for chunk in chunks])


def assert_told_whole(chunks, outcome):
    for name, column in outcome.history.items():
        assert np.array_equal(joined(chunks, "rows", name), column, equal_nan=True)
    for name, column in outcome.evaluations.items():
        assert np.array_equal(joined(chunks, "evaluations", name), column)


def test_every_row_and_evaluation_is_told_once(tmp_path, one_update_per_chunk):
    watcher, second = Watcher(), Watcher()
    outcome = train(small_config(tmp_path / "run"), Observers([watcher, second]))
    assert len(watcher.chunks) == 6
    assert_told_whole(watcher.chunks, outcome)
    assert second.chunks == watcher.chunks
    assert {chunk.folder for chunk in watcher.chunks} == {tmp_path / "run"}
    assert watcher.chunks[0].settings["tier"] == "Small"


def test_after_a_stop_all_of_them_are_told_again(tmp_path, one_update_per_chunk):
    config = small_config(tmp_path / "run")

    def stop(progress):
        if progress.update == 4:
            raise signals.StopRequested(15)

    with contextlib.suppress(signals.StopRequested):
        train(config, Watcher(stop))
    watcher = Watcher()
    outcome = train(config, watcher)
    assert len(watcher.chunks) < 6
    assert_told_whole(watcher.chunks, outcome)


def test_the_last_rows_before_a_divergence_are_told(tmp_path, one_update_per_chunk):
    watcher = Watcher()
    outcome = train(small_config(tmp_path / "run", lr=5.0, updates=40, eval_every=5), watcher)
    assert outcome.diverged
    assert_told_whole(watcher.chunks, outcome)
