"""The result note: a ladder's record and run folders told in Markdown, verdict first.

It reads files alone, so it can be written again at any time, by any machine, from the record. The
words are in note.md.j2; here is what they need. See docs/spec/ladder.md.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pathb_jax.config import VARIANTS
from pathb_jax.errors import InputError
from pathb_jax.judging.certainty import HowSure
from pathb_jax.judging.rates import count_flip
from pathb_jax.judging.training_seeds import (
    floor_votes_flip,
    interquartile_mean,
    next_seed_disagrees,
)
from pathb_jax.ladder.exact import successes_needed
from pathb_jax.ladder.protocol import SHIPPED_SHA256, Protocol, parse_protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.ladder.training_seeds import agreement
from pathb_jax.report.best_state import with_baseline
from pathb_jax.report.diagnosis_page import segment_table, statements
from pathb_jax.report.markdown import link, rendered
from pathb_jax.report.note_figures import note_figures
from pathb_jax.report.note_files import MARKER, NOTE_NAME
from pathb_jax.report.note_words import filters
from pathb_jax.report.published import published
from pathb_jax.report.receipts import receipt_rows
from pathb_jax.report.run_evidence import Evidence, against_the_best, read_evidence
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
    evidence = {
        name: read_evidence(record_path.parent, run) for name, run in voters(record).items()
    }
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
        **_certainty(record, plan, evidence),
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
        "voters": voters(record),
        "silent": silent,
        "judged": {entry.tag for entry in record.candidates if entry.stages},
        "told": voters(record) | {run.label: run for run in record.batch},
        "computed": voters(record)
        | {f"{tag}, seed {run.seed}": run for tag, run in silent}
        | {run.label: run for run in others},
        "trained": (trained := _trained(record)),
        "early": [name for name, run in trained.items() if run and run.before_ladder],
        "undated": [
            *([] if record.started or not trained else ["the ladder"]),
            *(name for name, run in trained.items() if not (run and run.started)),
        ],
    }


def _certainty(
    record: LadderRecord, plan: Protocol | None, evidence: Mapping[str, Evidence]
) -> dict[str, Any]:
    """Return what is told from the run folders: how sure every judgement is."""
    judged = voters(record)
    sure: dict[str, HowSure | None] = {
        name: evidence[name].sure(run, plan) if plan else None for name, run in judged.items()
    }
    voted = any(candidate.votes for candidate in record.candidates)
    best, paired = ("", {}) if voted else against_the_best(evidence)
    return {
        "sure": sure,
        "flips": {c.tag: _flips(c, sure) for c in record.candidates if c.votes},
        "rows": {name: receipt_rows(run, sure[name]) for name, run in judged.items()},
        "dynamics": {tag: s.dynamics for tag, s in sure.items() if s and s.dynamics},
        "along": {tag: s.along for tag, s in sure.items() if s and s.along},
        "shifts": [
            (tag, votes, shift)
            for tag, s in sure.items()
            if s
            for votes, shift in ((True, s.shift), (False, s.shadow))
            if shift
        ],
        "best": best,
        "paired": paired,
        "interquartile": _interquartile(record.candidates),
        **_other_seeds(record),
    }


def _flips(candidate: CandidateRecord, sure: Mapping[str, HowSure | None]) -> dict[str, float]:
    """Return the odds that the vote turns: with fresh training seeds, or sets for stage 1."""
    votes, runs = candidate.votes, candidate.voters
    assert votes
    flips = {"seeds": count_flip((len(votes.passed), len(votes.seeds)), votes.needed)}
    floors = [found.floor for name in runs if (found := sure[name])]
    each = [floor.flips if floor else 0.0 for floor in floors]  # a run that diverged stays failed
    clears = [_clears_floor(run) for run in runs.values()]
    if len(each) == len(runs):
        flips["sets"] = floor_votes_flip(clears, each, votes.needed)
    return flips


def _clears_floor(run: CandidateRecord | SeedRecord) -> bool:
    """Whether the first success floor alone lets a run pass, wherever it stands."""
    floor = next((stage.figures for stage in run.stages if stage.name == "success_floor"), {})
    successes, seeds, threshold = (floor.get(n) for n in ("successes", "seeds", "threshold"))
    if successes is None or seeds is None or threshold is None:
        return False
    return successes >= successes_needed(threshold, int(seeds))


def _interquartile(candidates: list[CandidateRecord]) -> dict[str, Any]:
    """Interquartile mean of success on the first set over a candidate's training seeds.

    A run that diverged has no success.
    """
    found = {}
    for candidate in candidates:
        of_runs = [candidate.summaries, *(other.summaries for other in candidate.other_seeds)]
        scores = [next(iter(sets.values())).success_rate if sets else 0.0 for sets in of_runs]
        if candidate.stages and len(scores) > 1:
            found[candidate.tag] = interquartile_mean([scores])
    return found


def _other_seeds(record: LadderRecord) -> dict[str, Any]:
    """Which training seeds agree with the verdict, and the odds that one more does not."""
    if record.verdict == "incomplete":
        return {"agreement": None, "disagrees": None}
    told = agreement(record)
    agree, seeds = (len(told.agree), len(told.told)) if told.told else (1, 1)
    return {
        "agreement": told if told.told else None,
        "disagrees": next_seed_disagrees(agree, seeds, voted=True),
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


def voters(record: LadderRecord) -> dict[str, CandidateRecord | SeedRecord]:
    """Return the runs that candidates are judged by, each under the name that the note gives it."""
    return {name: run for entry in record.candidates for name, run in entry.voters.items()}


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
