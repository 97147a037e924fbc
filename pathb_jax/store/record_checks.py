"""A ladder's record against itself: what its parts say of each other has to agree.

What needs the protocol is checked in `ladder.reading`, what needs the runs' files in
`verification`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.store.record_schema import LadderRecord

STAGES = 3


def check_against_itself(record: LadderRecord, root: str) -> None:
    """Look for a part of a well-typed record that another part contradicts.

    Args:
        record: as read.
        root: begins the name of every field in messages.

    Raises:
        InputError: there is one; the message names the key and what the others say.
    """
    _check_standing(record, root)
    _check_candidates(record, root)
    _check_folders(record, root)
    for where, run in _runs(record):
        _check_stages(run.get("stages", []), f"{root}{where}.stages")
        _check_summaries(run.get("summaries", {}), f"{root}{where}.summaries")
    _check_statuses(record, root)
    _check_verdict(record, root)
    _check_training_seeds(record, root)


def _refuse(where: str, value: object, allowed: str) -> None:
    shown = value if len(repr(value)) <= 60 else repr(value)[:60] + "..."
    raise InputError(where, shown, allowed)


def _runs(record: LadderRecord) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for index, candidate in enumerate(record["candidates"]):
        where = f"candidates[{index}]"
        found.append((where, candidate))
        others = enumerate(candidate.get("other_seeds", []))
        found += [(f"{where}.other_seeds[{position}]", other) for position, other in others]
    return found + [(f"batch[{index}]", run) for index, run in enumerate(record["batch"])]


def _check_standing(record: LadderRecord, root: str) -> None:
    standing, deviations = record["standing"], record["deviations"]
    if (standing == "exploratory") != bool(deviations):
        allowed = f"there are {len(deviations)} deviations, and with any it is exploratory"
        _refuse(f"{root}standing", standing, allowed)
    if record["canonical"] != (standing == "canonical"):
        _refuse(f"{root}canonical", record["canonical"], f"standing is {standing}")


def _check_candidates(record: LadderRecord, root: str) -> None:
    candidates = record["candidates"]
    if not candidates:
        _refuse(f"{root}candidates", [], "a ladder has at least one")
    orders, tags = [c["order"] for c in candidates], [c["tag"] for c in candidates]
    for index, (order, tag) in enumerate(zip(orders, tags, strict=True)):
        if index and order <= orders[index - 1]:
            where = f"{root}candidates[{index}].order"
            _refuse(where, order, f"the one before has {orders[index - 1]}")
        if tag in tags[:index]:
            _refuse(f"{root}candidates[{index}].tag", tag, "it is there twice")


def _check_folders(record: LadderRecord, root: str) -> None:
    """Every run has a folder of its own, beside the record."""
    seen: set[str] = set()
    for where, run in _runs(record):
        name = run.get("run_dir", run.get("label", ""))
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            _refuse(f"{root}{where}.run_dir", name, "it is the name of a folder beside the record")
        if name in seen:
            _refuse(f"{root}{where}.run_dir", name, "it is another run's too")
        seen.add(name)


def _check_stages(stages: Sequence[Mapping[str, Any]], where: str) -> None:
    """Stages are judged in their order, up to the first failure."""
    numbers = [stage["stage"] for stage in stages]
    if numbers not in ([], list(range(1, STAGES + 1))):
        _refuse(where, numbers, f"a judged run has the stages 1 to {STAGES}, in order")
    failed = False
    for index, stage in enumerate(stages):
        passed = stage["passed"]
        if failed != (passed is None):
            allowed = f"a stage before it {'failed' if failed else 'did not fail'}"
            _refuse(f"{where}[{index}].passed", passed, allowed)
        if passed is True and stage["reasons"]:
            _refuse(f"{where}[{index}].reasons", stage["reasons"], "the stage passed")
        if passed is False and not stage["reasons"]:
            _refuse(f"{where}[{index}].reasons", [], "the stage failed, which has a reason")
        failed = failed or passed is False


def _check_summaries(summaries: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Intervals and tables rest on counts: 0 <= k <= n, n >= 1, and the rate is k / n."""
    for start, summary in summaries.items():
        count, seeds, rate = (summary[x] for x in ("success_count", "seeds", "success_rate"))
        if not (0 <= count <= seeds and seeds > 0):
            _refuse(f"{where}.{start}", f"{count} of {seeds}", "it must be a count")
        if abs(rate - count / seeds) > 1e-9:
            _refuse(f"{where}.{start}.success_rate", rate, f"the count is {count} of {seeds}")


def _check_statuses(record: LadderRecord, root: str) -> None:
    adopted = False
    for index, candidate in enumerate(record["candidates"]):
        status, stages = candidate["status"], candidate["stages"]
        passed = [stage["passed"] for stage in stages]
        diverged = candidate.get("diverged") is not None
        where = f"{root}candidates[{index}].status"
        if not stages:
            expected: tuple[str, ...] = ("not_run", "running")
        elif adopted:
            expected = ("informative",)
        elif all(passed):
            expected = ("adopted",)
        elif "diverged" in candidate:
            expected = ("diverged",) if diverged else ("rejected",)
        else:
            expected = ("diverged", "rejected")
        if status not in expected:
            allowed = f"its stages say {passed or 'nothing yet'}: it is {' or '.join(expected)}"
            _refuse(where, status, allowed)
        adopted = adopted or status == "adopted"


def _check_verdict(record: LadderRecord, root: str) -> None:
    verdict, adopted = record["verdict"], record["adopted"]
    statuses = {c["tag"]: c["status"] for c in record["candidates"]}
    chosen = [tag for tag, status in statuses.items() if status == "adopted"]
    if verdict == "adopted" and chosen != [adopted]:
        allowed = f"the candidates with that status are {chosen}"
        _refuse(f"{root}adopted", adopted, allowed)
    if verdict != "adopted" and adopted is not None:
        _refuse(f"{root}adopted", adopted, f"the verdict is {verdict}")
    if verdict == "rejected" and not set(statuses.values()) <= {"rejected", "diverged"}:
        _refuse(f"{root}verdict", verdict, f"the candidates are {statuses}")
    if record["batch"] and verdict != "adopted":
        _refuse(f"{root}batch", f"{len(record['batch'])} runs", f"the verdict is {verdict}")


def _check_training_seeds(record: LadderRecord, root: str) -> None:
    """What other training seeds say has an interval per stage, and a verdict per seed."""
    told = record.get("training_seeds")
    if told is None:
        return
    where = f"{root}training_seeds"
    if not told["verdicts"]:
        _refuse(f"{where}.verdicts", {}, "it has a verdict per seed")
    if not told["seeds"]:
        _refuse(f"{where}.seeds", [], "it has the seeds, the one that votes first")
    for index, passes in enumerate(told["passes"]):
        if len(passes["interval"]) != 2:
            _refuse(f"{where}.passes[{index}].interval", passes["interval"], "it has two numbers")
