"""The update in which a run's policy moves furthest, and what was around it. No files."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

AROUND = 5
"""Updates on either side that `before` and `after` are medians of."""


class Around(NamedTuple):
    """A figure around an update; NaN where there is nothing to say."""

    before: float
    """Median of the updates before."""
    at: float
    after: float
    """Median of the updates after."""


class Jump(NamedTuple):
    """The update with a run's largest approx_kl."""

    update: int
    approx_kl: float
    times_median: float
    """What it is divided by the median over the run; NaN where that is 0."""
    value_loss: Around
    episode_success: Around | None
    """None: the run's history does not tell it."""


def largest_jump(history: Mapping[str, np.ndarray]) -> Jump:
    """Return the update that moves a run's policy furthest.

    Args:
        history: a column per name, one figure per update.

    Example:
        >>> history = {"update": np.arange(1, 5), "approx_kl": np.array([0.01, 0.01, 1.0, 0.02]),
        ...     "value_loss": np.array([9.0, 9.0, 9.0, 400.0])}
        >>> jump = largest_jump(history)
        >>> jump.update, jump.value_loss.at, jump.value_loss.after
        (3, 9.0, 400.0)
    """
    kl = np.asarray(history["approx_kl"], float)
    row = int(np.argmax(kl))
    median = float(np.median(kl))
    success = history.get("episode_success")
    return Jump(
        int(history["update"][row]),
        float(kl[row]),
        float(kl[row]) / median if median > 0 else float("nan"),
        _around(history["value_loss"], row),
        None if success is None else _around(success, row),
    )


def _around(values: np.ndarray, row: int) -> Around:
    values = np.asarray(values, float)
    before, after = values[max(0, row - AROUND) : row], values[row + 1 : row + 1 + AROUND]
    return Around(_median(before), float(values[row]), _median(after))


def _median(values: np.ndarray) -> float:
    told = values[np.isfinite(values)]
    return float(np.median(told)) if len(told) else float("nan")
