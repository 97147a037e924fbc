"""The anchors page: our figures beside the published ones; its words are in anchors.md.j2."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathb_jax.report.markdown import Markdown, figure, link, rendered
from pathb_jax.report.remarks import kept_remarks, relative
from pathb_jax.report.style import COLOURS, drawn
from pathb_jax.store.atomic import write_atomically
from pathb_jax.studies.anchors import EVAL_SEED_START, EVAL_SEEDS, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING = "# Anchor figures"
FIGURE = "figures/anchors.png"


def write_anchors_page(page: Path, comparisons: Sequence[Comparison], table: Path) -> None:
    """Write the page and its figure, each whole or not at all; keep people's remarks on it.

    Args:
        page: the Markdown file; the figure goes into `figures/` beside it.
        comparisons: one per anchor, in the order of the page.
        table: the file that holds every run.

    Raises:
        InputError: there is a page whose remarks cannot be kept.
        OSError: something cannot be written.
    """
    caption = "Successes per training seed, ours and published"
    text = rendered(
        "anchors.md.j2",
        {
            "or_none": lambda value: "none" if value is None else value,
            "agreement": lambda comparison: _stressed(agreement(comparison)),
        },
        heading=Markdown(HEADING),
        eval_seeds=EVAL_SEEDS,
        seed_start=EVAL_SEED_START,
        table=link(table.name, relative(table, page)),
        comparisons=comparisons,
        remarks=kept_remarks(page),
        figure=figure(page, FIGURE, caption, lambda: draw_anchors(comparisons)),
    )
    write_atomically(page, text)


def agreement(comparison: Comparison) -> str:
    """Say whether ours agree with what was published."""
    agrees, published = comparison.agrees, comparison.anchor.published_run
    if not comparison.runs:
        return "not run yet"
    if agrees is None:
        one = "one run of each says nothing about agreement"
        return "nothing published to compare with" if published is None else one
    if comparison.p_value is None:
        return f"the published run lies {'within' if agrees else 'outside'} our range"
    seeds = f"the {len(comparison.anchor.published_seeds)} published seeds"
    verdict = "not told apart from" if agrees else "disagrees with"
    return f"{verdict} {seeds} (p = {comparison.p_value:.3f})"


def _stressed(words: str) -> Markdown:
    """Make what disagrees bold."""
    for word in ("outside", "disagrees"):
        words = words.replace(word, f"**{word}**")
    return Markdown(words)


@drawn
def draw_anchors(comparisons: Sequence[Comparison]) -> "Figure":
    """Draw our successes and the published ones, a row per anchor."""
    from matplotlib.figure import Figure  # takes long to import

    drawing = Figure(figsize=(8.5, 0.75 * len(comparisons) + 1.2), layout="constrained")
    axes = drawing.subplots()
    for row, comparison in enumerate(comparisons):
        ours = [run.successes for run in comparison.runs]
        theirs = comparison.anchor.published
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
