"""Stage 2 on windows, held against the stage itself."""

import numpy as np
import pytest

from pathb_jax.judging import windows as w
from pathb_jax.ladder.stages import TrainingDynamics

RULE = TrainingDynamics(
    window=50, entropy_below=2.28, log_std_rise_at_most=0.0, value_loss_at_most=400.0
)

EACH = ("entropy", "log_std_rise", "value_loss_max")


def history(rows=300, **columns):
    default = {"entropy": 1.0, "log_std": -0.5, "value_loss": 10.0}
    return {name: np.full(rows, value) for name, value in default.items()} | columns


def test_a_quiet_run_passes_everywhere():
    found = w.windows(history(), RULE)
    assert found.ends[[0, -1]].tolist() == [199, 299]
    assert found.passed.all()
    assert w.passed_each(found, RULE) == dict.fromkeys(EACH, 101)
    assert w.earlier(found) == dict.fromkeys(w.SHIFTS, True)
    assert found.passed_monotone.all()


def test_every_window_is_the_stage_at_its_end():
    generator = np.random.default_rng(0)
    log_std = np.cumsum(generator.normal(0, 0.01, 300))
    entropy = 2.19 + 0.1 * generator.random(300)
    value_loss = 10 + np.where(generator.random(300) < 0.004, 1000, 0)
    found = w.windows(history(log_std=log_std, entropy=entropy, value_loss=value_loss), RULE)
    for index, end in enumerate(found.ends):
        rows = slice(end - 49, end + 1)
        expected = (
            entropy[end] < 2.28
            and log_std[end] - log_std[end - 49] <= 0
            and value_loss[rows].max() <= 400
        )
        assert found.passed[index] == expected
        assert found.monotone[index] == (np.diff(log_std[rows]) <= 0).all()
    assert 0 < found.passed.sum() < 101
    each = w.passed_each(found, RULE)
    assert each["entropy"] == (entropy[199:] < 2.28).sum()
    assert found.passed.sum() <= min(each.values()) < 101


def test_a_late_rise_is_rare_among_the_windows():
    log_std = -np.linspace(0, 1, 300)
    log_std[-1] = log_std[-50] + 0.004
    found = w.windows(history(log_std=log_std), RULE)
    assert not found.passed[-1]
    assert w.passed_each(found, RULE) == {
        "entropy": 101,
        "log_std_rise": 100,
        "value_loss_max": 101,
    }
    assert w.rank_of_rise(found) == pytest.approx(1 / 101)
    assert w.earlier(found) == dict.fromkeys(w.SHIFTS, True)


def test_a_short_run_has_few_windows_or_none():
    found = w.windows(history(60), RULE)
    assert found.ends.tolist() == list(range(49, 60))
    assert w.earlier(found) == {10: True, 25: None, 50: None, 100: None}
    empty = w.windows(history(49), RULE)
    assert not len(empty.ends)
    assert w.rank_of_rise(empty) is None
