"""How sure stage 2 is: its statistic on every window of the run's last third."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pathb_jax.ladder.exact import difference
from pathb_jax.ladder.stages import TrainingDynamics

SHIFTS = (10, 25, 50, 100)
"""Updates by which the window is ended earlier."""


class Windows(NamedTuple):
    """Stage 2 on windows that end at the run's last row and before; the last is the judged one."""

    ends: np.ndarray
    """Index of each window's last row."""
    entropy: np.ndarray
    """At the window's end."""
    log_std_rise: np.ndarray
    """From the window's first row to its last: the reading that decides."""
    monotone: np.ndarray
    """Whether log_std never rises from one row to the next: the other reading of the text."""
    value_loss_max: np.ndarray
    passed: np.ndarray
    """By the reading that decides."""
    passed_monotone: np.ndarray


def windows(history: Mapping[str, Sequence[float] | np.ndarray], rule: TrainingDynamics) -> Windows:
    """Evaluate stage 2 on every window that ends in the run's last third.

    Args:
        history: the columns entropy, log_std and value_loss, one number per update.
        rule: the protocol's stage 2.

    Returns:
        One entry per window, oldest first; none where the run is shorter than a window.
    """
    entropy, log_std, value_loss = (
        np.asarray(history[name], float) for name in ("entropy", "log_std", "value_loss")
    )
    rows = len(entropy)
    first = max(rows - 1 - rows // 3, rule.window - 1)
    ends = np.arange(first, rows)
    span = ends[:, None] + np.arange(1 - rule.window, 1) if len(ends) else np.zeros((0, 2), int)
    inside = log_std[span]
    # The difference of what the file shows, as the stage takes it; NaN where one is not finite.
    rise = np.array([difference(late, early) for early, late in inside[:, [0, -1]].tolist()], float)
    monotone = np.all(np.diff(inside, axis=1) <= 0, axis=1)
    largest = value_loss[span].max(axis=1, initial=-np.inf)
    others = (entropy[ends] < rule.entropy_below) & (largest <= rule.value_loss_at_most)
    return Windows(
        ends=ends,
        entropy=entropy[ends],
        log_std_rise=rise,
        monotone=monotone,
        value_loss_max=largest,
        passed=others & (rise <= rule.log_std_rise_at_most),
        passed_monotone=others & monotone,
    )


def passed_each(found: Windows, rule: TrainingDynamics) -> dict[str, int]:
    """Return in how many windows each figure alone stays within its limit."""
    return {
        "entropy": int((found.entropy < rule.entropy_below).sum()),
        "log_std_rise": int((found.log_std_rise <= rule.log_std_rise_at_most).sum()),
        "value_loss_max": int((found.value_loss_max <= rule.value_loss_at_most).sum()),
    }


def earlier(found: Windows, shifts: Sequence[int] = SHIFTS) -> dict[int, bool | None]:
    """Return whether stage 2 passes where its window ends so many updates earlier.

    Returns:
        shift -> passed; None where that lies before the run's last third.
    """
    passed = found.passed.tolist()
    return {shift: passed[-1 - shift] if shift < len(passed) else None for shift in shifts}


def rank_of_rise(found: Windows) -> float | None:
    """Return the share of the windows whose log_std rises at least as much as the judged one's.

    Near 0: the judged window rose as windows of this run seldom do. Near 1: nearly all rise so.
    """
    if not len(found.log_std_rise):
        return None
    return float((found.log_std_rise >= found.log_std_rise[-1]).mean())
