"""The battery's figures: policies by channels, and example paths of one channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathb_jax.evaluation.channels import (
    CHANNELS,
    EDIT_STEP,
    NEW_BASIN,
    OLD_BASIN,
    SEEN_POSITION,
)
from pathb_jax.evaluation.labels import THRESHOLDS
from pathb_jax.report.style import COLOURS, drawn
from pathb_jax.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pathb_jax.evaluation.battery import Battery, Episodes
    from pathb_jax.studies.battery import Mean, PolicyFigures

EXAMPLES = 4
"""Pairs that are drawn of a policy: those of the first seeds."""
MOST_DRAWN = 12
"""Policies that a figure of paths has room for."""
HALF_WIDTH = 5.0
_NAME = 34
"""Characters of a policy's name beside a figure."""


@drawn
def draw_overview(policies: "Sequence[PolicyFigures]") -> "Figure":
    """Draw policies by channels: action response and divergence; then basin preferences, labels."""
    from matplotlib.figure import Figure  # takes long to import

    figure = Figure(figsize=(12, 1.7 + 0.34 * len(policies)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1, 1.15))
    actions = [[each.action_response for each in policy.channels] for policy in policies]
    places = [[each.divergence for each in policy.channels] for policy in policies]
    _matrix(panels[0], actions, "action response (mean |a_on - a_off|)")
    _matrix(panels[1], places, "terminal position divergence")
    _preferences(panels[2], policies)
    rows = range(len(policies))
    panels[0].set_yticks(rows, [_short(policy.name) for policy in policies], fontsize=8)
    panels[0].set_ylim(len(policies) - 0.5, -0.5)
    return figure


def _matrix(axes: "Axes", means: "Sequence[Sequence[Mean]]", title: str) -> None:
    values = np.array([[np.nan if m.mean is None else m.mean for m in row] for row in means])
    top = np.nanmax(values, initial=0.0) or 1.0
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.5 * top, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else "0" if value == 0 else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(CHANNELS)), CHANNELS, rotation=25, ha="right", fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _preferences(axes: "Axes", policies: "Sequence[PolicyFigures]") -> None:
    limits = (THRESHOLDS.old_basin, THRESHOLDS.old_basin_under_budget)
    for limit, style in zip(limits, ("--", ":"), strict=True):
        axes.axvline(limit, color="0.35", linestyle=style, linewidth=1)
    for row, policy in enumerate(policies):
        preference = policy.of("basin-position").preference
        mean = preference.mean
        assert mean is not None  # of every seed
        low, high = preference.interval_95 or (mean, mean)
        axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=1.4)
        axes.plot(mean, row, "o", color=COLOURS[0], markersize=5)
        axes.text(1.02, row, policy.label, transform=axes.get_yaxis_transform(), va="center")
    axes.set_title("old basin preference, basin moved", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


@drawn
def draw_pairs(
    channel: str, names: Sequence[str], batteries: "Sequence[Battery]", examples: int = EXAMPLES
) -> "Figure":
    """Draw the first pairs of a channel, one panel for each policy; at most `MOST_DRAWN`."""
    from matplotlib.figure import Figure

    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(5.2, 2.9 * columns), 3.0 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, name, battery in zip(panels, names, batteries, strict=False):
        edited = battery.edited.take(CHANNELS.index(channel))
        for place in range(min(examples, len(battery.seeds))):
            colour = COLOURS[place % len(COLOURS)]
            _pair(panel, battery.unedited.take(place), edited.take(place), colour)
        panel.plot(*OLD_BASIN, "x", color="0.2", markersize=7)
        if channel == "basin-position":
            panel.plot(*NEW_BASIN, "+", color="0.2", markersize=9)
        if channel == "observation":
            panel.plot(*SEEN_POSITION, "^", color="0.2", markersize=6)
        panel.set_title(_short(name), fontsize=8)
        panel.set(xlim=(-HALF_WIDTH, HALF_WIDTH), ylim=(-HALF_WIDTH, HALF_WIDTH), aspect="equal")
        panel.tick_params(labelsize=6)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    _key(figure, channel)
    figure.suptitle(f"{channel} edited at step {EDIT_STEP}", fontsize=10)
    return figure


def _pair(axes: "Axes", unedited: "Episodes", edited: "Episodes", colour: str) -> None:
    for side, style in (
        (unedited, {"linewidth": 4, "alpha": 0.25, "solid_capstyle": "round"}),
        (edited, {"linewidth": 1.2}),
    ):
        axes.plot(*side.positions[: side.steps + 1].T, color=colour, **style)
    axes.plot(*unedited.positions[0], "s", color="white", markeredgecolor=colour, markersize=4)
    axes.plot(*unedited.goal, "*", color="white", markeredgecolor=colour, markersize=10)
    if not np.array_equal(unedited.goal, edited.goal):
        axes.plot(*edited.goal, "*", color=colour, markersize=10)
    if edited.steps > EDIT_STEP:
        axes.plot(*edited.positions[EDIT_STEP], "o", color=colour, markersize=4)


def _key(figure: "Figure", channel: str) -> None:
    from matplotlib.lines import Line2D

    def mark(marker: str, label: str, face: str = "0.3") -> Line2D:
        return Line2D([], [], marker=marker, mfc=face, mec="0.3", ls="none", label=label)

    entries = [
        mark("s", "start", "white"),
        mark("*", "goal", "white"),
        mark("x", "false basin"),
        mark("o", "edit"),
        Line2D([], [], color="0.3", linewidth=4, alpha=0.25, label="unedited"),
        Line2D([], [], color="0.3", linewidth=1.2, label="edited"),
    ]
    moved = {
        "geometry": mark("*", "goal moved to"),
        "basin-position": mark("+", "basin moved to"),
        "observation": mark("^", "told position"),
    }
    entries += [moved[channel]] if channel in moved else []
    figure.legend(handles=entries, loc="outside lower center", ncols=4, fontsize=8, frameon=False)


def _short(name: str) -> str:
    """Return the end of a name that is long: what distinguishes runs stands there."""
    name = visible(name)
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
