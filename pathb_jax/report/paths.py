"""A picture of episodes: where each went over the signature field, and how it ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pathb_jax.report.style import drawn
from pathb_jax.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EpisodePath(NamedTuple):
    """One episode to draw."""

    title: str
    positions: np.ndarray
    """`[steps + 1, 2]`"""
    goal: np.ndarray
    """`[2]`, at the end of the episode."""
    success: bool


@drawn
def draw_paths(
    episodes: Sequence[EpisodePath],
    *,
    heading: str,
    half_width: float,
    signature_sigma: float,
    success_radius: float,
    basin_center: tuple[float, float],
    basin_sigma: float,
) -> "Figure":
    """Draw one panel per episode.

    Args:
        episodes: at most a few dozen.
        heading: what played.
        half_width: of the arena.
        signature_sigma: width of the signature bump.
        success_radius: distance that counts as "at the goal".
        basin_center: false basin, `[2]`.
        basin_sigma: its width.
    """
    from matplotlib.figure import Figure  # takes long to import
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle

    columns = min(4, len(episodes))
    rows = -(-len(episodes) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.75 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    axis = np.linspace(-half_width, half_width, 121)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    for panel, episode in zip(panels, episodes, strict=False):
        squared = np.sum(np.square(grid - episode.goal), axis=-1)
        field = np.exp(-squared / (2 * signature_sigma**2))
        panel.imshow(
            field,
            extent=(-half_width, half_width, -half_width, half_width),
            origin="lower",
            cmap="Blues",
            vmin=0,
            vmax=1.6,  # keeps the darkest blue light enough for lines
        )
        panel.add_patch(Circle(basin_center, basin_sigma, fill=False, ls=":", ec="#b03a2e"))
        panel.plot(*basin_center, marker="x", color="#b03a2e", ms=6)
        panel.add_patch(Circle(tuple(episode.goal), success_radius, fill=False, ec="black"))
        panel.plot(*episode.positions.T, color="#1b1b1b" if episode.success else "#d35400", lw=1.2)
        panel.plot(*episode.positions[0], marker="s", color="white", mec="black", ms=5)
        panel.plot(*episode.goal, marker="*", color="#f1c40f", mec="black", ms=9)
        panel.set_title(episode.title, fontsize=8)
        panel.set_aspect("equal")
        panel.tick_params(labelsize=6)
    for panel in panels[len(episodes) :]:
        panel.set_visible(False)
    figure.legend(
        handles=[
            Line2D([], [], marker="s", mfc="white", mec="black", ls="none", label="start"),
            Line2D([], [], marker="*", mfc="#f1c40f", mec="black", ms=9, ls="none", label="goal"),
            Line2D([], [], marker="x", color="#b03a2e", ls="none", label="false basin"),
            Line2D([], [], color="#1b1b1b", label="success"),
            Line2D([], [], color="#d35400", label="time-out"),
        ],
        loc="outside lower center",
        ncols=min(5, columns + 2),
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(visible(heading), fontsize=10)
    return figure
