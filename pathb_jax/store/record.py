"""The record of a ladder, ladder.json: reading, checking against itself, writing.

It is written whole or not at all. What needs the protocol is checked in `ladder.reading`, what
needs the runs' files in `verification`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.store.models import parse, shown, to_json
from pathb_jax.store.record_schema import ADOPTION, LadderRecord
from pathb_jax.store.run_records import BatchRecord, CandidateRecord, SetSummary, StageRecord


def write_record(path: Path, record: LadderRecord) -> None:
    """Write the record whole or not at all. A figure that is not finite is written as null.

    Raises:
        InputError: the record does not have the keys and types of `LadderRecord`.
        OSError: it cannot be written; the file that was there is unchanged.
    """
    plain = _finite(to_json(record))
    parse(LadderRecord, plain, f"{path.name}: ")
    write_json(path, plain)


def read_record(path: Path) -> LadderRecord:
    """Read a record and check that its parts agree with each other.

    Raises:
        InputError: there is none, or it is broken or contradicts itself; the message names the key.
    """
    try:
        raw = read_json(path)
    except OSError as error:
        raise InputError(str(path), error.strerror, "give a record that can be read") from None
    record = parse(LadderRecord, raw, f"{path.name}: ")
    _check_against_itself(record, f"{path.name}: ")
    return record


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_against_itself(record: LadderRecord, root: str) -> None:
    """Refuse a record in which a part contradicts another; `root` begins the names of fields."""
    _check_standing(record, root)
    _check_candidates(record, root)
    _check_folders(record, root)
    judged = {w: run.stages for w, run in record.runs if not isinstance(run, BatchRecord)}
    most = max(len(stages) for stages in judged.values())
    for where, run in record.runs:
        if where in judged:
            _check_stages(judged[where], most, f"{root}{where}.stages")
        _check_summaries(run.summaries, f"{root}{where}.summaries")
    _check_statuses(record, root)
    _check_verdict(record, root)
    _check_judgement(record, root)
    _check_baseline(record, f"{root}baseline.diagnosis")


def _refuse(where: str, value: object, allowed: str) -> NoReturn:
    raise InputError(where, shown(value), allowed)


def _check_standing(record: LadderRecord, root: str) -> None:
    standing, deviations = record.standing, record.deviations
    if (standing == "exploratory") != bool(deviations):
        allowed = f"there are {len(deviations)} deviations, and with any it is exploratory"
        _refuse(f"{root}standing", standing, allowed)
    if record.canonical != (standing == "canonical"):
        _refuse(f"{root}canonical", record.canonical, f"standing is {standing}")


def _check_candidates(record: LadderRecord, root: str) -> None:
    orders, tags = [c.order for c in record.candidates], [c.tag for c in record.candidates]
    for index, (order, tag) in enumerate(zip(orders, tags, strict=True)):
        if index and order <= orders[index - 1]:
            where = f"{root}candidates[{index}].order"
            _refuse(where, order, f"the one before has {orders[index - 1]}")
        if tag in tags[:index]:
            _refuse(f"{root}candidates[{index}].tag", tag, "it is there twice")


def _check_folders(record: LadderRecord, root: str) -> None:
    """Every run has a folder of its own, beside the record."""
    seen: set[str] = set()
    for where, run in record.runs:
        name = run.run_dir
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            _refuse(f"{root}{where}.run_dir", name, "it is the name of a folder beside the record")
        if name in seen and where != "baseline":  # a candidate's that was not reached
            _refuse(f"{root}{where}.run_dir", name, "it is another run's too")
        seen.add(name)


def _check_stages(stages: Sequence[StageRecord], most: int, where: str) -> None:
    """Every judged run has all stages; they are judged in order, up to the first failure."""
    numbers = [stage.stage for stage in stages]
    if numbers not in ([], list(range(1, most + 1))):
        _refuse(where, numbers, f"a judged run has the stages 1 to {most}, in order")
    failed = False
    for index, stage in enumerate(stages):
        passed = stage.passed
        if failed != (passed is None):
            allowed = f"a stage before it {'failed' if failed else 'did not fail'}"
            _refuse(f"{where}[{index}].passed", passed, allowed)
        if passed is True and stage.reasons:
            _refuse(f"{where}[{index}].reasons", stage.reasons, "the stage passed")
        if passed is False and not stage.reasons:
            _refuse(f"{where}[{index}].reasons", [], "the stage failed, which has a reason")
        failed = failed or passed is False


def _check_summaries(summaries: Mapping[str, SetSummary], where: str) -> None:
    """Intervals and tables rest on counts: 0 <= k <= n, n >= 1, and the rate is k / n."""
    for start, summary in summaries.items():
        count, seeds, rate = summary.success_count, summary.seeds, summary.success_rate
        if not (0 <= count <= seeds and seeds > 0):
            _refuse(f"{where}.{start}", f"{count} of {seeds}", "it must be a count")
        if abs(rate - count / seeds) > 1e-9:
            _refuse(f"{where}.{start}.success_rate", rate, f"the count is {count} of {seeds}")


def _check_statuses(record: LadderRecord, root: str) -> None:
    adopted = False
    for index, candidate in enumerate(record.candidates):
        status, stages = candidate.status, candidate.stages
        passed = [stage.passed for stage in stages]
        passes, diverged = all(passed), candidate.diverged is not None
        if candidate.votes is not None:
            passes, diverged = _check_votes(candidate, f"{root}candidates[{index}].votes")
        where = f"{root}candidates[{index}].status"
        if not stages:
            expected: tuple[str, ...] = ("not_run", "running")
        elif adopted:
            expected = ("informative",)
        elif passes:
            expected = ("adopted",)
        elif "diverged" in candidate.model_fields_set:
            expected = ("diverged",) if diverged else ("rejected",)
        else:
            expected = ("diverged", "rejected")
        if status not in expected:
            said = f"its stages say {passed or 'nothing yet'}"
            if votes := candidate.votes:
                said = f"{len(votes.passed)} of {len(votes.seeds)} pass, {votes.needed} needed"
            allowed = f"{said}: it is {' or '.join(expected)}"
            _refuse(where, status, allowed)
        adopted = adopted or status == "adopted"


def _check_votes(candidate: CandidateRecord, where: str) -> tuple[bool, bool]:
    """Hold votes against receipts; return whether enough pass, and whether all runs diverged."""
    votes = candidate.votes
    assert votes is not None
    runs = candidate.ballots(votes.seeds)
    if list(runs) != votes.seeds:
        _refuse(f"{where}.seeds", votes.seeds, f"those judged are {list(runs)}")
    passed = [seed for seed, run in runs.items() if all(stage.passed for stage in run.stages)]
    if passed != votes.passed:
        _refuse(f"{where}.passed", votes.passed, f"by their receipts it is {passed}")
    diverged = all(run.diverged is not None for run in runs.values())
    return len(passed) >= votes.needed, diverged


def _check_verdict(record: LadderRecord, root: str) -> None:
    verdict, adopted = record.verdict, record.adopted
    statuses = {c.tag: c.status for c in record.candidates}
    chosen = [tag for tag, status in statuses.items() if status == "adopted"]
    if verdict == "adopted" and chosen != [adopted]:
        allowed = f"the candidates with that status are {chosen}"
        _refuse(f"{root}adopted", adopted, allowed)
    if verdict != "adopted" and adopted is not None:
        _refuse(f"{root}adopted", adopted, f"the verdict is {verdict}")
    if verdict == "rejected" and not set(statuses.values()) <= {"rejected", "diverged"}:
        _refuse(f"{root}verdict", verdict, f"the candidates are {statuses}")
    if record.batch and record.chosen is None:
        _refuse(f"{root}batch", f"{len(record.batch)} runs", f"the verdict is {verdict}")


def _check_judgement(record: LadderRecord, root: str) -> None:
    """A judgement follows a rejection, is of one of its candidates, and is a departure."""
    judgement = record.judgement
    lines = [line for line in record.deviations if line.startswith(ADOPTION)]
    if judgement is None:
        if lines:
            _refuse(f"{root}deviations", lines[0], "there is no judgement")
        return
    if record.verdict != "rejected":
        _refuse(f"{root}judgement", judgement.tag, f"the verdict is {record.verdict}")
    if judgement.tag not in (tags := [candidate.tag for candidate in record.candidates]):
        _refuse(f"{root}judgement.tag", judgement.tag, f"the candidates are {', '.join(tags)}")
    if lines != [judgement.deviation]:
        _refuse(f"{root}deviations", lines, f"they have to name {judgement.deviation!r} once")


def _check_baseline(record: LadderRecord, where: str) -> None:
    """Intervals of the default run rest on counts, as those of the others."""
    diagnosis = record.baseline.diagnosis if record.baseline else None
    if diagnosis is None:
        return
    fall = diagnosis.fall
    states = [segment.state for segment in diagnosis.segments] + diagnosis.evaluations
    for state in [*states, *([fall.best, fall.end] if fall else [])]:
        for count, seeds in (state.success, state.reported):
            if not (0 <= count <= seeds and seeds > 0):
                _refuse(f"{where}, update {state.update}", f"{count} of {seeds}", "it is no count")
