"""The result note's figures. A candidate has one colour in all of them, with all of its seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pathb_jax.judging import rates
from pathb_jax.ladder.stages import TrainingDynamics
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.style import COLOURS, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Histories = Mapping[str, Mapping[str, np.ndarray]]
"""Run -> history columns."""


class Line(NamedTuple):
    """How a run is drawn."""

    colour: str
    label: str
    """In the legend, where runs of one label stand once."""


Lines = Mapping[str, Line]
"""Run -> how it is drawn."""

PANELS = {
    "entropy": "entropy (nats)",
    "log_std": "log_std",
    "value_loss": "value loss",
    "mean_reward": "mean reward per step",
}
"""History columns that are drawn, with their axis labels."""

MARKERS = "os^Dv"
LIMIT: Any = {"color": "0.35", "linestyle": "--", "linewidth": 1}
SMOOTHING = 25
"""Smoothed lines are running means over one of so many parts of a run, five updates at least."""


def colours_of(runs: Iterable[str]) -> dict[str, str]:
    """Give every run its colour, by its place."""
    return {run: COLOURS[place % len(COLOURS)] for place, run in enumerate(runs)}


@drawn
def draw_curves(histories: Histories, lines: Lines, rule: TrainingDynamics | None) -> "Figure":
    """Draw whole training curves over environment steps: running means over the raw figures.

    Args:
        histories: of every run of a candidate that has one.
        lines: of these runs.
        rule: stage 2; its thresholds are dashed.
    """
    from matplotlib.figure import Figure  # takes long to import
    from scipy.ndimage import uniform_filter1d

    figure = Figure(figsize=(10, 6.2), layout="constrained")
    limits = {"entropy": rule.entropy_below, "value_loss": rule.value_loss_at_most} if rule else {}
    for axes, (column, label) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        for tag, history in histories.items():
            steps, values = history["env_steps"] / 1e6, history[column]
            smooth = uniform_filter1d(values, max(5, len(values) // SMOOTHING), mode="nearest")
            axes.plot(steps, values, color=lines[tag].colour, linewidth=0.6, alpha=0.3)
            axes.plot(steps, smooth, color=lines[tag].colour, linewidth=1.6, label=lines[tag].label)
        if column in limits:
            axes.axhline(limits[column], **LIMIT)
        if column == "value_loss":
            _logarithmic(axes, histories)
        _finish(axes, "environment steps (millions)", label)
    _legend(figure)
    return figure


@drawn
def draw_window(histories: Histories, lines: Lines, rule: TrainingDynamics) -> "Figure":
    """Draw the rows that stage 2 judges, and as many before them, against its thresholds.

    Args:
        histories: of every run of a candidate that has one.
        lines: of these runs.
        rule: stage 2.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    panels = {
        "entropy": ("entropy (nats)", rule.entropy_below, "below"),
        "log_std": ("log_std since the first judged row", rule.log_std_rise_at_most, "≤"),
        "value_loss": ("value loss", rule.value_loss_at_most, "≤"),
    }
    for axes, (column, (label, limit, sign)) in zip(
        figure.subplots(1, 3), panels.items(), strict=True
    ):
        for tag, history in histories.items():
            values = history[column][-2 * rule.window :]
            rows = np.arange(1 - len(values), 1)
            if column == "log_std" and len(values):
                values = values - values[-rule.window :][0]
            axes.plot(rows, values, color=lines[tag].colour, linewidth=0.9, alpha=0.5)
            judged = slice(-rule.window, None)
            axes.plot(
                rows[judged],
                values[judged],
                color=lines[tag].colour,
                linewidth=2,
                label=lines[tag].label,
            )
        axes.axvspan(1 - rule.window, 0, color="0.92", zorder=0)
        axes.axhline(limit, **LIMIT)
        axes.annotate(
            f"{sign} {limit:g}",
            (0, limit),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
        if column == "value_loss":
            _logarithmic(axes, histories)
        _finish(axes, "updates before the end", label)
    _legend(figure)
    return figure


@drawn
def draw_along(
    along: Mapping[str, tuple[Sequence[int], Sequence[tuple[int, int]]]],
    lines: Lines,
    floor: float,
) -> "Figure":
    """Draw the success rate at every in-run evaluation, with exact 95 % intervals.

    Args:
        along: run -> updates and (successes, seeds) of its evaluations on stage 1's set.
        lines: of these runs.
        floor: stage 1's threshold, dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for tag, (updates, counts) in along.items():
        low, high = np.array([clopper_pearson(*count) for count in counts]).T
        rate = [successes / seeds for successes, seeds in counts]
        axes.fill_between(updates, low, high, color=lines[tag].colour, alpha=0.12, linewidth=0)
        axes.plot(
            updates,
            rate,
            "o-",
            color=lines[tag].colour,
            linewidth=1.4,
            ms=4,
            label=lines[tag].label,
        )
    axes.axhline(floor, **LIMIT)
    axes.set_ylim(-0.03, 1.03)
    _legend(figure)
    _finish(axes, "update", "success rate")
    return figure


@drawn
def draw_sets(
    sets: Mapping[str, Mapping[str, tuple[float, float, float]]],
    lines: Lines,
    floor: float | None,
) -> "Figure":
    """Draw the success rate of every run and evaluation set.

    Args:
        sets: run -> first seed of the set -> (rate, low and high end of its interval).
        lines: of these runs.
        floor: stage 1's threshold, dashed.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    starts = list(dict.fromkeys(start for of_run in sets.values() for start in of_run))
    for place, (run, of_run) in enumerate(sets.items()):
        for start, (rate, low, high) in of_run.items():
            index = starts.index(start)
            axes.errorbar(
                place + 0.16 * (index - (len(starts) - 1) / 2),
                rate,
                yerr=np.maximum(0, [[rate - low], [high - rate]]),
                fmt=MARKERS[index % len(MARKERS)],
                capsize=3,
                color=lines[run].colour,
            )
    if floor is not None:
        axes.axhline(floor, **LIMIT)
    axes.set_xticks(range(len(sets)), list(sets), rotation=_slant(len(sets)))
    axes.set_ylim(-0.03, 1.03)
    marks = [
        Line2D([], [], marker=MARKERS[i % len(MARKERS)], color="0.3", ls="none", label=f"from {s}")
        for i, s in enumerate(starts)
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(starts), frameon=False)
    _finish(axes, "", "success rate")
    return figure


@drawn
def draw_rules(seeds: int, floor: float, difference: float) -> "Figure":
    """Draw how often stages 1 and 3 are wrong over the true success probability, exactly.

    Args:
        seeds: of an evaluation set.
        floor: stage 1's threshold.
        difference: the largest that passes stage 3.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, size in enumerate(sorted({seeds, 128, 512})):
        style = {"color": COLOURS[place], "label": f"{size} seeds a set"}
        curve = rates.floor_errors(size, floor)
        left.plot(curve.probability, curve.wrong, **style)
        curve = rates.shift_false_fails(size, difference, points=41)
        right.plot(curve.probability, curve.wrong, **style)
    left.axvline(floor, **LIMIT)
    left.set_title("stage 1: passes below the floor, fails above it", fontsize=10)
    right.set_title("stage 3: fails a policy equally good on both sets", fontsize=10)
    for axes in (left, right):
        axes.set_ylim(0, 0.6)
        _finish(axes, "true success probability", "probability of the wrong answer")
    _legend(figure)
    return figure


def _slant(names: int) -> int:
    """Return by how many degrees names are turned, so that they have room beside each other."""
    return 0 if names <= 4 else 20 if names <= 10 else 60


def _logarithmic(axes: "Axes", histories: Histories) -> None:
    if all((history["value_loss"] > 0).all() for history in histories.values()):
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _legend(figure: "Figure") -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    first = dict(zip(reversed(labels), reversed(handles), strict=True))
    shown = {label: first[label] for label in dict.fromkeys(labels)}
    columns = min(4, len(shown))
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=columns, frameon=False)


def _finish(axes: "Axes", horizontal: str, vertical: str) -> None:
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
