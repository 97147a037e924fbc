"""The envelope as a page of HTML: every measure against lambda, and every run."""

import math
from collections.abc import Iterator, Sequence

from pathb_jax.report.envelope_figure import LIMITS, PANELS
from pathb_jax.report.envelope_page import HEADINGS, cells, statements
from pathb_jax.report.page_figures import CONFIG, INK, MUTED, Spec
from pathb_jax.report.study_html import Cell, Chart, StudyPage, Table, word
from pathb_jax.studies.envelope import EVAL_SEED_START, Envelope
from pathb_jax.studies.envelope_statistics import LURED, RULE, Mean
from pathb_jax.studies.envelope_table import EnvelopeRun

MEAN, SEED = "var(--link)", MUTED


def envelope_study_page(envelope: Envelope, runs: Sequence[EnvelopeRun]) -> StudyPage:
    """Return what the page tells.

    Args:
        envelope: what the finished runs say.
        runs: those, one per lambda and training seed.
    """
    return StudyPage(
        name="Envelope",
        intro=[
            "How far lambda, the weight of the reward channel, can go before a policy runs for "
            f"the false basin. {envelope.env_steps:,} environment steps per run, "
            f"{envelope.training_seeds} training seeds, {envelope.eval_seeds} evaluation seeds "
            f"from {EVAL_SEED_START}, acting with the mean."
        ],
        statements=[*statements(envelope)],
        command=envelope.command,
        key=[("●", "one training seed"), ("◆", "mean, 95 % interval"), ("┄", "limit")],
        charts=[_chart(envelope, name, label) for name, label in PANELS.items()],
        tables=[
            Table(
                "Lambdas",
                "Every lambda",
                HEADINGS,
                [_point_row(cells(point)) for point in envelope.points],
                f"Mean over training seeds [Student's 95 % interval]. Lured: {LURED} "
                f"The rule for the shape: {RULE}",
            ),
            Table("Runs", "Every run", RUN_HEADINGS, [[*_run_row(run)] for run in runs]),
        ],
    )


RUN_HEADINGS = (
    "run",
    "lambda",
    "training seed",
    "successes",
    "alignment",
    "steps",
    "distance to false basin",
    "basin preference",
    "environment steps/s",
    "commit",
)


def _point_row(texts: Sequence[str]) -> list[Cell]:
    """Return a lambda's row; every cell begins with its number, the last is a word."""
    return [*(Cell(text, float(text.split()[0])) for text in texts[:-1]), word(texts[-1])]


def _run_row(run: EnvelopeRun) -> Iterator[Cell]:
    yield word(f"lambda {run.mixed_lambda:g}, seed {run.training_seed}")
    yield Cell(f"{run.mixed_lambda:g}", run.mixed_lambda)
    yield Cell(f"{run.training_seed}", run.training_seed)
    successes = None if run.diverged else run.successes
    yield Cell("diverged" if successes is None else f"{successes} of {run.seeds}", successes)
    for value in (
        run.mean_terminal_alignment,
        run.mean_steps,
        run.mean_basin_distance,
        run.basin_preference,
    ):
        yield Cell("-" if value is None else f"{value:.3f}", value)
    yield Cell(f"{run.env_steps_per_second:,.0f}", run.env_steps_per_second)
    yield word(run.commit[:12])


def _chart(envelope: Envelope, name: str, label: str) -> Chart:
    """Draw one measure; lambdas are spaced evenly, as most lie close to 1."""
    order = [f"{sample.mixed_lambda:g}" for sample in envelope.samples]
    at: Spec = {"field": "lambda", "type": "ordinal", "sort": order}
    at["title"] = "lambda (not to scale)"
    at["axis"] = {"labelAngle": 0, "grid": True}
    scale: Spec = {"domain": [0, 1]} if name in ("success", "alignment") else {"zero": False}
    height: Spec = {"type": "quantitative", "title": label, "scale": scale}
    seeds = [
        {"lambda": f"{sample.mixed_lambda:g}", "value": float(value), "run": place}
        for sample in envelope.samples
        for place, value in enumerate(getattr(sample, name))
    ]
    means = [
        _mean_row(f"{p.mixed_lambda:g}", getattr(p, name), p.runs - p.diverged)
        for p in envelope.points
    ]
    value = {"field": "value", "title": label, "format": ".3f"}
    told = [{"field": "lambda"}, value]
    layers: list[Spec] = [
        {
            "data": {"values": seeds},
            "mark": {"type": "point", "filled": True, "color": SEED, "size": 28, "opacity": 0.7},
            "encoding": {"x": at, "y": {"field": "value"} | height, "tooltip": told},
        },
        {
            "data": {"values": means},
            "mark": {"type": "line", "color": MEAN, "strokeWidth": 1.5},
            "encoding": {"x": at, "y": {"field": "value"} | height},
        },
        {
            "data": {"values": means},
            "mark": {"type": "rule", "color": MEAN, "strokeWidth": 2},
            "encoding": {"x": at, "y": {"field": "low"} | height, "y2": {"field": "high"}},
        },
        {
            "data": {"values": means},
            "mark": {"type": "point", "shape": "diamond", "filled": True, "color": MEAN}
            | {"size": 80},
            "encoding": {
                "x": at,
                "y": {"field": "value"} | height,
                "tooltip": [
                    *told,
                    {"field": "interval", "title": "95 % interval"},
                    {"field": "runs", "title": "runs"},
                ],
            },
        },
    ]
    if name in LIMITS:
        layers.append(
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "color": INK, "strokeDash": [5, 4]},
                "encoding": {"y": {"datum": LIMITS[name]}},
            }
        )
    told_means = "; ".join(f"{row['lambda']}: {row['value']:.3f}" for row in means)
    return Chart(
        name,
        label,
        f"{label} against lambda, means over training seeds. {told_means}.",
        {
            "width": "container",
            "height": 240,
            "autosize": {"type": "fit", "contains": "padding"},
            "layer": layers,
            "config": CONFIG,
        },
    )


def _mean_row(at: str, mean: Mean, runs: int) -> dict[str, float | str | int]:
    low, high = mean.interval or (mean.mean, mean.mean)
    row: dict[str, float | str | int] = {"lambda": at, "value": mean.mean, "runs": runs}
    row |= {"low": low, "high": high}
    known = mean.interval is not None and math.isfinite(low)
    return row | {"interval": f"{low:.3f} to {high:.3f}" if known else "one seed has none"}
