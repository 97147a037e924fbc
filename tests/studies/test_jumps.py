"""The update in which a policy moves furthest, on histories made by hand."""

import numpy as np
import pytest

from pathb_jax.studies.jumps import AROUND, largest_jump

ROWS, AT = 40, 25


def history():
    """Two kinds of updates: before `AT` all is well, at it the policy goes, after it the critic."""
    row = np.arange(ROWS)
    return {
        "update": row + 101,
        "approx_kl": np.where(row == AT, 2.0, 0.01),
        "value_loss": np.where(row > AT, 500.0, 9.0),
        "episode_success": np.where(row > AT, 0.0, 0.9),
    }


def test_what_was_around_it():
    jump = largest_jump(history())
    assert (jump.update, jump.approx_kl) == (101 + AT, 2.0)
    assert jump.times_median == pytest.approx(200)
    assert jump.value_loss == (9.0, 9.0, 500.0)
    assert jump.episode_success == (0.9, 0.9, 0.0)


def test_only_the_updates_nearby_count():
    figures = history()
    figures["value_loss"][: AT - AROUND] = 1e6
    figures["value_loss"][AT + AROUND + 1 :] = 1e6
    assert largest_jump(figures).value_loss == (9.0, 9.0, 500.0)


def test_at_the_ends_and_where_nothing_is_told():
    figures = history()
    del figures["episode_success"]
    figures["approx_kl"][0] = 3.0
    jump = largest_jump(figures)
    assert (jump.update, jump.episode_success) == (101, None)
    assert np.isnan(jump.value_loss.before)
    figures["approx_kl"][-1] = 4.0
    figures["value_loss"][-3:-1] = np.nan  # left out
    jump = largest_jump(figures)
    assert (jump.update, jump.value_loss.before) == (100 + ROWS, 500.0)
    assert np.isnan(jump.value_loss.after)
