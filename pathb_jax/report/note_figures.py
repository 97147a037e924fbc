"""Which figures a note has, and their files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report import figures
from pathb_jax.report.diagnosis_figure import draw_diagnosis
from pathb_jax.report.diagnosis_page import FIGURE
from pathb_jax.report.markdown import Markdown, figure
from pathb_jax.report.note_files import FIGURES
from pathb_jax.report.note_words import interval
from pathb_jax.report.published import published
from pathb_jax.report.run_evidence import Evidence
from pathb_jax.report.style import Picture
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import RunRecord


def note_figures(
    record: LadderRecord, plan: Protocol | None, evidence: Mapping[str, Evidence], note: Path
) -> dict[str, Markdown]:
    """Write the figures there is something to draw for; return name -> Markdown.

    Args:
        record: the ladder's.
        plan: its protocol, if it is known.
        evidence: what the folders show of the runs that candidates are judged by, by name.
        note: the note's path.
    """
    groups = {name: entry.tag for entry in record.candidates for name in entry.voters}
    groups |= {run.label: run.label for run in record.batch}
    if len({groups[name] for name, found in evidence.items() if found.history}) == 1:
        groups = {name: name for name in groups}  # one candidate: its seeds are told apart
    colours = figures.colours_of(dict.fromkeys(groups.values()))
    lines = {name: figures.Line(colours[group], group) for name, group in groups.items()}
    rule = plan.stages.training_dynamics if plan else None
    floor = plan.stages.success_floor.threshold if plan else None
    draw: dict[str, tuple[str, Callable[[], Picture]]] = {}
    if histories := {tag: found.history for tag, found in evidence.items() if found.history}:
        caption = "Training curves of every candidate"
        draw["dynamics"] = caption, lambda: figures.draw_curves(histories, lines, rule)
        if rule:
            caption = "The judged rows against the thresholds"
            draw["window"] = caption, lambda: figures.draw_window(histories, lines, rule)
    along = {
        tag: (found.along.updates, found.along.counts)
        for tag, found in evidence.items()
        if found.along.updates
    }
    if along and floor is not None:
        caption = "Success at every evaluation of the runs"
        draw["along"] = caption, lambda: figures.draw_along(along, lines, floor)
    runs: dict[str, RunRecord] = {**record.voters, **{run.label: run for run in record.batch}}
    sets = {
        name: {
            start: (summary.success_rate, *interval(summary))
            for start, summary in run.summaries.items()
        }
        for name, run in runs.items()
        if run.summaries
    }
    if sets:
        caption = "Success rate per run and seed set, with intervals"
        draw["success"] = caption, lambda: figures.draw_sets(sets, lines, floor)
    if plan and sets and (shift := plan.stages.seed_shift):
        threshold = plan.stages.success_floor.threshold
        rules = plan.evaluation.seeds, threshold, shift.difference_at_most
        draw["rules"] = "How often the rules are wrong", lambda: figures.draw_rules(*rules)
    diagnosis = record.baseline.diagnosis if record.baseline else None
    if diagnosis and diagnosis.evaluations:
        beside = path_a.segments if (path_a := published(record, plan)["path_a"]) else ()
        draw["diagnosis"] = FIGURE, lambda: draw_diagnosis([diagnosis], beside)
    return {name: figure(note, FIGURES[name], *what) for name, what in draw.items()}
