"""A metric inserted in the middle of the others moves none of them, from the program to the files.

Columns are matched by name on the whole way: jitted loop, history, CSV, checkpoint, observer.
"""

import collections

import jax
import numpy as np
import pytest
from small_runs import UPDATES, Watcher, small_config

from pathb_jax.learn import program, training, update
from pathb_jax.runs.evidence import evidence_problems
from pathb_jax.runs.loading import load_newest
from pathb_jax.runs.tables import HISTORY, columns
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import WALL_CLOCK_COLUMNS, read_history
from pathb_jax.verification.verify import verify

BEFORE = "entropy"


def forget_programs():
    program._program.cache_clear()
    program.state_shape.cache_clear()
    jax.clear_caches()


@pytest.fixture
def inserted(monkeypatch):
    """Let every gradient step tell one more figure, in the middle: 7."""
    names = list(update.UpdateMetrics._fields)
    names.insert(names.index(BEFORE), "more")
    longer = collections.namedtuple("UpdateMetrics", names, defaults=[7.0] * len(names))
    monkeypatch.setattr(update, "UpdateMetrics", longer)
    monkeypatch.setattr(
        training, "METRICS", (*training.RolloutMetrics._fields, *names, *training.MAY_BE_MISSING)
    )
    forget_programs()
    yield
    forget_programs()


@pytest.mark.slow
def test_no_other_column_moves(finished, inserted, tmp_path):
    watcher = Watcher()
    outcome = train(small_config(tmp_path / "run"), watcher)
    assert list(outcome.history) == list(columns(HISTORY))
    assert outcome.history["more"].tolist() == [7.0] * UPDATES
    for name, column in read_history(finished.files.history).items():
        if name not in WALL_CLOCK_COLUMNS:
            np.testing.assert_array_equal(outcome.history[name], column, err_msg=name)
    saved = load_newest(outcome.files.out, None, "--out").history
    for name, column in outcome.history.items():
        np.testing.assert_array_equal(saved[name], column, err_msg=name)
        np.testing.assert_array_equal(watcher.chunks[-1].row[name], column[-1], err_msg=name)
    assert evidence_problems(outcome.files) == []
    assert not verify(outcome.files.out, replay=False).problems


def test_columns_are_the_contracts():
    """The first 14 as they stand in every history so far."""
    assert ",".join(columns(HISTORY)) == (
        "update,env_steps,mean_reward,episode_done_rate,policy_loss,value_loss,entropy,approx_kl,"
        "clip_frac,explained_variance,log_std,grad_norm,wall_seconds,env_steps_per_second,"
        "advantage_mean,advantage_std,actor_grad_norm,critic_grad_norm,"
        "episode_return,episode_length,episode_success"
    )
