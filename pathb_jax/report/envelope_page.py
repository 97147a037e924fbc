"""The envelope page: figures against lambda, breach, cliff or trough; words in envelope.md.j2."""

import math
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from pathb_jax.report.envelope_figure import draw_envelope
from pathb_jax.report.markdown import Markdown, code, figure, link, rendered
from pathb_jax.report.remarks import kept_remarks, relative
from pathb_jax.store.atomic import write_atomically
from pathb_jax.studies.envelope import EVAL_SEED_START, Envelope, variant
from pathb_jax.studies.envelope_published import beside
from pathb_jax.studies.envelope_statistics import (
    ALIGNMENT_FLOOR,
    LURED,
    PREFERENCE_LIMIT,
    RESAMPLES,
    RULE,
    Mean,
    Point,
    lowest_is_lured,
    lured,
    side,
)

HEADING = "# Envelope"

HEADINGS = (
    "lambda",
    "runs",
    "success rate",
    "alignment",
    "mean steps",
    "distance to false basin",
    "basin preference",
    "lured",
)

LURED_WORDS = {True: "yes", False: "no", None: "cannot be told"}


def statements(envelope: Envelope) -> Iterator[str]:
    """Yield what the study says, a line each: lost lambdas, alignment, breach, cliff or trough."""
    gone = [sample.mixed_lambda for sample in envelope.samples if not len(sample.success)]
    if gone:
        yield f"every run diverged at lambda {_named(gone)}: no figures"
    sides = {p.mixed_lambda: side(p.alignment, ALIGNMENT_FLOOR) for p in envelope.points}
    low, open_at = ([at for at, below in sides.items() if below is is_] for is_ in (False, None))
    yield (
        f"alignment below {ALIGNMENT_FLOOR:.2f}, for whatever reason: "
        + (f"at lambda {_named(low)}" if low else "nowhere that can be told")
        + (f"; cannot be told at {_named(open_at)}" if open_at else "")
    )
    if envelope.points:
        yield f"breach: {_breach(envelope)}"
    shape = envelope.shape
    verdict: str = shape.verdict
    if shape.at is not None:
        places = "(between lambda {:g} and {:g})"
        if "trough" in verdict:
            places = "(down at lambda {:g}, back at {:g})"
        verdict += " " + places.format(*shape.at)
    yield f"shape: {verdict}" + (f": {shape.why}" if shape.why else "")


def _named(lambdas: Iterable[float]) -> str:
    return ", ".join(f"{at:g}" for at in lambdas)


def _breach(envelope: Envelope) -> str:
    """Return where the mean preference crosses its limit, and how sure that is."""
    lowest, at = envelope.points[0].mixed_lambda, envelope.breach.at
    words = {math.inf: "nowhere", -math.inf: f"below {lowest:g}"}
    where = words.get(at, f"from lambda {at:.4f}")
    if at == -math.inf:
        where = f"cannot be told where, as {lowest_is_lured(lowest)}"
    if envelope.breach.interval is None:
        return f"cannot be told, as a lambda has one training seed (by the means alone: {where})"
    low, high = (words.get(end, f"{end:.4f}") for end in envelope.breach.interval)
    sure = f"95 % interval {low} to {high}" if low != high else f"95 % interval: {low}"
    shares = f"nowhere in {envelope.breach.nowhere:.1%} of resamples"
    if envelope.breach.below:
        shares += f", {words[-math.inf]} in {envelope.breach.below:.1%}"
    return f"{where}, by the means ({sure}; {shares})"


def cells(point: Point) -> list[str]:
    """Return a lambda's row of the table."""
    return [
        f"{point.mixed_lambda:g}",
        f"{point.runs}" + (f" ({point.diverged} diverged)" if point.diverged else ""),
        _mean(point.success, 3),
        _mean(point.alignment, 3),
        _mean(point.steps, 1),
        _mean(point.basin_distance, 2),
        _mean(point.preference, 2),
        LURED_WORDS[lured(point)],
    ]


def figure_name(page: Path) -> str:
    """Return the path of a page's figure from the page's folder."""
    return f"figures/{page.stem.lower()}.png"


def write_envelope_page(page: Path, envelope: Envelope, table: Path) -> None:
    """Write the page and its figure, each whole or not at all; keep people's remarks on it.

    Args:
        page: the Markdown file; the figure goes into `figures/` beside it, named after it.
        envelope: what the finished runs say.
        table: the file that holds every run.

    Raises:
        InputError: there is a page whose remarks cannot be kept.
        OSError: something cannot be written.
    """
    caption = "Success, alignment, steps, distance to the false basin against lambda"
    text = rendered(
        "envelope.md.j2",
        {
            "cells": cells,
            "code": code,
            "figure": lambda value: Markdown("-" if value is None else f"{value:.3f}"),
            "paragraph": lambda text: Markdown(textwrap.fill(text, 99)),
            "row": lambda cells: Markdown(f"| {' | '.join(cells)} |"),
            "same": _same,
        },
        heading=Markdown(HEADING),
        envelope=envelope,
        seed_start=EVAL_SEED_START,
        variants=[variant(mixed_lambda) for mixed_lambda in (0.0, 0.5, 1.0)],
        table=link(table.name, relative(table, page)),
        headings=HEADINGS,
        lured=LURED,
        rule=RULE,
        statements=[Markdown(line) for line in statements(envelope)],
        resamples=RESAMPLES,
        published=list(beside(envelope.points)),
        alignment_floor=ALIGNMENT_FLOOR,
        preference_limit=PREFERENCE_LIMIT,
        remarks=kept_remarks(page),
        figure=figure(page, figure_name(page), caption, lambda: draw_envelope(envelope)),
    )
    write_atomically(page, text)


def _mean(mean: Mean, digits: int) -> str:
    text = f"{mean.mean:.{digits}f}"
    if mean.interval is None:
        return text
    return f"{text} [{mean.interval[0]:.{digits}f}, {mean.interval[1]:.{digits}f}]"


def _same(same: bool | None, published: float | None) -> Markdown:
    word = {None: "?", True: "yes", False: "**no**"}[same]
    return Markdown("-" if published is None else word)
