"""The result note: a ladder's record and run folders told in Markdown, verdict first.

It reads files alone, so it can be written again at any time, by any machine, from the record. The
words are in note.md.j2; here is what they need. See docs/spec/ladder.md.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.ladder import statistics
from pathb_jax.ladder.protocol import SHIPPED_SHA256, Protocol, parse_protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.ladder.schema import PathA, ProgrammeRun, Rejection
from pathb_jax.report.figures import dynamics_png, success_png
from pathb_jax.report.markdown import Markdown, figure, link, rendered
from pathb_jax.report.note_words import change, filters, interval
from pathb_jax.store.artifacts import RunFiles, read_history
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.record_schema import (
    BatchRecord,
    CandidateRecord,
    LadderRecord,
    RunRecord,
    TrainedRecord,
)

NOTE_NAME = "PHASE7_V2_PATH_B_RESULTS.md"
"""The note's name beside the record (docs/spec/ladder.md, "Files")."""

FIGURES = {
    "dynamics": "figures/path_b_dynamics.png",
    "success": "figures/path_b_success.png",
}
"""The note's figures, beside it."""

MARKER = "written by pathb_jax: a ladder's result note"
"""Ends every note, so that it is recognised and may be written anew."""


def is_own_note(data: bytes) -> bool:
    """Recognise a note by its marker; notes of earlier versions by how they begin."""
    return f"<!-- {MARKER} -->".encode() in data or data.startswith(b"# Path B: results\n\n**")


def write_note(record_path: Path, note_path: Path | None = None) -> Path:
    """Write the note and its figures, each whole or not at all.

    Args:
        record_path: the ladder's `ladder.json`; run folders are found relative to it.
        note_path: where the note goes (None: beside the record). Its figures go into `figures/`
            beside it, and its links are relative to it.

    Returns:
        The path of the note.

    Raises:
        InputError: the record is missing, broken, or contradicts itself.
        OSError: something cannot be written.
    """
    record = read_ladder(record_path)
    note = note_path or record_path.parent / NOTE_NAME
    plan, warning = _plan(record)
    text = rendered(
        "note.md.j2",
        filters(plan, _relative(record_path.parent, note.parent)),
        **_context(record, plan),
        figures=_figures(record, plan, record_path.parent, note),
        warning=warning,
        record_link=link(record_path.name, _relative(record_path, note.parent)),
        marker=MARKER,
    )
    write_atomically(note, text)
    return note


def _plan(record: LadderRecord) -> tuple[Protocol | None, str]:
    """Return the protocol whose text the record holds, and a warning if it is not the one named."""
    stated = record.protocol
    if not stated.text:
        return None, "The record does not hold the protocol's text."
    try:
        plan = parse_protocol(stated.text.encode(), stated.file)
    except InputError as error:
        return None, f"The record's copy of the protocol cannot be read: {error}"
    if plan.sha256 != stated.sha256:
        return plan, "The record's copy of the protocol does not have the SHA-256 that it states."
    return plan, ""


def _context(record: LadderRecord, plan: Protocol | None) -> dict[str, Any]:
    """Return what the template shows beside the record itself."""
    texts: dict[str, Any] = defaultdict(lambda: None)
    runs: dict[str, Any] = defaultdict(lambda: None)
    runs |= {candidate.tag: candidate for candidate in record.candidates}
    runs |= {run.label.partition("_pathb_")[0]: run for run in record.batch}
    if plan:
        texts |= {candidate.tag: candidate for candidate in plan.candidates}
        texts |= {prediction.id: prediction for prediction in plan.predictions}
    sizes = {s.seeds for run in _voting(record) for s in run.summaries.values()}
    return {
        "record": record,
        "plan": plan,
        "title": "Path B" if _is_path_b(record) else record.protocol.name,
        "is_path_b": _is_path_b(record),
        "verdict": _verdict(record, plan),
        "standing": _STANDING[record.standing],
        "overlap": _overlap(record, plan).strip(),
        "set_sizes": sorted(sizes),
        "texts": texts,
        "runs": runs,
        **_published(record, plan),
        "misjudgements": _misjudgements(record, plan) if plan else {},
        "trained": (trained := _trained(record)),
        "early": [name for name, run in trained.items() if run and run.before_ladder],
        "undated": [
            *([] if record.started or not trained else ["the ladder"]),
            *(name for name, run in trained.items() if not (run and run.started)),
        ],
    }


def _is_path_b(record: LadderRecord) -> bool:
    return record.protocol.sha256 == SHIPPED_SHA256["path_b"]


def _published(record: LadderRecord, plan: Protocol | None) -> dict[str, Any]:
    """Return what the protocol tells beside its rules, as far as it is about this ladder's tier."""
    ladder_tier = record.plan.tier if record.plan else None
    shown: dict[str, Any] = {"programme": [], "path_a": None, "best": None, "rejection": None}
    elsewhere: dict[tuple[str, str | None], None] = {}
    for name, part in _parts(plan) if plan else ():
        tier = plan.tier_of(part) if plan else None
        if tier is None or tier != ladder_tier:
            elsewhere[name, tier] = None
        elif isinstance(part, ProgrammeRun):
            shown["programme"].append(part)
        else:
            shown[name] = part
    if path_a := shown["path_a"]:
        shown["best"] = next(s for s in path_a.segments if s.segment == path_a.best)
    return {
        **shown,
        "ladder_tier": ladder_tier,
        "said_of": plan.run.tier if plan and plan.run.tier != ladder_tier else None,
        "figures_elsewhere": [part for part in elsewhere if part[0] != "rejection"],
        "rejection_elsewhere": [tier for name, tier in elsewhere if name == "rejection"],
    }


def _parts(plan: Protocol) -> Iterator[tuple[str, PathA | ProgrammeRun | Rejection]]:
    for run in plan.programme:
        yield "programme", run
    if plan.path_a:
        yield "path_a", plan.path_a
    if plan.rejection:
        yield "rejection", plan.rejection


_STANDING = {
    "canonical": "Standing: canonical, the shipped protocol, unchanged, with no departure.",
    "registered": "Standing: registered, a protocol file of one's own, fixed before the run, with "
    "no departure from it.",
    "exploratory": "Standing: exploratory, the ladder departed from its protocol, as listed below, "
    "so this is not the pre-registered test.",
}


def _verdict(record: LadderRecord, plan: Protocol | None) -> str:
    candidates = record.candidates
    if record.verdict == "adopted":
        chosen = [c for c in candidates if c.tag == record.adopted]
        shown = "".join(f" ({change(candidate, plan)})" for candidate in chosen)
        return f"Adopted: {record.adopted}{shown} passed all three stages."
    if record.verdict == "rejected":
        failed = f"none of the {len(candidates)} candidates passed all three stages"
        return f"Rejected: {failed}. That is a finding, not an error."
    judged = sum(c.status not in ("not_run", "running") for c in candidates)
    return f"Incomplete: {judged} of {len(candidates)} candidates judged, no verdict yet."


def _overlap(record: LadderRecord, plan: Protocol | None) -> str:
    overlap = record.seed_overlap
    text = f"Training starts come from seeds {' to '.join(map(str, overlap.training))}. "
    for start, shared in overlap.sets.items():
        if shared:
            text += f"{shared} seeds of the set from {start} are among them: it is not held out. "
    clean = [start for start, shared in overlap.sets.items() if not shared]
    if clean:
        text += f"The seeds from {' and from '.join(clean)} are all new to the policy. "
    voting = plan.stages.seed_starts if plan else []
    silent = [start for start in overlap.sets if voting and start not in map(str, voting)]
    return text + "".join(f"The set from {start} informs and does not vote." for start in silent)


def _misjudgements(record: LadderRecord, plan: Protocol) -> dict[str, dict[str, float | None]]:
    """Return how likely stages 1 and 3 are to misjudge each candidate at its observed rates."""
    floor, shift = plan.stages.success_floor, plan.stages.seed_shift
    chances: dict[str, dict[str, float | None]] = {}
    for candidate in record.candidates:
        first = _count(candidate, floor.seed_start)
        second = _count(candidate, shift.seed_start) if shift else None
        if first is None:
            continue
        row: dict[str, float | None] = {"shift": None, "false_alarm": None}
        row["floor"] = statistics.success_floor_flip(*first, floor.threshold)
        if shift and second is not None:
            pair = first, second, shift.difference_at_most
            row["shift"] = statistics.seed_shift_flip(*pair)
            row["false_alarm"] = statistics.seed_shift_false_alarm(*pair)
        chances[candidate.tag] = row
    return chances


def _count(run: CandidateRecord, seed_start: int) -> tuple[int, int] | None:
    summary = run.summaries.get(str(seed_start))
    return (summary.success_count, summary.seeds) if summary else None


def _voting(record: LadderRecord) -> list[CandidateRecord | BatchRecord]:
    return [*record.candidates, *record.batch]


def _trained(record: LadderRecord) -> dict[str, TrainedRecord | None]:
    """Return what trained each run that ended, by its folder; None where nothing says it."""
    runs: list[RunRecord] = [*_voting(record)]
    runs += [other for candidate in record.candidates for other in candidate.other_seeds]
    return {
        run.run_dir: run.trained for run in runs if run.trained or run.env_steps or run.summaries
    }


def _figures(
    record: LadderRecord, plan: Protocol | None, folder: Path, note: Path
) -> dict[str, Markdown]:
    """Write the figures there is something to draw for; return name -> Markdown."""
    stages = plan.stages if plan else None
    draw: dict[str, tuple[str, Callable[[], bytes]]] = {}
    if histories := {c.tag: h for c in record.candidates if (h := _history(folder, c))}:
        rule = stages.training_dynamics if stages else None
        caption = "Training curves of every candidate"
        draw["dynamics"] = caption, lambda: dynamics_png(histories, rule)
    rates = {
        run.label if isinstance(run, BatchRecord) else run.tag: {
            start: (summary.success_rate, *interval(summary))
            for start, summary in run.summaries.items()
        }
        for run in _voting(record)
        if run.summaries
    }
    if rates:
        floor = stages.success_floor.threshold if stages else None
        caption = "Success rate per run and seed set, with intervals"
        draw["success"] = caption, lambda: success_png(rates, floor)
    return {name: figure(note, FIGURES[name], *what) for name, what in draw.items()}


def _history(folder: Path, run: CandidateRecord) -> dict[str, np.ndarray]:
    """Return a run's history; empty where it has none yet, or none that can be read."""
    try:
        return read_history(RunFiles(folder / run.run_dir, run.slug).history)
    except (InputError, OSError):
        return {}


def _relative(target: Path, folder: Path) -> str:
    """Return a link from a file in `folder` to `target`."""
    return Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()
