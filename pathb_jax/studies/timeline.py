"""What moves first when runs unwind: the order in which a run's figures turn for the worse.

A turn is the join of two straight lines fitted to a figure around the reward's peak (two-phase
regression: Hudson, "Fitting segmented curves whose join points have to be estimated", JASA 61,
1966). Which of two figures turns first is asked of each run once, and runs are independent, so
that the sign test holds whatever the noise within a run is. Numbers in, numbers out: no files.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

REFERENCE = "mean_reward"
"""Whose fall after its peak is the unwinding."""


class Figure(NamedTuple):
    """A column of the history."""

    part: str
    """Of the learner: what it is a figure of."""
    worse: int
    """1: larger is worse, -1: smaller is."""
    positive: bool = False
    """Looked at in logarithms."""


FIGURES = {
    "value_loss": Figure("critic", 1, positive=True),
    "critic_grad_norm": Figure("critic", 1, positive=True),
    "actor_grad_norm": Figure("policy", 1, positive=True),
    "entropy": Figure("policy", 1),
    "log_std": Figure("policy", 1),
    REFERENCE: Figure("behaviour", -1),
    "episode_success": Figure("behaviour", -1),
}
"""What is looked at, where all runs have it."""

Turns = dict[str, int | None]
"""Figure -> the update after which it turns for the worse; None: it does not."""

ALPHA = 0.05
LEAST_T = 4.0
"""How many standard errors the slope has to change by at a turn."""
EDGE = 0.1
"""Share of the rows on either side of a turn, at least."""
LEAST_ROWS = 20
RESAMPLES = 9999


def peak_window(reward: np.ndarray) -> tuple[int, int] | None:
    """Return the rows around the reward's peak in which turns are looked for.

    As many before the peak as after it, at most a quarter of the run: in the mean over runs a
    figure that only fluctuates turns neither before the peak nor after it.

    Args:
        reward: one per update.

    Returns:
        First row, and the row after the last; None: too few rows, or the peak of the running mean
        over a twentieth of the run lies too near one of its ends.
    """
    rows = len(reward)
    width = max(5, rows // 20)
    if rows < LEAST_ROWS:
        return None
    smooth = np.convolve(reward, np.full(width, 1 / width), mode="valid")
    peak = int(np.argmax(smooth)) + width // 2
    half = min(peak, rows - 1 - peak, rows // 4)
    return (peak - half, peak + half + 1) if half >= max(width, LEAST_ROWS // 2) else None


def turn(values: np.ndarray, worse: int) -> int | None:
    """Return the row at which a figure turns for the worse.

    Of all joins of two straight lines whose slope changes for the worse, the one that leaves least
    squares; if it changes by LEAST_T standard errors (of independent rows; their spread by the
    median absolute deviation, so that single spikes count little), and the figure gets worse after
    it: a decay that levels off does not turn.

    Args:
        values: one per row; NaN is left out.
        worse: 1: larger is worse, -1: smaller is.

    Returns:
        None: it does not turn.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < LEAST_ROWS:
        return None
    y, x = worse * values[rows], rows.astype(float)
    edge = max(2, int(EDGE * len(rows)))
    joins = rows[edge:-edge]
    line = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    hinges = np.maximum(x[:, None] - joins[None], 0.0)
    both = np.column_stack([y, hinges])
    trend = np.linalg.lstsq(line, both, rcond=None)[0]
    rest = both - line @ trend  # what a straight line does not explain
    y_rest, hinge_rest = rest[:, 0], rest[:, 1:]
    size = np.einsum("ij,ij->j", hinge_rest, hinge_rest)
    change = (y_rest @ hinge_rest) / size
    after = trend[1, 0] - change * trend[1, 1:] + change
    gain = np.where(change > 0, change**2 * size, -np.inf)
    best = int(np.argmax(gain))
    left = y_rest - change[best] * hinge_rest[:, best]
    spread = 1.4826 * np.median(np.abs(left - np.median(left)))
    turns = after[best] > 0 and gain[best] > (LEAST_T * spread) ** 2
    return int(joins[best]) if turns else None


def turns(history: Mapping[str, np.ndarray], names: Sequence[str]) -> Turns | None:
    """Return after which update each figure of a run turns for the worse.

    Args:
        history: a column per name and `update`, one figure per update.
        names: of FIGURES, the reference among them.

    Returns:
        None: the run does not unwind.
    """
    window = peak_window(np.asarray(history[REFERENCE], float))
    if window is None:
        return None
    first, end = window
    found: Turns = {}
    for name in names:
        values = np.asarray(history[name], float)[first:end]
        if FIGURES[name].positive:
            values = np.log(np.where(values > 0, values, np.nan))
        at = turn(values, FIGURES[name].worse)
        found[name] = None if at is None else int(history["update"][first + at])
    return None if found[REFERENCE] is None else found


class Lead(NamedTuple):
    """When a figure turns against the reward, over runs."""

    name: str
    runs: int
    """In which it turns."""
    before: int
    after: int
    """Runs in which it turns before and after the reward; the others at the same update."""
    median: float | None
    """Updates by which it turns before the reward; None: it turns in no run."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the median over runs; None below four runs."""
    p_value: float
    """Of the sign test, two-sided, times what Holm's rule asks for all figures."""


class First(NamedTuple):
    """Whether a part of the learner turns before the others."""

    part: str
    figure: str
    """The figure of it that comes first most clearly."""
    p_value: float
    """Of its turning before every figure of the other parts, for as many parts and figures."""


class Timeline(NamedTuple):
    """What the runs say together."""

    runs: list[Turns | None]
    """When the figures of each turn; None: it does not unwind."""
    unwound: int
    leads: list[Lead]
    firsts: list[First]
    goes_first: str | None
    """The part that goes first; None: it cannot be told."""


def timeline(histories: Sequence[Mapping[str, np.ndarray]]) -> Timeline:
    """Say in which order the figures of runs turn when they unwind.

    A part goes first if one of its figures turns before every figure of the other parts: the
    largest p-value of those sign tests (one-sided) counts, an intersection-union test, times the
    figures of the part and the parts (Bonferroni). So on runs in which nothing goes first one is
    named in at most 5 % of all studies.

    Args:
        histories: one per run; runs that do not unwind are counted and left out.
    """
    names = [name for name in FIGURES if all(name in history for history in histories)]
    found = [turns(history, names) for history in histories]
    unwound = [run for run in found if run is not None]
    others = [name for name in names if name != REFERENCE]
    p_values = holm([sign_test(*_order(unwound, name, REFERENCE), both=True) for name in others])
    leads = [_lead(unwound, name, p) for name, p in zip(others, p_values, strict=True)]
    parts = list(dict.fromkeys(FIGURES[name].part for name in names))
    firsts = [_first(unwound, names, part, len(parts)) for part in parts]
    best = min(firsts, key=lambda first: first.p_value)
    goes_first = best.part if best.p_value < ALPHA else None
    return Timeline(found, len(unwound), leads, firsts, goes_first)


def sign_test(before: int, after: int, *, both: bool) -> float:
    """Return the exact p-value of "before" and "after" being equally likely.

    Example:
        >>> sign_test(8, 0, both=False)
        0.00390625
    """
    from scipy.stats import binomtest  # takes long to import

    if before + after == 0:
        return 1.0
    return float(
        binomtest(before, before + after, alternative="two-sided" if both else "greater").pvalue
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's rule (Scandinavian Journal of Statistics 6, 1979).

    Example:
        >>> holm([0.01, 0.5, 0.03])
        [0.03, 0.5, 0.06]
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _order(unwound: Sequence[Turns], one: str, other: str) -> tuple[int, int]:
    """Return in how many runs a figure turns before another, and after it."""
    leads = _leads(unwound, one, other)
    return int((leads > 0).sum()), int((leads < 0).sum())


def _leads(unwound: Sequence[Turns], one: str, other: str) -> np.ndarray:
    pairs = [(found[one], found[other]) for found in unwound]
    return np.array([b - a for a, b in pairs if a is not None and b is not None], int)


def _lead(unwound: Sequence[Turns], name: str, p_value: float) -> Lead:
    leads = _leads(unwound, name, REFERENCE)
    median = float(np.median(leads)) if len(leads) else None
    return Lead(
        name,
        len(leads),
        int((leads > 0).sum()),
        int((leads < 0).sum()),
        median,
        _interval(leads),
        p_value,
    )


def _interval(leads: np.ndarray) -> tuple[float, float] | None:
    from scipy.stats import bootstrap  # takes long to import

    if len(leads) < 4:
        return None
    if np.ptp(leads) == 0:
        return float(leads[0]), float(leads[0])
    found = bootstrap(
        (leads,), np.median, n_resamples=RESAMPLES, method="percentile", random_state=0
    ).confidence_interval
    return float(found.low), float(found.high)


def _first(unwound: Sequence[Turns], names: Sequence[str], part: str, parts: int) -> First:
    own = [name for name in names if FIGURES[name].part == part]
    against = [name for name in names if FIGURES[name].part != part]
    p_values = {
        name: max(sign_test(*_order(unwound, name, other), both=False) for other in against)
        for name in own
    }
    figure = min(own, key=p_values.__getitem__)
    return First(part, figure, min(1.0, len(own) * parts * p_values[figure]))
