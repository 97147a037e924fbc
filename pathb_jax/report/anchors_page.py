"""The anchors page: our figures beside the published ones, as Markdown with one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathb_jax.report.markdown import figure, link
from pathb_jax.report.remarks import relative
from pathb_jax.report.style import COLOURS, drawn
from pathb_jax.store.atomic import write_atomically
from pathb_jax.studies.anchors import EVAL_SEEDS, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING = "# Anchor figures"
FIGURE = "figures/anchors.png"


def write_anchors_page(
    path: Path, comparisons: Sequence[Comparison], table: Path, remarks: str
) -> None:
    """Write the page and its figure, each whole or not at all.

    Args:
        path: the Markdown file; the figure goes into `figures/` beside it.
        comparisons: one per anchor, in the order of the page.
        table: the file that holds every run.
        remarks: Markdown that explains, kept from an earlier page.
    """
    caption = "Successes per training seed, ours and published"
    lines = [
        HEADING,
        "",
        "Rows of the investigation's table of anchor figures, trained again here with several",
        "training seeds each: same task, same algorithm, another implementation. Successes are of",
        f"{EVAL_SEEDS} seeds from 10000. Every run is a row of",
        f"{link(table.name, relative(table, path))}.",
        "",
        "    python scripts/reproduce_anchors.py",
        "",
        "The command trains what is missing from its own table (results/anchors/anchors.csv, or",
        "what --table names) and writes a page like this one beside it; it can be stopped and",
        "started at will.",
        "",
        "| anchor | runs | successes: mean [95 % interval] | range | published "
        "| alignment: mean, range | published | test |",
        "| --- | ---: | --- | --- | --- | --- | ---: | --- |",
        *(_row(comparison) for comparison in comparisons),
        "",
        "Published: the table's one run; then, where it was repeated, a figure per training seed.",
        "The interval is a bootstrap over training seeds (four or more). The test is an exact",
        "permutation test of the difference of means where the published runs were repeated, those",
        "repetitions against ours; else it says whether the one run lies within our range.",
        "",
        figure(path, FIGURE, caption, lambda: anchors_png(comparisons)),
        "",
        "## Where we agree, and where not",
        "",
        *(_statement(comparison) for comparison in comparisons),
        "",
        remarks.strip(),
        "",
    ]
    write_atomically(path, "\n".join(lines).rstrip() + "\n")


def _row(comparison: Comparison) -> str:
    anchor, runs = comparison.anchor, comparison.runs
    if not runs:
        return f"| {anchor.name} | 0 of {anchor.training_seeds} | not run yet | | | | | |"
    ours = [run.successes for run in runs]
    alignments = [run.mean_terminal_alignment for run in runs]
    interval = ""
    if comparison.interval is not None:
        interval = f" [{comparison.interval[0]:.1f}, {comparison.interval[1]:.1f}]"
    run, seeds = anchor.published_run, anchor.published_seeds
    published = "none" if run is None else str(run)
    published += f"; {', '.join(map(str, seeds))}" if seeds else ""
    published_alignment = anchor.published_alignment
    alignment = f"{sum(alignments) / len(alignments):.3f}, {min(alignments):.3f} to "
    alignment += f"{max(alignments):.3f}"
    test = "-"
    if comparison.p_value is not None:
        test = f"p = {comparison.p_value:.3f}"
    elif comparison.agrees is not None:
        test = "in range" if comparison.agrees else "out of range"
    return (
        f"| {anchor.name} | {len(runs)} of {anchor.training_seeds} "
        f"| {comparison.mean_successes:.1f}{interval} | {min(ours)} to {max(ours)} | {published} "
        f"| {alignment} | {'none' if published_alignment is None else published_alignment} "
        f"| {test} |"
    )


def _statement(comparison: Comparison) -> str:
    anchor = comparison.anchor
    if not comparison.runs:
        return f"- {anchor.name}: not run yet."
    if comparison.agrees is None:
        few = "one run of each says nothing about agreement"
        told = "nothing published to compare with" if anchor.published_run is None else few
        return f"- {anchor.name}: {told}."
    if comparison.p_value is not None:
        verb = "not told apart from" if comparison.agrees else "**disagrees** with"
        repeated = len(anchor.published_seeds)
        test = f"the {repeated} published seeds (p = {comparison.p_value:.3f})"
        return f"- {anchor.name}: {verb} {test}."
    where = "lies within" if comparison.agrees else "lies **outside**"
    return f"- {anchor.name}: the published run {where} our range."


@drawn
def anchors_png(comparisons: Sequence[Comparison]) -> "Figure":
    """Draw our successes and the published ones, a row per anchor."""
    from matplotlib.figure import Figure  # takes long to import

    drawing = Figure(figsize=(8.5, 0.75 * len(comparisons) + 1.2), layout="constrained")
    axes = drawing.subplots()
    for row, comparison in enumerate(comparisons):
        ours = [run.successes for run in comparison.runs]
        anchor = comparison.anchor
        theirs = [k for k in (anchor.published_run, *anchor.published_seeds) if k is not None]
        axes.plot(ours, [row - 0.12] * len(ours), "o", color=COLOURS[0], alpha=0.6, ls="none")
        axes.plot(theirs, [row + 0.12] * len(theirs), "D", color=COLOURS[1], alpha=0.6, ls="none")
        if comparison.interval is not None:
            axes.plot(comparison.interval, [row - 0.3] * 2, color=COLOURS[0], lw=2)
    axes.plot([], [], "o", color=COLOURS[0], label="here, one per training seed")
    axes.plot([], [], color=COLOURS[0], lw=2, label="95 % interval of the mean")
    axes.plot([], [], "D", color=COLOURS[1], label="published")
    axes.set_yticks(range(len(comparisons)), [c.anchor.name for c in comparisons])
    axes.invert_yaxis()
    axes.set_xlim(-1, EVAL_SEEDS + 1)
    axes.set_xlabel(f"successes of {EVAL_SEEDS} seeds")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    return drawing
