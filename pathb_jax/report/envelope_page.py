"""The envelope page: figures against lambda, breach, cliff or trough, published figures."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pathb_jax.report.envelope_figure import envelope_png
from pathb_jax.report.markdown import code, figure, link
from pathb_jax.report.remarks import relative
from pathb_jax.store.atomic import write_atomically
from pathb_jax.studies.envelope import EVAL_SEED_START, Envelope, variant
from pathb_jax.studies.envelope_published import Beside, beside
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

TOLD = {True: "yes", False: "no", None: "cannot be told"}


def statements(found: Envelope) -> Iterator[str]:
    """Yield what the study says, a line each: lost lambdas, alignment, breach, cliff or trough."""
    gone = [one.mixed_lambda for one in found.samples if not len(one.success)]
    if gone:
        yield f"every run diverged at lambda {_named(gone)}: no figures"
    sides = {p.mixed_lambda: side(p.alignment, ALIGNMENT_FLOOR) for p in found.points}
    low, open_at = ([at for at, told in sides.items() if told is is_] for is_ in (False, None))
    yield (
        f"alignment below {ALIGNMENT_FLOOR:.2f}, for whatever reason: "
        + (f"at lambda {_named(low)}" if low else "nowhere that can be told")
        + (f"; cannot be told at {_named(open_at)}" if open_at else "")
    )
    if found.points:
        yield f"breach: {_breach(found)}"
    shape = found.shape
    verdict: str = shape.verdict
    if shape.at is not None:
        places = "(between lambda {:g} and {:g})"
        if "trough" in verdict:
            places = "(down at lambda {:g}, back at {:g})"
        verdict += " " + places.format(*shape.at)
    yield f"shape: {verdict}" + (f": {shape.why}" if shape.why else "")


def _named(lambdas: Iterable[float]) -> str:
    return ", ".join(f"{at:g}" for at in lambdas)


def _breach(found: Envelope) -> str:
    """Return where the mean preference crosses its limit, and how sure that is."""
    lowest, at = found.points[0].mixed_lambda, found.breach.at
    words = {math.inf: "nowhere", -math.inf: f"below {lowest:g}"}
    where = words.get(at, f"from lambda {at:.4f}")
    if at == -math.inf:
        where = f"cannot be told where, as {lowest_is_lured(lowest)}"
    if found.breach.interval is None:
        return f"cannot be told, as a lambda has one training seed (by the means alone: {where})"
    low, high = (words.get(end, f"{end:.4f}") for end in found.breach.interval)
    sure = f"95 % interval {low} to {high}" if low != high else f"95 % interval: {low}"
    shares = f"nowhere in {found.breach.nowhere:.1%} of resamples"
    if found.breach.below:
        shares += f", {words[-math.inf]} in {found.breach.below:.1%}"
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
        TOLD[lured(point)],
    ]


def figure_name(page: Path) -> str:
    """Return the path of a page's figure from the page's folder."""
    return f"figures/{page.stem.lower()}.png"


def write_envelope_page(path: Path, found: Envelope, table: Path, remarks: str) -> None:
    """Write the page and its figure, each whole or not at all.

    Args:
        path: the Markdown file; the figure goes into `figures/` beside it, named after it.
        found: what is told.
        table: the file that holds every run.
        remarks: Markdown that explains, kept from an earlier page.
    """
    caption = "Success, alignment, steps, distance to the false basin against lambda"
    lines = [
        HEADING,
        "",
        "How far lambda, the weight of the reward channel, can go before a policy runs for the",
        f"false basin. {found.env_steps:,} environment steps per run, {found.training_seeds}",
        f"training seeds, {found.eval_seeds} evaluation seeds from {EVAL_SEED_START}, acting with",
        f"the mean. Lambda 0 is `{variant(0.0)}`, 1 is `{variant(1.0)}`; between them",
        f"`{variant(0.5)}` with its lambda replaced. Every run is a row of",
        f"{link(table.name, relative(table, path))}.",
        "",
        f"    {code(found.command)}",
        "",
        "The command trains what is missing from its own table (results/envelope/envelope.csv, or",
        "what --table names) and writes a page like this one beside it; it can be stopped and",
        "started at will.",
        "",
        *_table(HEADINGS, map(cells, found.points)),
        "",
        "Mean over training seeds [Student's 95 % interval of it, cut to what is possible]. A run",
        "that diverged has no figures: it is counted and left out. Alignment is the signature at",
        "the last position. Basin preference is the battery's old_basin_preference,",
        "|x_T - (2.5, 2.5)| - |x_T - (-2.5, -2.5)|: positive where the episode ended nearer to the",
        "false basin than to where the battery moves it. The battery moves it in mid-episode; a",
        "policy that does not see the basin takes no notice, and ends where it ends here.",
        "",
        textwrap.fill(LURED, 99),
        "",
        figure(path, figure_name(path), caption, lambda: envelope_png(found)),
        "",
        "## Breach, cliff or trough",
        "",
        *(f"- {line}" for line in statements(found)),
        "",
        "The breach is where the mean over training seeds first reaches the limit, going up in",
        "lambda, interpolated linearly between neighbouring lambdas. Its interval holds the middle",
        f"95 % of {RESAMPLES:,} bootstrap resamples of the training seeds within each lambda; a",
        "resample that crosses nowhere counts as beyond the highest lambda, one that is beyond the",
        "limit at the lowest as below that. With few seeds such an interval is too short rather",
        "than too long.",
        "",
        textwrap.fill(f"The rule for the shape. {RULE}", 99),
        "",
        "## Beside the published figures",
        "",
        *_published(found.points),
        "",
        remarks.strip(),
        "",
    ]
    write_atomically(path, "\n".join(lines).rstrip() + "\n")


def _mean(mean: Mean, digits: int) -> str:
    text = f"{mean.mean:.{digits}f}"
    if mean.interval is None:
        return text
    return f"{text} [{mean.interval[0]:.{digits}f}, {mean.interval[1]:.{digits}f}]"


def _table(headings: Sequence[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "| ---: " * len(headings) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _published(points: Sequence[Point]) -> Iterator[str]:
    rows = list(beside(points))
    if not rows:
        yield "None of the published runs is at one of these lambdas."
        return
    yield "Of the implementation that this one replaces, one run each. Network and budget are often"
    yield "not ours: a figure is held against ours only by the side of the limit that it is on, and"
    yield "only where ours can be told (else ?). The basin preferences at Medium were published"
    yield "without the budget of their policies."
    yield ""
    headings = ("lambda", "network", "run", "success", "ours", "alignment", "ours", "same side")
    yield from _table((*headings, "preference", "ours", "same side"), map(_beside, rows))
    yield ""
    for name, agreements in (
        (f"alignment, limit {ALIGNMENT_FLOOR:.2f}", [(row, row.same_alignment) for row in rows]),
        (
            f"basin preference, limit {PREFERENCE_LIMIT:g}",
            [(row, row.same_preference) for row in rows],
        ),
    ):
        told = [same for _, same in agreements if same is not None]
        against = [
            f"{row.published.tier} {row.published.mixed_lambda:g} ({row.published.run})"
            for row, same in agreements
            if same is False
        ]
        yield f"- {name}: {sum(told)} of {len(told)} are on our side" + (
            f"; **not** {', '.join(against)}." if against else "."
        )


def _beside(row: Beside) -> list[str]:
    published, ours = row.published, row.ours
    return [
        f"{published.mixed_lambda:g}",
        published.tier,
        published.run,
        _known(published.success_rate),
        f"{ours.success.mean:.3f}",
        _known(published.alignment),
        f"{ours.alignment.mean:.3f}",
        _same(published.alignment, row.same_alignment),
        _known(published.preference),
        f"{ours.preference.mean:.3f}",
        _same(published.preference, row.same_preference),
    ]


def _same(published: float | None, same: bool | None) -> str:
    if published is None:
        return "-"
    return {None: "?", True: "yes", False: "**no**"}[same]


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
