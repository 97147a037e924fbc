"""The page: a ladder's record and run folders as one HTML file that needs no network.

It says what the note says first (verdict, what was fixed, receipts), from the same functions, and
lets curves, episodes and runs be looked through.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pathb_jax.evaluation.channels import CHANNELS, EDIT_STEP
from pathb_jax.evaluation.labels import THRESHOLDS
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.report import note_words
from pathb_jax.report.figures import PANELS
from pathb_jax.report.html import check_can_draw, write_html
from pathb_jax.report.note import overlap, protocol_of
from pathb_jax.report.note_files import NOTE_NAME
from pathb_jax.report.page_data import PageRun, along, curves, episodes, field_shapes, read_runs
from pathb_jax.report.page_figures import (
    curve_specs,
    curve_text,
    episodes_spec,
    episodes_text,
)
from pathb_jax.report.page_files import MARKER, PAGE_NAME
from pathb_jax.report.receipts import receipt_rows
from pathb_jax.report.stage_words import looks_at, passes_when
from pathb_jax.report.verdict import STANDING, next_step, verdict
from pathb_jax.store.run_records import BatchRecord, CandidateRecord, RunRecord, SeedRecord
from pathb_jax.text import visible


def write_page(record_path: Path) -> Path:
    """Write the page beside a record, whole or not at all.

    Args:
        record_path: the ladder's `ladder.json`; run folders are found relative to it.

    Returns:
        The path of the page.

    Raises:
        InputError: the record is missing, broken, or contradicts itself; or what draws the charts
            is missing or fails.
        OSError: it cannot be written.
    """
    check_can_draw(PAGE_NAME)
    record, folder = read_ladder(record_path), record_path.parent
    page = record_path.with_name(PAGE_NAME)
    note = page.with_name(NOTE_NAME)
    plan, warning = protocol_of(record)
    runs = read_runs(record, folder)
    rule = plan.stages.training_dynamics if plan else None
    logarithmic = all(
        (run.evidence.history["value_loss"] > 0).all() for run in runs if run.evidence.history
    )
    data: dict[str, Any] = {
        "runs": [
            {"name": visible(run.name), "group": visible(run.group), "seed": run.seed}
            | {"first": run.first, "colour": run.colour, "kind": run.kind}
            for run in runs
        ],
        "curves": curves(runs, rule.window if rule else 0),
        "along": along(runs),
        "episodes": episodes(runs, folder),
        "metrics": list(PANELS),
        "field": field_shapes(),
        "specs": {**curve_specs(plan, logarithmic), "episodes": episodes_spec()},
    }
    texts = _alternative_texts(runs, plan, data)
    for name, spec in data["specs"].items():
        spec["description"] = texts[name]
    title = record.protocol.name
    write_html(
        page,
        "page.html.j2",
        marker=MARKER,
        title=f"{title}: {record.verdict}",
        name=f"Ladder {title}",
        data=data,
        script="page.js",
        filters={
            "mode": note_words.mode,
            "number": note_words.number,
            "outcome": note_words.outcome,
            "passes_when": passes_when,
            "words": note_words.words,
        },
        record=record,
        plan=plan,
        warning=warning,
        verdict=verdict(record, plan),
        standing=STANDING[record.standing],
        next_step=next_step(record, plan, "."),
        overlap=overlap(record, plan),
        looks_at=lambda stage: looks_at(stage, plan) if plan else "",
        note=note.name if note.exists() else "",
        candidates=[_candidate(c, runs, plan) for c in record.candidates],
        rows=[_row(run) for run in runs],
        set_starts=list(dict.fromkeys(start for run in runs for start in run.run.summaries)),
        groups=_groups(runs),
        seeds=sorted({run.seed for run in runs if run.seed is not None}),
        has={
            "along": bool(data["along"]),
            "curves": bool(data["curves"]["whole"]),
            "episodes": bool(data["episodes"]["ends"]),
            "paths": bool(data["episodes"]["paths"]),
        },
        played=data["episodes"]["played"],
        strays=data["episodes"]["strays"],
        panels=PANELS,
        own_env=plan.run.env if plan else None,
        channels=CHANNELS,
        edit_step=EDIT_STEP,
        lured_from=THRESHOLDS.old_basin,
        texts=texts,
        window=rule.window if rule else 0,
        shown=data["episodes"]["shown"],
        set_seeds=data["episodes"]["seeds"],
    )
    return page


def _candidate(
    candidate: CandidateRecord, runs: Sequence[PageRun], plan: Protocol | None
) -> dict[str, Any]:
    """Return a candidate's step: its runs with their stages and receipts."""
    of_plan = [c for c in plan.candidates if c.tag == candidate.tag] if plan else []
    of_candidate = [run for run in runs if run.group == candidate.tag]
    own = next((run.seed for run in of_candidate if run.first), None) or 0
    voters = range(own, own + (plan.voting.training_seeds if plan else 1))
    shown = []
    for run in of_candidate:
        judged = run.run
        if isinstance(judged, BatchRecord):
            continue
        sure = None
        if plan and isinstance(judged, CandidateRecord | SeedRecord):
            sure = run.evidence.sure(judged, plan)
        votes = run.first or run.seed in voters
        shown.append(
            {
                "name": run.name,
                "votes": votes,
                "open": votes and len(voters) < 2,
                "stages": judged.stages,
                "rows": receipt_rows(judged, sure),
                "mode": note_words.mode(judged),
                "run": judged,
            }
        )
    return {
        "record": candidate,
        "colour": next((run.colour for run in runs if run.group == candidate.tag), ""),
        "change": note_words.change(candidate, plan),
        "why": of_plan[0].why if of_plan else "",
        "runs": shown,
        "href": "" if candidate.status == "not_run" else _href(candidate),
    }


def _href(run: RunRecord) -> str:
    return quote(f"{run.run_dir}/", errors="surrogateescape")


def _groups(runs: Sequence[PageRun]) -> list[PageRun]:
    """Return the first run of every group that there is anything to draw of."""
    drawn = {run.group for run in runs if run.evidence.history}
    return [run for run in runs if run.first and run.group in drawn]


def _row(run: PageRun) -> dict[str, Any]:
    """Return a run's row of the table: cells with what they are sorted by."""
    record, history = run.run, run.evidence.history
    stages = [] if isinstance(record, BatchRecord) else record.stages
    ran = record.env_steps > 0
    last = {
        name: float(history[name][-1]) if name in history and len(history[name]) else None
        for name in ("entropy", "log_std")
    }
    return {
        "name": run.name,
        "colour": run.colour,
        "kind": run.kind,
        "status": note_words.words(record.status),
        "stages": stages,
        "passed": sum(stage.passed is True for stage in stages),
        "sets": record.summaries,
        "measured": next((s.measured for s in record.summaries.values()), None),
        **last,
        "mode": "not judged" if record.failure_mode is None else note_words.mode(record),
        "env_steps": record.env_steps if ran else None,
        "minutes": record.wall_seconds / 60 if ran else None,
        "href": "" if record.status == "not_run" else _href(record),
    }


def _alternative_texts(
    runs: Sequence[PageRun], plan: Protocol | None, data: dict[str, Any]
) -> dict[str, str]:
    """Return what each chart shows, in words: of every group's first run."""
    firsts = [run for run in runs if run.first]
    rule = plan.stages.training_dynamics if plan else None
    limits = {"entropy": rule.entropy_below, "value_loss": rule.value_loss_at_most} if rule else {}
    texts = {}
    for metric, label in PANELS.items():
        ends = {
            visible(run.name): float(run.evidence.history[metric][-1])
            for run in firsts
            if run.evidence.history and len(run.evidence.history[metric])
        }
        texts[metric] = curve_text(label, ends, limits.get(metric))
    ends = {
        visible(run.name): run.evidence.along.counts[-1][0] / run.evidence.along.counts[-1][1]
        for run in firsts
        if run.evidence.along.counts
    }
    floor = plan.stages.success_floor.threshold if plan else None
    texts["success"] = curve_text("success rate at the in-run evaluations", ends, floor)
    rates = []
    for place, sets in [*data["episodes"]["ends"].items()][:1]:
        for start, of_set in sets.items():
            outcome = of_set["outcome"]
            name = f"from {start} of {visible(runs[int(place)].name)}"
            rates.append((name, outcome.count("s"), len(outcome)))
    texts["episodes"] = episodes_text(rates)
    return texts
