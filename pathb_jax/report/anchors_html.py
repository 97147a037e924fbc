"""The anchor figures as a page of HTML: our successes beside the published ones, and every run."""

from collections.abc import Iterator, Sequence

from pathb_jax.report.anchors_page import agreement
from pathb_jax.report.page_figures import CONFIG, Spec
from pathb_jax.report.study_html import Cell, Chart, StudyPage, Table, word
from pathb_jax.studies.anchors import EVAL_SEED_START, EVAL_SEEDS, AnchorRun, Comparison

OURS, THEIRS = "var(--link)", "var(--bad)"

HEADINGS = (
    "anchor",
    "runs",
    "mean successes",
    "95 % interval",
    "published",
    "mean alignment",
    "published alignment",
    "beside the published",
)
RUN_HEADINGS = (
    "run",
    "training seed",
    "successes",
    "alignment",
    "steps",
    "environment steps/s",
    "commit",
)


def anchors_study_page(comparisons: Sequence[Comparison]) -> StudyPage:
    """Return what the page tells; one comparison per anchor, in the order of the page."""
    begun = [comparison for comparison in comparisons if comparison.runs]
    return StudyPage(
        name="Anchor figures",
        intro=[
            "Rows of the investigation's table of anchor figures, trained again here with several "
            "training seeds each: same task, same algorithm, another implementation. Successes "
            f"are of {EVAL_SEEDS} seeds from {EVAL_SEED_START}."
        ],
        statements=[f"{c.anchor.name}: {agreement(c)}" for c in begun],
        command="python scripts/reproduce_anchors.py",
        key=[
            ("●", "here, one per training seed"),
            ("━", "95 % interval of the mean"),
            ("◆", "published"),
        ],
        charts=[_chart(comparisons)],
        tables=[
            Table(
                "Anchors",
                "Every anchor",
                HEADINGS,
                [[*_anchor_row(c)] for c in comparisons],
                "The interval is a bootstrap over training seeds, four or more.",
            ),
            Table(
                "Runs",
                "Every run",
                RUN_HEADINGS,
                [[*_run_row(run)] for comparison in begun for run in comparison.runs],
            ),
        ],
    )


def _anchor_row(comparison: Comparison) -> Iterator[Cell]:
    anchor, runs = comparison.anchor, comparison.runs
    yield word(anchor.name)
    yield Cell(f"{len(runs)} of {anchor.training_seeds}", len(runs))
    if runs:
        yield Cell(f"{comparison.mean_successes:.1f}", comparison.mean_successes)
    else:
        yield Cell("not run yet")
    ends = comparison.interval
    yield Cell(f"{ends[0]:.1f} to {ends[1]:.1f}", ends[0]) if ends else Cell("-")
    theirs = anchor.published
    yield Cell(", ".join(map(str, theirs)), theirs[0]) if theirs else Cell("-")
    alignment = sum(run.mean_terminal_alignment for run in runs) / len(runs) if runs else None
    for value in (alignment, anchor.published_alignment):
        yield Cell("-" if value is None else f"{value:.3f}", value)
    yield word(agreement(comparison))


def _run_row(run: AnchorRun) -> Iterator[Cell]:
    yield word(f"{run.anchor}, seed {run.training_seed}")
    yield Cell(f"{run.training_seed}", run.training_seed)
    yield Cell(f"{run.successes} of {run.seeds}", run.successes)
    yield Cell(f"{run.mean_terminal_alignment:.3f}", run.mean_terminal_alignment)
    yield Cell(f"{run.mean_steps:.1f}", run.mean_steps)
    yield Cell(f"{run.env_steps_per_second:,.0f}", run.env_steps_per_second)
    yield word(run.commit[:12])


def _chart(comparisons: Sequence[Comparison]) -> Chart:
    order = [comparison.anchor.name for comparison in comparisons]
    row: Spec = {"field": "anchor", "type": "ordinal", "sort": order, "title": None}
    row["scale"] = {"domain": order}
    row["axis"] = {"grid": True, "labelLimit": 220}
    across: Spec = {"type": "quantitative", "title": f"successes of {EVAL_SEEDS} seeds"}
    across["scale"] = {"domain": [0, EVAL_SEEDS]}
    ours = [
        {"anchor": c.anchor.name, "successes": run.successes, "seed": run.training_seed}
        | {"alignment": run.mean_terminal_alignment}
        for c in comparisons
        for run in c.runs
    ]
    theirs = [
        {"anchor": c.anchor.name, "successes": k} for c in comparisons for k in c.anchor.published
    ]
    means = [
        {"anchor": c.anchor.name, "low": c.interval[0], "high": c.interval[1]}
        for c in comparisons
        if c.interval
    ]
    told = [{"field": "anchor"}, {"field": "successes"}]
    at: Spec = {"field": "successes"} | across
    layers: list[Spec] = [
        {
            "data": {"values": means},
            "mark": {"type": "rule", "color": OURS, "strokeWidth": 2, "yOffset": 9},
            "encoding": {"y": row, "x": {"field": "low"} | across, "x2": {"field": "high"}},
        },
        {
            "data": {"values": ours},
            "mark": {"type": "point", "filled": True, "color": OURS, "opacity": 0.6, "size": 50}
            | {"yOffset": 4},
            "encoding": {
                "y": row,
                "x": at,
                "tooltip": [
                    *told,
                    {"field": "seed", "title": "training seed"},
                    {"field": "alignment", "format": ".3f"},
                ],
            },
        },
        {
            "data": {"values": theirs},
            "mark": {"type": "point", "shape": "diamond", "filled": True, "color": THEIRS}
            | {"opacity": 0.8, "size": 60, "yOffset": -5},
            "encoding": {"y": row, "x": at, "tooltip": told},
        },
    ]
    told_means = "; ".join(f"{c.anchor.name} {c.mean_successes:.1f}" for c in comparisons if c.runs)
    return Chart(
        "anchors",
        "Successes per training seed, ours and published",
        f"Successes of {EVAL_SEEDS} seeds. Our means: {told_means or 'no run yet'}.",
        {
            "width": "container",
            "height": 34 * len(order),
            "autosize": {"type": "fit", "contains": "padding"},
            "layer": layers,
            "config": CONFIG,
        },
    )
