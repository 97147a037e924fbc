"""The result note: a ladder's record and run folders told in Markdown, verdict first.

It reads files alone, so it can be written again at any time, by any machine, from the record. The
words are in note.md.j2; here is what they need. See the specification's ladder page.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.ladder import statistics
from pathb_jax.ladder.protocol import Protocol, parse_protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.store.artifacts import RunFiles, read_history
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.record_schema import (
    BatchRecord,
    CandidateRecord,
    LadderRecord,
    SetSummary,
)

NOTE_NAME = "PHASE7_V2_PATH_B_RESULTS.md"
"""The note's name beside the record (ladder page, "Files")."""

FIGURES = {
    "dynamics": "figures/path_b_dynamics.png",
    "success": "figures/path_b_success.png",
}
"""The note's figures, beside it."""

MARKER = "written by pathb_jax: a ladder's result note"
"""Ends every note, so that it is recognised and may be written anew."""

Count = tuple[int, int]


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
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    environment.filters.update(_filters(plan, _relative(record_path.parent, note.parent)))
    template = (resources.files("pathb_jax") / "report" / "note.md.j2").read_text("utf-8")
    text = environment.from_string(template).render(
        **_context(record, plan),
        figures=_write_figures(record, plan, record_path.parent, note.parent),
        warning=warning,
        record_name=record_path.name,
        record_link=_relative(record_path, note.parent),
        marker=MARKER,
    )
    write_atomically(note, text)
    return note


def _plan(record: LadderRecord) -> tuple[Protocol | None, str]:
    """Return the protocol whose text the record holds, and a warning if it is not the one named."""
    stated = record["protocol"]
    if "text" not in stated:
        return None, "The record does not hold the protocol's text."
    try:
        plan = parse_protocol(stated["text"].encode(), stated["file"])
    except InputError as error:
        return None, f"The record's copy of the protocol cannot be read: {error}"
    if plan.sha256 != stated["sha256"]:
        return plan, "The record's copy of the protocol does not have the SHA-256 that it states."
    return plan, ""


def _context(record: LadderRecord, plan: Protocol | None) -> dict[str, Any]:
    """Return what the template shows beside the record itself."""
    texts: dict[str, Any] = defaultdict(lambda: None)
    here: dict[str, Any] = defaultdict(lambda: None)
    here |= {candidate["tag"]: candidate for candidate in record["candidates"]}
    here |= {run["label"].partition("_pathb_")[0]: run for run in record["batch"]}
    best = None
    if plan:
        texts |= {candidate.tag: candidate for candidate in plan.candidates}
        texts |= {prediction.id: prediction for prediction in plan.predictions}
        best = next(s for s in plan.path_a.segments if s.segment == plan.path_a.best)
    sizes = {s["seeds"] for run in _runs(record) for s in run.get("summaries", {}).values()}
    return {
        "record": record,
        "plan": plan,
        "verdict": _verdict(record, plan),
        "standing": _STANDING[record["standing"]],
        "overlap": _overlap(record, plan).strip(),
        "set_sizes": sorted(sizes),
        "texts": texts,
        "here": here,
        "best": best,
        "misjudgements": _misjudgements(record, plan) if plan else {},
        "trained": (trained := _trained(record)),
        "early": [name for name, run in trained.items() if run.get("before_ladder")],
        "undated": [
            *([] if record.get("started") or not trained else ["the ladder"]),
            *(name for name, run in trained.items() if not run.get("started")),
        ],
    }


_STANDING = {
    "canonical": "Standing: canonical, the shipped protocol, unchanged, with no departure.",
    "registered": "Standing: registered, a protocol file of one's own, fixed before the run, with "
    "no departure from it.",
    "exploratory": "Standing: exploratory, the ladder departed from its protocol, as listed below, "
    "so this is not the pre-registered test.",
}


def _verdict(record: LadderRecord, plan: Protocol | None) -> str:
    candidates = record["candidates"]
    if record["verdict"] == "adopted":
        chosen = [c for c in candidates if c["tag"] == record["adopted"]]
        change = "".join(f" ({_change(candidate, plan)})" for candidate in chosen)
        return f"Adopted: {record['adopted']}{change} passed all three stages."
    if record["verdict"] == "rejected":
        failed = f"none of the {len(candidates)} candidates passed all three stages"
        return f"Rejected: {failed}. That is a finding, not an error."
    judged = sum(c["status"] not in ("not_run", "running") for c in candidates)
    return f"Incomplete: {judged} of {len(candidates)} candidates judged, no verdict yet."


def _overlap(record: LadderRecord, plan: Protocol | None) -> str:
    overlap = record["seed_overlap"]
    text = f"Training starts come from seeds {' to '.join(map(str, overlap['training']))}. "
    for start, shared in overlap["sets"].items():
        if shared:
            text += f"{shared} seeds of the set from {start} are among them: it is not held out. "
    clean = [start for start, shared in overlap["sets"].items() if not shared]
    if clean:
        text += f"The seeds from {' and from '.join(clean)} are all new to the policy. "
    voting = plan.seed_sets[:2] if plan else ()
    silent = [start for start in overlap["sets"] if voting and start not in map(str, voting)]
    return text + "".join(f"The set from {start} informs and does not vote." for start in silent)


def _misjudgements(record: LadderRecord, plan: Protocol) -> dict[str, dict[str, float | None]]:
    """Return how likely stages 1 and 3 are to misjudge each candidate at its observed rates."""
    floor, shift = plan.stages.success_floor, plan.stages.seed_shift
    chances: dict[str, dict[str, float | None]] = {}
    for candidate in record["candidates"]:
        first = _count(candidate, floor.seed_start)
        second = _count(candidate, shift.seed_start)
        if first is None:
            continue
        row: dict[str, float | None] = {"shift": None, "false_alarm": None}
        row["floor"] = statistics.success_floor_flip(*first, floor.threshold)
        if second is not None:
            pair = first, second, shift.difference_at_most
            row["shift"] = statistics.seed_shift_flip(*pair)
            row["false_alarm"] = statistics.seed_shift_false_alarm(*pair)
        chances[candidate["tag"]] = row
    return chances


def _count(run: CandidateRecord, seed_start: int) -> Count | None:
    summary = run.get("summaries", {}).get(str(seed_start))
    return (summary["success_count"], summary["seeds"]) if summary else None


def _runs(record: LadderRecord) -> list[CandidateRecord | BatchRecord]:
    return [*record["candidates"], *record["batch"]]


def _trained(record: LadderRecord) -> dict[str, Mapping[str, Any]]:
    """Return what trained each run that ended, by its folder; empty where nothing says it."""
    runs: list[Any] = [*_runs(record)]
    runs += [item for c in record["candidates"] for item in c.get("other_seeds", [])]
    return {
        run.get("run_dir") or run["label"]: run.get("trained", {})
        for run in runs
        if "trained" in run or run.get("env_steps") or run.get("summaries")
    }


def _remarks(trained: Mapping[str, Any]) -> str:
    """Return what makes the training of a run less than plain."""
    found = ["began before the ladder was opened"] if trained.get("before_ladder") else []
    found += ["with uncommitted changes"] if trained.get("dirty") else []
    found += [
        f"after update {entry['resumed_after_update']} in another environment"
        for entry in trained.get("environment_changes", [])
    ]
    return _cell("; ".join(found) or "-")


def _recorded(value: str | None, length: int | None = None) -> str:
    return _cell(value[:length]) if value else "not recorded"


def _write_figures(
    record: LadderRecord, plan: Protocol | None, folder: Path, note_folder: Path
) -> dict[str, str]:
    """Write the figures there is something to draw for; return name -> link."""
    from pathb_jax.report import figures  # matplotlib takes long to import

    stages = plan.stages if plan else None
    images: dict[str, bytes] = {}
    histories = {c["tag"]: h for c in record["candidates"] if (h := _history(folder, c))}
    if histories:
        images["dynamics"] = figures.dynamics_png(
            histories, stages.training_dynamics if stages else None
        )
    rates = {
        str(run.get("tag") or run.get("label")): {
            start: (summary["success_rate"], *_interval(summary))
            for start, summary in run["summaries"].items()
        }
        for run in _runs(record)
        if run.get("summaries")
    }
    if rates:
        images["success"] = figures.success_png(
            rates, stages.success_floor.threshold if stages else None
        )
    for name, data in images.items():
        write_atomically(note_folder / FIGURES[name], data)
    return {name: FIGURES[name] for name in images}


def _history(folder: Path, run: CandidateRecord) -> dict[str, np.ndarray]:
    """Return a run's history; empty where it has none yet, or none that can be read."""
    try:
        return read_history(RunFiles(folder / run["run_dir"], run.get("slug", "")).history)
    except (InputError, OSError):
        return {}


def _interval(summary: SetSummary) -> tuple[float, float]:
    """Return the exact 95 % interval of a set's success rate."""
    return statistics.clopper_pearson(summary["success_count"], summary["seeds"])


def _filters(plan: Protocol | None, base: str) -> dict[str, Any]:
    """Return the template's filters: values in, Markdown out. `base` is the record's folder."""

    def link(run: Any, name: str) -> str:
        target = run.get("run_dir", name)
        path = target if base == "." else f"{base}/{target}"
        return name if run.get("status") == "not_run" else f"[{name}]({path}/)"

    return {
        "cell": _cell,
        "change": lambda candidate: _change(candidate, plan),
        "failure": _failure,
        "figures": _figures,
        "hours": lambda hours: f"{hours:.2f}",
        "interval": lambda summary: "{:.3f} to {:.3f}".format(*_interval(summary)),
        "link": link,
        "number": _number,
        "other_verdicts": _other_verdicts,
        "outcome": _outcome,
        "percent": lambda chance: "-" if chance is None else f"{100 * chance:.1f} %",
        "rate": _rate,
        "recorded": _recorded,
        "remarks": _remarks,
        "seeds": _seeds,
        "stage": _stage,
        "steps": lambda steps: "-" if steps is None else f"{steps:.1f}",
        "thousands": lambda count: f"{count:,}",
        "words": _words,
    }


def _change(candidate: Mapping[str, Any], plan: Protocol | None) -> str:
    defaults = vars(plan.hparams) if plan else {}
    return ", ".join(
        f"{knob} {defaults[knob]:g} -> {value:g}" if knob in defaults else f"{knob} {value:g}"
        for knob, value in candidate["hparams"].items()
    )


def _stage(candidate: Mapping[str, Any], number: int) -> str:
    """Return the table cell of one stage."""
    for receipt in candidate["stages"]:
        if receipt["stage"] == number:
            why = "; ".join(receipt["reasons"]) if receipt["passed"] is False else ""
            return _cell(_outcome(receipt["passed"]) + (f": {why}" if why else ""))
    return "-"


def _failure(candidate: Mapping[str, Any]) -> str:
    """Return how a rejected candidate failed, after its name."""
    what = "was not accepted"
    for receipt in candidate["stages"]:
        if receipt["passed"] is False:
            what = f"failed stage {receipt['stage']} ({'; '.join(receipt['reasons'])})"
    return _cell(f"{what}, {_words(candidate['failure_mode'])}")


def _rate(run: Mapping[str, Any]) -> str:
    """Return the success rate on a run's first set, with count and interval where known."""
    for summary in run.get("summaries", {}).values():
        count = f"{summary['success_count']}/{summary['seeds']}"
        low, high = _interval(summary)
        return f"{_number(summary['success_rate'])} ({count}), {low:.3f} to {high:.3f}"
    rate = run.get("success_rate")
    return "not run" if rate is None else _number(rate)


def _seeds(summary: SetSummary, start: str) -> str:
    return f"{start} to {int(start) + summary['seeds'] - 1}" if start.isdecimal() else _cell(start)


def _figures(figures: Mapping[str, float | None]) -> str:
    return ", ".join(f"{_cell(name)} {_number(value)}" for name, value in figures.items())


def _other_verdicts(record: LadderRecord) -> str:
    """Return how often another training seed would have led to another verdict."""
    first, *others = record["training_seeds"]["verdicts"].values()
    decided = [verdict for verdict in others if verdict != "open"]
    different = sum(verdict != first for verdict in decided)
    return (
        f"Of {len(decided)} other seeds with a verdict, {different} would have given another one."
    )


def _number(value: float | None) -> str:
    """Return three decimals; a whole number as it is; the very small and large by four digits."""
    if value is None or isinstance(value, int):
        return "-" if value is None else str(value)
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1000 else f"{value:.4g}"


def _outcome(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "not judged"}[passed]


def _words(name: str | None) -> str:
    return "-" if name is None else _cell(name.replace("_", " "))


def _cell(text: str) -> str:
    """Return text as one line that cannot break a table."""
    return " ".join(text.replace("|", "\\|").split())


def _relative(target: Path, folder: Path) -> str:
    """Return a link from a file in `folder` to `target`."""
    return Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()
