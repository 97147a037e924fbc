"""The battery's page: labels, responses, what they mean; words in battery.md.j2."""

import functools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathb_jax.evaluation.channels import CHANNELS, EDIT_STEP, SEED_START
from pathb_jax.evaluation.labels import THRESHOLDS
from pathb_jax.report.battery_figures import EXAMPLES, MOST_DRAWN, draw_overview, draw_pairs
from pathb_jax.report.markdown import Markdown, code, escaped, figure, link, rendered, table_lines
from pathb_jax.report.remarks import kept_remarks
from pathb_jax.store.atomic import write_atomically

if TYPE_CHECKING:
    from pathb_jax.evaluation.battery import Battery
    from pathb_jax.studies.battery import Mean, PolicyFigures, Side
    from pathb_jax.studies.battery_published import Published

HEADING = "# Intervention battery"
PAGE = "BATTERY.md"

LABEL_HEADINGS = (
    "policy",
    "success",
    "alignment",
    "basin preference",
    "sensor response",
    "label",
)
RESPONSE_HEADINGS = ("policy", "figure", *CHANNELS)


def figure_name(channel: str | None) -> str:
    """Return the path of a figure from the page's folder; None stands for the overview."""
    return f"figures/battery_{(channel or 'overview').replace('-', '_')}.png"


FIGURES = [figure_name(channel) for channel in (None, *CHANNELS)]


def label_cells(policy: "PolicyFigures", *, intervals: bool = True) -> list[str]:
    """Return a policy's row under LABEL_HEADINGS."""
    return [
        policy.name,
        success(policy.unedited) if intervals else f"{policy.unedited.success_rate:.3f}",
        mean(policy.unedited.alignment, 3, intervals=intervals),
        mean(policy.of("basin-position").preference, 3, intervals=intervals),
        mean(policy.of("signature-sensor").action_response, 3, intervals=intervals),
        policy.label,
    ]


def response_cells(policy: "PolicyFigures") -> Iterator[list[str]]:
    """Yield a policy's rows under RESPONSE_HEADINGS."""
    rows = {
        "action response": [mean(each.action_response, 3) for each in policy.channels],
        "divergence": [mean(each.divergence, 2) for each in policy.channels],
        "basin preference": [mean(each.preference, 2) for each in policy.channels],
        "success": [success(each.edited) for each in policy.channels],
        "alignment": [mean(each.edited.alignment, 3) for each in policy.channels],
        "pairs left out": [f"{each.left_out}" for each in policy.channels],
    }
    for name, cells in rows.items():
        yield [policy.name, name, *cells]


def mean(value: "Mean", digits: int, *, intervals: bool = True) -> str:
    """Return a mean and its interval as text; an exact 0 as 0."""
    if value.mean is None:
        return "-"
    if value.mean == 0:
        return "0"
    text = f"{value.mean:.{digits}f}"
    if value.interval_95 is None or not intervals:
        return text
    low, high = value.interval_95
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def success(side: "Side") -> str:
    """Return a success rate with its interval as text."""
    low, high = side.success_interval_95
    return f"{side.success_rate:.3f} [{low:.3f}, {high:.3f}]"


def published(row: "Published", ours: Sequence["PolicyFigures"]) -> str:
    """Return a published policy's figures beside those of our policies like it, as text."""
    low, high = row.preference
    told = f"{low:.3f}" if low == high else f"{low:.2f} to {high:.2f}"
    sensor = "" if row.sensor_response is None else f", sensor response {row.sensor_response:.3f}"
    remark = f" ({row.remark})" if row.remark else ""
    means = [policy.of("basin-position").preference.mean or 0.0 for policy in ours]
    here = f"{min(means):.3f} to {max(means):.3f} in {len(ours)} policies"
    return (
        f"{row.tier}, {row.reward}: published basin preference {told}{sensor}{remark}; here "
        f"{here if len(ours) > 1 else f'{means[0]:.3f}'}"
    )


def statements(policies: Sequence["PolicyFigures"]) -> Iterator[str]:
    """Yield what has to be known beside the tables, a line each."""
    like: dict[Published, list[PolicyFigures]] = {}
    for policy in policies:
        for row in policy.published:
            like.setdefault(row, []).append(policy)
    for row, ours in like.items():
        yield published(row, ours)
    for policy in policies:
        if policy.of("signature-sensor").action_response.mean is None:
            yield f"{policy.name}: no pair reaches step {EDIT_STEP}, so that nothing can be told"


def write_battery_page(
    page: Path,
    policies: Sequence["PolicyFigures"],
    batteries: Sequence["Battery"],
    tables: Sequence[Path],
    command: str,
) -> None:
    """Write the page and its figures, each whole or not at all; keep people's remarks on it.

    Args:
        page: the Markdown file; the figures go into `figures/` beside it.
        policies: what the battery says, at least one.
        batteries: their pairs.
        tables: the files beside the page that hold all figures.
        command: what made it.

    Raises:
        InputError: there is a page whose remarks cannot be kept.
        OSError: something cannot be written.
    """
    names = [policy.name for policy in policies]
    drawn = names[:MOST_DRAWN]

    def paths(channel: str) -> Markdown:
        caption = f"Example paths, {channel} edited"
        draw = functools.partial(draw_pairs, channel, drawn, batteries)
        return figure(page, figure_name(channel), caption, draw)

    def table(headings: Sequence[str], rows: list[list[str]]) -> list[Markdown]:
        return list(table_lines(headings, [[escaped(cell) for cell in row] for row in rows]))

    text = rendered(
        "battery.md.j2",
        {"code": code, "paragraph": lambda text: Markdown(textwrap.fill(escaped(text), 99))},
        heading=Markdown(HEADING),
        command=command,
        seeds=policies[0].seeds,
        seed_start=SEED_START,
        edit_step=EDIT_STEP,
        overview=figure(page, FIGURES[0], "Policies by channels", lambda: draw_overview(policies)),
        labels=table(LABEL_HEADINGS, [label_cells(policy) for policy in policies]),
        responses=table(RESPONSE_HEADINGS, [row for p in policies for row in response_cells(p)]),
        statements=list(statements(policies)),
        references=any(policy.training is None for policy in policies),
        published=any(policy.published for policy in policies),
        limits=THRESHOLDS,
        examples=min(EXAMPLES, policies[0].seeds),
        not_drawn=names[MOST_DRAWN:],
        paths=[paths(channel) for channel in CHANNELS],
        tables=Markdown(", ".join(link(table.name, table.name) for table in tables)),
        remarks=kept_remarks(page),
    )
    write_atomically(page, text)
