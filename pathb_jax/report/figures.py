"""The result note's figures, as PNG bytes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pathb_jax.ladder.stages import TrainingDynamics
from pathb_jax.report.style import COLOURS, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "entropy": "entropy (nats)",
    "log_std": "log_std",
    "value_loss": "value loss",
    "mean_reward": "mean reward per step",
}
"""History columns that are drawn, with their axis labels."""


@drawn
def dynamics_png(
    histories: Mapping[str, Mapping[str, np.ndarray]], rule: TrainingDynamics | None
) -> "Figure":
    """Draw the training curves of every candidate over environment steps.

    Args:
        histories: tag -> history columns.
        rule: stage 2. Its thresholds are dashed, the rows that it judges bold.
    """
    from matplotlib.figure import Figure  # takes long to import

    figure = Figure(figsize=(10, 6.2), layout="constrained")
    limits = {"entropy": rule.entropy_below, "value_loss": rule.value_loss_at_most} if rule else {}
    for axes, (column, label) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        for index, (tag, history) in enumerate(histories.items()):
            colour = COLOURS[index % len(COLOURS)]
            steps, values = history["env_steps"] / 1e6, history[column]
            axes.plot(steps, values, color=colour, linewidth=0.9, label=tag)
            if rule:
                judged = slice(-rule.window, None)
                axes.plot(steps[judged], values[judged], color=colour, linewidth=2.4)
        if column in limits:
            axes.axhline(limits[column], color="0.35", linestyle="--", linewidth=1)
        if column == "value_loss":
            axes.set_yscale("symlog", linthresh=1.0)  # a loss may be 0
            axes.set_ylim(bottom=0)
        _finish(axes, "environment steps (millions)", label)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=4,
        frameon=False,
    )
    return figure


@drawn
def success_png(
    rates: Mapping[str, Mapping[str, tuple[float, float, float]]], floor: float | None
) -> "Figure":
    """Draw the success rate of every run and evaluation set.

    Args:
        rates: run -> first seed of the set -> (rate, low and high end of its interval).
        floor: stage 1's threshold, dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    starts = list(dict.fromkeys(start for sets in rates.values() for start in sets))
    for index, start in enumerate(starts):
        runs = [place for place, sets in enumerate(rates.values()) if start in sets]
        rate, low, high = np.array([sets[start] for sets in rates.values() if start in sets]).T
        axes.errorbar(
            np.array(runs) + 0.16 * (index - (len(starts) - 1) / 2),
            rate,
            yerr=np.maximum(0, [rate - low, high - rate]),
            fmt="o",
            capsize=3,
            color=COLOURS[index % len(COLOURS)],
            label=f"seeds from {start}",
        )
    if floor is not None:
        axes.axhline(floor, color="0.35", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(rates)), list(rates), rotation=20 if len(rates) > 4 else 0)
    axes.set_ylim(-0.03, 1.03)
    figure.legend(loc="outside upper center", ncols=len(starts), frameon=False)
    _finish(axes, "", "success rate")
    return figure


def _finish(axes: "Axes", horizontal: str, vertical: str) -> None:
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
