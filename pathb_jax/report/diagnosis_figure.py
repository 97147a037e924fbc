"""The diagnosis' figure: success and alignment of the default hyper-parameters along the run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathb_jax.ladder.schema import Segment
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.style import COLOURS, drawn
from pathb_jax.store.diagnosis_record import DiagnosisRecord
from pathb_jax.store.record_parts import Successes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@drawn
def draw_diagnosis(runs: Sequence[DiagnosisRecord], published: Sequence[Segment]) -> "Figure":
    """Draw every evaluation with its exact 95 % interval; mark peak, best state and end.

    Args:
        runs: the protocol's run first; a run has one colour in both panels.
        published: segments to draw beside them.
    """
    from matplotlib.figure import Figure  # takes long to import

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    success, alignment = figure.subplots(1, 2)
    for place, run in enumerate(runs):
        colour = COLOURS[place % len(COLOURS)]
        steps = np.array([state.env_steps for state in run.evaluations]) / 1e6
        counts = [state.success for state in run.evaluations]
        _rates(success, steps, counts, fmt="o-", color=colour, label=run.label)
        means = [state.mean_terminal_alignment for state in run.evaluations]
        alignment.plot(steps, means, "o-", color=colour, ms=4)
        if run.fall is None:
            continue
        best, end = run.fall.best, run.fall.end
        first = place == 0  # a mark is named once
        peak = best.env_steps / 1e6
        style = {"color": colour, "ms": 15, "zorder": 3, "markeredgecolor": "white"}
        named = f"peak on the set from {run.chosen_on}: the best state" if first else None
        success.plot(peak, best.success[0] / best.success[1], "*", label=named, **style)
        alignment.plot(peak, best.mean_terminal_alignment, "*", **style)
        told = [best] if best == end else [best, end]
        beside = np.array([state.env_steps for state in told]) / 1e6 + 0.012 * steps[-1]
        named = f"best state and end on the set from {run.told_on}" if first else None
        counts = [state.reported for state in told]
        hollow = {"fmt": "D", "color": colour, "markerfacecolor": "white", "label": named}
        _rates(success, beside, counts, **hollow)
    if published:
        steps = np.array([segment.env_steps for segment in published]) / 1e6
        style = {"color": "black", "ms": 7}
        rates = [segment.success_rate for segment in published]
        success.plot(steps, rates, "x:", label="published", **style)
        alignment.plot(steps, [s.mean_terminal_alignment for s in published], "x:", **style)
    for axes, label in ((success, "success rate"), (alignment, "mean terminal alignment")):
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("environment steps (millions)")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles = success.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _rates(axes: "Axes", steps: np.ndarray, counts: Sequence[Successes], **style: object) -> None:
    """Draw success rates with exact 95 % intervals."""
    rates = np.array([successes / seeds for successes, seeds in counts])
    ends = np.array([clopper_pearson(*count) for count in counts]).reshape(-1, 2)
    spread = np.maximum(0, [rates - ends[:, 0], ends[:, 1] - rates])
    axes.errorbar(steps, rates, yerr=spread, capsize=3, ms=5, **style)  # type: ignore[arg-type]
