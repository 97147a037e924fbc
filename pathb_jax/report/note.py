"""The result note: a ladder's record and run folders told in Markdown, verdict first.

It reads files alone, so it can be written again at any time, by any machine, from the record. The
words are in note.md.j2; here is what they need. See docs/spec/ladder.md.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.config import VARIANTS
from pathb_jax.errors import InputError
from pathb_jax.ladder.protocol import SHIPPED_SHA256, Protocol, parse_protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.report.best_state import with_baseline
from pathb_jax.report.diagnosis_page import segment_table, statements
from pathb_jax.report.markdown import link, rendered
from pathb_jax.report.note_certainty import certainty
from pathb_jax.report.note_figures import note_figures
from pathb_jax.report.note_files import MARKER, NOTE_NAME
from pathb_jax.report.note_words import filters
from pathb_jax.report.published import published
from pathb_jax.report.run_evidence import read_evidence
from pathb_jax.report.stage_words import looks_at, passes_when
from pathb_jax.report.verdict import STANDING, next_step, verdict
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import (
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SeedRecord,
    TrainedRecord,
)


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
    plan, warning = protocol_of(record)
    evidence = {name: read_evidence(record_path.parent, run) for name, run in record.voters.items()}
    folder = _relative(record_path.parent, note.parent)
    text = rendered(
        "note.md.j2",
        {
            **filters(plan, folder),
            "segment_table": segment_table,
            "statements": statements,
            "looks_at": lambda stage: looks_at(stage, plan) if plan else "",
            "passes_when": passes_when,
        },
        **_context(record, plan),
        next_step=next_step(record, plan, folder),
        **certainty(record, plan, evidence),
        figures=note_figures(record, plan, evidence, note),
        warning=warning,
        record_link=link(record_path.name, _relative(record_path, note.parent)),
        marker=MARKER,
    )
    write_atomically(note, text)
    return note


def protocol_of(record: LadderRecord) -> tuple[Protocol | None, str]:
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
    silent = [
        (entry.tag, run)
        for entry in record.candidates
        for run in entry.other_seeds
        if entry.votes is None or run.seed not in entry.votes.seeds
    ]
    others = [*record.batch, *([record.own_baseline] if record.own_baseline else [])]
    return {
        "record": record,
        "plan": plan,
        "stages": plan.stages if plan else None,
        "own_env": plan.run if plan and plan.run.env else None,
        "title": "Path B" if _is_path_b(record) else record.protocol.name,
        "is_path_b": _is_path_b(record),
        "verdict": verdict(record, plan),
        "standing": STANDING[record.standing],
        "overlap": overlap(record, plan),
        "set_sizes": sorted(sizes),
        "texts": texts,
        "runs": runs,
        **published(record, plan),
        "envelope": _envelope(record, plan),
        "diagnosis": record.baseline.diagnosis if record.baseline else None,
        "with_baseline": with_baseline(record),
        "voters": record.voters,
        "silent": silent,
        "judged": {entry.tag for entry in record.candidates if entry.stages},
        "told": record.voters | {run.label: run for run in record.batch},
        "computed": record.voters
        | {f"{tag}, seed {run.seed}": run for tag, run in silent}
        | {run.label: run for run in others},
        "trained": (trained := _trained(record)),
        "early": [name for name, run in trained.items() if run and run.before_ladder],
        "undated": [
            *([] if record.started or not trained else ["the ladder"]),
            *(name for name, run in trained.items() if not (run and run.started)),
        ],
    }


class EnvelopeRow(NamedTuple):
    """A run of the batch, or of the candidate that it follows."""

    mixed_lambda: float | None
    name: str
    run: CandidateRecord | SeedRecord | BatchRecord
    alignment: float | None
    """Mean on the first set."""


def _envelope(record: LadderRecord, plan: Protocol | None) -> list[EnvelopeRow]:
    """Return the batch and the adopted candidate by lambda, as they stand in the record."""
    whole = {"L-Reward": 1.0, "L-Signature": 0.0}
    rows = []
    for run in record.batch:
        family = VARIANTS[run.variant].family if run.variant in VARIANTS else ""
        weight = run.mixed_lambda or whole.get(family)
        rows.append(EnvelopeRow(weight, run.label, run, run.mean_terminal_alignment))
    if rows and plan:
        for entry in record.candidates:
            if entry.tag == record.chosen:
                rows += [
                    EnvelopeRow(plan.run.mixed_lambda, name, run, _alignment(run))
                    for name, run in entry.voters.items()
                ]
    return sorted(rows, key=lambda row: 2.0 if row.mixed_lambda is None else row.mixed_lambda)


def _alignment(run: RunRecord) -> float | None:
    first = next(iter(run.summaries.values()), None)
    return first.mean_terminal_alignment if first else None


def _is_path_b(record: LadderRecord) -> bool:
    return record.protocol.sha256 == SHIPPED_SHA256["path_b"]


def overlap(record: LadderRecord, plan: Protocol | None) -> str:
    """Say which evaluation sets share seeds with the training starts, and which do not vote."""
    found = record.seed_overlap
    text = f"Training starts come from seeds {' to '.join(map(str, found.training))}. "
    for start, shared in found.sets.items():
        if shared:
            text += f"{shared} seeds of the set from {start} are among them: it is not held out. "
    clean = [start for start, shared in found.sets.items() if not shared]
    if clean:
        text += f"The seeds from {' and from '.join(clean)} are all new to the policy. "
    voting = plan.stages.seed_starts if plan else []
    silent = [start for start in found.sets if voting and start not in map(str, voting)]
    text += "".join(f"The set from {start} informs and does not vote." for start in silent)
    return text.strip()


def _voting(record: LadderRecord) -> list[CandidateRecord | BatchRecord]:
    return [*record.candidates, *record.batch]


def _trained(record: LadderRecord) -> dict[str, TrainedRecord | None]:
    """Return what trained each run that ended, by its folder; None where nothing says it."""
    runs: list[RunRecord] = [*_voting(record)]
    runs += [other for candidate in record.candidates for other in candidate.other_seeds]
    runs += [record.own_baseline] if record.own_baseline else []
    return {
        run.run_dir: run.trained for run in runs if run.trained or run.env_steps or run.summaries
    }


def _relative(target: Path, folder: Path) -> str:
    """Return a link from a file in `folder` to `target`."""
    return Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()
