"""The diagnosis page: segments beside the published ones, the fall; words in diagnosis.md.j2."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathb_jax.judging.rates import Count
from pathb_jax.ladder.diagnosis import PUBLISHED_ENDS, segment_ends, sets_of
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.schema import Segment
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.diagnosis_figure import draw_diagnosis
from pathb_jax.report.markdown import Markdown, figure, rendered, table_lines
from pathb_jax.report.remarks import kept_remarks
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.diagnosis_record import DiagnosisRecord, SegmentRecord

if TYPE_CHECKING:
    from pathb_jax.studies.battery import PolicyFigures

HEADING = "# Diagnosis of the default hyper-parameters"

FIGURE = "Success and alignment of the default hyper-parameters along the run"

HEADINGS = (
    "segment",
    "env steps",
    "success",
    "95 % interval",
    "alignment",
    "steps",
    "entropy",
    "log_std",
    "reward",
    "value_loss",
)


def cells(segment: SegmentRecord, number: int) -> list[str]:
    """Return a segment's row of the table."""
    state = segment.state
    return [
        f"{number}",
        f"{state.env_steps:,}",
        f"{state.success[0]}/{state.success[1]}",
        interval(state.success),
        f"{state.mean_terminal_alignment:.3f}",
        f"{state.mean_steps:.1f}",
        f"{segment.entropy:.3f}",
        f"{segment.log_std:.3f}",
        f"{segment.mean_reward:.3f}",
        f"{segment.value_loss_max:.0f}",
    ]


def published_cells(segment: Segment) -> list[str]:
    """Return the row of a published segment; what was not published is -."""
    return [
        f"{segment.segment} (published)",
        f"{segment.env_steps:,}",
        f"{segment.success_rate:.3f}",
        "-",
        f"{segment.mean_terminal_alignment:.3f}",
        f"{segment.mean_steps:.1f}",
        f"{segment.entropy:.3f}",
        f"{segment.log_std:.3f}",
        "-",
        "-",
    ]


def segment_table(
    diagnosis: DiagnosisRecord, published: Sequence[Segment] = ()
) -> Iterator[Markdown]:
    """Yield the lines of the segment table, the published segments below the run's."""
    rows = [cells(segment, number) for number, segment in enumerate(diagnosis.segments, start=1)]
    yield from table_lines(HEADINGS, [*rows, *map(published_cells, published)])


def interval(count: Count) -> str:
    """Return the exact 95 % interval of a success rate."""
    low, high = clopper_pearson(*count)
    return f"[{low:.3f}, {high:.3f}]"


def rate(count: Count) -> str:
    """Return successes, rate and exact interval."""
    return f"{count[0]}/{count[1]} = {count[0] / count[1]:.3f} {interval(count)}"


def published_segments(plan: LadderPlan) -> Sequence[Segment]:
    """Return the protocol's published segments if they are of the tier that is run, else none."""
    path_a = plan.protocol.path_a
    if path_a is None or plan.protocol.tier_of(path_a) != plan.run.tier:
        return ()
    return path_a.segments


def statements(diagnosis: DiagnosisRecord) -> Iterator[str]:
    """Yield what a run did, a line each: divergence, best state, fall."""
    if diagnosis.diverged:
        yield f"diverged: {diagnosis.diverged}"
    fall = diagnosis.fall
    if fall is None:
        return
    best, end = fall.best, fall.end
    where = f"kept as {fall.best_checkpoint}" if fall.best_checkpoint else "not kept"
    yield (
        f"best state after update {best.update} ({best.env_steps:,} steps): {rate(best.success)} "
        f"where it was chosen, {rate(best.reported)} on the other set; {where}"
    )
    if best == end:
        yield "the best state is the end: nothing unwound"
        return
    low, high = fall.interval
    yield (
        f"from there to the end: {rate(end.success)} where the best was chosen, "
        f"{rate(end.reported)} on the other set, a difference of {fall.difference:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]"
    )
    said = "unwinding: more than chance" if fall.unwound else "unwinding cannot be told from chance"
    yield f"{said} (p = {fall.p_value:.3f})"


def steering(figures: "PolicyFigures | None") -> Iterator[str]:
    """Yield what the best state steers by, by the intervention battery, if it was played."""
    if figures is None:
        return
    basin = figures.of("basin-position").preference.mean
    sensor = figures.of("signature-sensor").action_response.mean
    yield (
        f"the best state is {figures.label} by the intervention battery ({figures.seeds} seeds): "
        f"basin preference {basin:.3f}, sensor response "
        f"{'none' if sensor is None else f'{sensor:.3f}'}"
    )


def figure_name(page: Path) -> str:
    """Return where a page's figure lies, relative to its folder."""
    return f"figures/{page.stem.lower()}.png"


def write_diagnosis_page(
    page: Path,
    diagnoses: Sequence[DiagnosisRecord],
    steered: "Mapping[str, PolicyFigures]",
    plan: LadderPlan,
    *,
    in_segments: bool,
) -> None:
    """Write the page and its figure, each whole or not at all; keep people's remarks on it.

    Args:
        page: the Markdown file.
        diagnoses: the protocol's run first, then its batch's.
        steered: label -> the battery of the best state.
        plan: what was run.
        in_segments: whether each is four runs.

    Raises:
        InputError: there is a page whose remarks cannot be kept.
        OSError: it cannot be written.
    """
    choosing, telling = sets_of(plan.protocol)
    published = published_segments(plan)
    remarks = kept_remarks(page)
    shown = figure(page, figure_name(page), FIGURE, lambda: draw_diagnosis(diagnoses, published))
    text = rendered(
        "diagnosis.md.j2",
        {
            "segment_table": segment_table,
            "statements": statements,
            "steering": lambda diagnosis: steering(steered.get(diagnosis.label)),
        },
        heading=Markdown(HEADING),
        protocol=plan.protocol,
        tier=plan.run.tier,
        updates=plan.run.updates,
        batch_size=plan.run.batch_envs * plan.run.rollout_length,
        published_updates=PUBLISHED_ENDS[-1],
        ends=", ".join(map(str, segment_ends(plan.run.updates))),
        in_segments=in_segments,
        choosing=choosing,
        telling=telling,
        diagnoses=diagnoses,
        published=published,
        figure=shown,
        remarks=remarks,
    )
    write_atomically(page, text)
