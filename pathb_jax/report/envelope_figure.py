"""The envelope's figure: every measure against lambda, drawn."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathb_jax.report.style import COLOURS, drawn
from pathb_jax.studies.envelope import Envelope
from pathb_jax.studies.envelope_statistics import ALIGNMENT_FLOOR, PREFERENCE_LIMIT, Mean, Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "success": "success rate",
    "alignment": "mean alignment",
    "steps": "mean steps",
    "basin_distance": "distance to the false basin",
    "preference": "basin preference",
}
"""Measures that are drawn, with their axis labels."""

LIMITS = {"alignment": ALIGNMENT_FLOOR, "preference": PREFERENCE_LIMIT}


@drawn
def draw_envelope(envelope: Envelope) -> "Figure":
    """Draw one panel per measure; lambdas are spaced evenly, as most lie close to 1."""
    from matplotlib.figure import Figure  # takes long to import

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    *panels, legend = figure.subplots(2, 3).flat
    positions = np.arange(len(envelope.samples))
    lambdas = [sample.mixed_lambda for sample in envelope.samples]
    breach = envelope.breach.at
    for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
        _seeds(axes, envelope.samples, name)
        at = [lambdas.index(point.mixed_lambda) for point in envelope.points]
        _means(axes, at, [getattr(point, name) for point in envelope.points])
        if name in LIMITS:
            axes.axhline(LIMITS[name], color="0.35", linestyle="--", linewidth=1, label="limit")
        if math.isfinite(breach):
            place = float(np.interp(breach, lambdas, positions))
            axes.axvline(place, color=COLOURS[1], linewidth=1.2, label="breach")
        axes.set_xticks(positions, [f"{x:g}" for x in lambdas], rotation=45)
        axes.set_xlabel("lambda (not to scale)")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(-0.03, 1.03)
    panels[1].set_ylim(-0.03, 1.03)
    legend.set_axis_off()
    legend.legend(*panels[1].get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def _seeds(axes: "Axes", samples: Sequence[Samples], name: str) -> None:
    place = [index for index, sample in enumerate(samples) for _ in getattr(sample, name)]
    figures = [figure for sample in samples for figure in getattr(sample, name)]
    axes.plot(
        place, figures, "o", color=COLOURS[5], alpha=0.7, markersize=4, label="one training seed"
    )


def _means(axes: "Axes", at: Sequence[int], means: Sequence[Mean]) -> None:
    centre = np.array([mean.mean for mean in means])
    ends = np.array([mean.interval or (mean.mean, mean.mean) for mean in means]).reshape(-1, 2)
    axes.errorbar(
        at,
        centre,
        yerr=np.maximum(0, [centre - ends[:, 0], ends[:, 1] - centre]),
        fmt="-o",
        capsize=3,
        markersize=4,
        color=COLOURS[0],
        label="mean, 95 % interval",
    )
