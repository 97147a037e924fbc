"""Pictures of episodes: where each went over the signature field, and how it ended."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pathb_jax.envs.drawing import MARKS, Arena, ArenaView, legend_marks
from pathb_jax.report.style import drawn
from pathb_jax.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDED = {True: "#1b1b1b", False: "#d35400"}
"""Colour of a path, by whether it succeeded."""

LETTERS = 34
"""Of the heading that fit above a panel."""


class EpisodePath(NamedTuple):
    """One episode to draw, from its start to its end."""

    name: str
    positions: np.ndarray
    """`[steps + 1, 2]`"""
    goals: np.ndarray
    """`[steps + 1, 2]`, after edits."""
    basins: np.ndarray
    """`[steps + 1, 2]`, after edits."""
    success: bool

    @property
    def steps(self) -> int:
        """How long it took."""
        return len(self.positions) - 1

    @property
    def outcome(self) -> str:
        """How it ended, as a title."""
        return f"{self.name}: {'success' if self.success else 'time-out'}, {self.steps} steps"


class Panel(NamedTuple):
    """An episode and where it is drawn."""

    episode: EpisodePath
    axes: "Axes"
    view: ArenaView


@drawn
def draw_paths(episodes: Sequence[EpisodePath], arena: Arena, heading: str) -> "Figure":
    """Draw one panel per episode.

    Args:
        episodes: at most a few dozen.
        arena: where they took place.
        heading: what played.
    """
    figure, panels = lay_out(episodes, arena, heading)
    for episode, axes, view in panels:
        view.show(episode.goals[-1], episode.basins[-1])
        axes.plot(*episode.positions.T, color=ENDED[episode.success], lw=1.2)
        axes.plot(*episode.positions[0], **MARKS["start"])
        axes.set_title(episode.outcome, fontsize=8)
    return figure


def lay_out(
    episodes: Sequence[EpisodePath], arena: Arena, heading: str
) -> "tuple[Figure, list[Panel]]":
    """Return a figure with a legend and an arena for each episode, which are still empty."""
    from matplotlib.figure import Figure  # takes long to import
    from matplotlib.lines import Line2D

    columns = min(4, len(episodes))
    rows = -(-len(episodes) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.75 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    panels = [
        Panel(episode, axes, ArenaView(axes, arena))
        for episode, axes in zip(episodes, grid, strict=False)
    ]
    for axes in grid:
        axes.tick_params(labelsize=6)
        axes.set_visible(axes in [panel.axes for panel in panels])
    figure.legend(
        handles=[
            *legend_marks(),
            Line2D([], [], color=ENDED[True], label="success"),
            Line2D([], [], color=ENDED[False], label="time-out"),
        ],
        loc="outside lower center",
        ncols={1: 2, 2: 3}.get(columns, 5),
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(textwrap.fill(visible(heading), LETTERS * columns), fontsize=10)
    return figure, panels
