"""Curves of training over environment steps, drawn: one colour each, the same in all panels."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pathb_jax.report.style import COLOURS, drawing, encoded
from pathb_jax.studies.curves import (
    EVALUATED,
    LEAST_SMOOTHED,
    QUARTILES_FROM,
    SMOOTHING,
    Band,
    Curve,
    FigureName,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES: dict[FigureName, str] = {
    "success": "success rate",
    "alignment": "mean alignment",
    "return": "mean return",
    "reward": "mean reward per step",
    "value_loss": "value loss",
    "entropy": "entropy (nats)",
    "log_std": "log_std",
    "approx_kl": "approximate KL divergence",
    "clip_frac": "clipped fraction",
    "explained_variance": "explained variance",
}
LINES = ("-", "--", ":", "-.")
"""Styles, by how often the colours have been used up."""
MOST_CURVES = len(COLOURS) * len(LINES)
"""That can be told apart."""
LEGEND_LETTERS, MARK_LETTERS = 54, 6
"""Above a panel, of labels side by side; of which the line before each label takes some."""

NOTE_LETTERS = 76
"""Of the note below a panel."""


def draw_curves(curves: Sequence[Curve], figures: Sequence[FigureName], kind: str) -> bytes:
    """Draw one panel per figure, and return a file's bytes.

    Args:
        curves: `MOST_CURVES` at most.
        figures: that they have.
        kind: png, svg or pdf.

    Raises:
        FigureError: it cannot be drawn, whatever goes wrong.
    """
    with drawing():
        return encoded(_draw(curves, figures), kind)


def _draw(curves: Sequence[Curve], figures: Sequence[FigureName]) -> "Figure":
    from matplotlib.figure import Figure  # takes long to import

    columns = min(2, len(figures))
    rows = -(-len(figures) // columns)
    figure = Figure(layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, name in zip(panels, figures, strict=False):
        for place, curve in enumerate(curves):
            _draw_curve(axes, curve, name, place)
        if name == "value_loss":
            _logarithmic(axes, [curve.figures[name] for curve in curves])
        if name in EVALUATED:
            axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel(NAMES[name])
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(figures) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(figures) - columns) : len(figures)]:
        axes.set_xlabel("environment steps (millions)")
        axes.tick_params(labelbottom=True)
    handles, labels = panels[0].get_legend_handles_labels()
    room = LEGEND_LETTERS * columns
    labels = [textwrap.fill(label, room - MARK_LETTERS) for label in labels]
    ncols = min(max(1, room // (max(map(len, labels)) + MARK_LETTERS)), len(labels), 4)
    lines = sum(label.count("\n") + 1 for label in labels) // ncols + 1
    figure.legend(
        handles, labels, loc="outside upper center", ncols=ncols, fontsize=9, frameon=False
    )
    said = textwrap.fill("; ".join(_said(curves, figures)), NOTE_LETTERS * columns)
    figure.supxlabel(said, fontsize=7, color="0.35")
    lines += said.count("\n")
    figure.set_size_inches(4.0 * columns, 2.35 * rows + 0.19 * lines + 0.5)
    return figure


def _draw_curve(axes: "Axes", curve: Curve, name: FigureName, place: int) -> None:
    band = curve.figures[name]
    steps = [count / 1e6 for count in band.env_steps]
    colour = COLOURS[place % len(COLOURS)]
    seeds = f"{len(curve.runs)} seeds" if len(curve.runs) > 1 else "1 seed"
    axes.plot(
        steps,
        band.median,
        color=colour,
        linestyle=LINES[place // len(COLOURS) % len(LINES)],
        linewidth=1.6,
        marker="o" if name in EVALUATED else "",
        markersize=3,
        label=f"{curve.label} ({seeds})",
    )
    axes.fill_between(steps, band.low, band.high, color=colour, alpha=0.15, linewidth=0)


def _logarithmic(axes: "Axes", bands: Sequence[Band]) -> None:
    from matplotlib.ticker import LogLocator

    low = min((min(band.low) for band in bands if band.low), default=1.0)
    high = max((max(band.high) for band in bands if band.high), default=1.0)
    axes.set_yscale("log" if low > 0 else "symlog")
    if 0 < high < 30 * low:  # powers of ten alone would be one or two
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _said(curves: Sequence[Curve], figures: Sequence[FigureName]) -> list[str]:
    """Say what lines and bands are."""
    bands = {curve.band for curve in curves}
    parts = []
    if bands != {"none"}:
        parts.append("line: median over training seeds")
    if "interquartile" in bands:
        parts.append("band: interquartile range")
    if "min-max" in bands:
        fewer = f" (fewer than {QUARTILES_FROM} seeds)" if "interquartile" in bands else ""
        parts.append(f"band: least to largest{fewer}")
    smooth = [NAMES[name].split(" (")[0] for name in figures if name not in EVALUATED]
    if smooth:
        window = f"1/{SMOOTHING} of a run, {LEAST_SMOOTHED} updates at least"
        parts.append(f"running means over {window}: {', '.join(smooth)}")
    return parts
