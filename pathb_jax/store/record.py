"""The record of a ladder, ladder.json: its keys, reading, checking and writing.

The keys and their meaning are those of the specification's ladder page ("The record"). A record is
the plain JSON object, typed; keys that this version does not know are kept. It is written whole or
not at all.
"""

import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json

FORMAT: Literal["pathb-ladder-v1"] = "pathb-ladder-v1"

Standing = Literal["canonical", "registered", "exploratory"]
Status = Literal["adopted", "rejected", "diverged", "not_run", "running", "informative"]
Verdict = Literal["adopted", "rejected", "incomplete"]
Grade = Literal["confirmed", "falsified", "untested"]


class ProtocolRecord(TypedDict):
    """Which protocol; `text` is the whole file, so that a later change can be named."""

    name: str
    sha256: str
    file: str
    text: NotRequired[str]


class BackendRecord(TypedDict):
    """Where it was computed."""

    platform: str
    device_kind: str
    device_count: int
    versions: dict[str, str]


class SeedOverlap(TypedDict):
    """First and last training seed; seeds that each evaluation set shares with them."""

    training: list[int]
    sets: dict[str, int]


class PlanRecord(TypedDict):
    """The run that every candidate of this ladder is, deviations included."""

    tier: str
    updates: int
    seed: int
    env_steps: int


class SetSummary(TypedDict):
    """One evaluation set of a final checkpoint; `interval` is the exact 95 % one of the rate."""

    success_count: int
    seeds: int
    success_rate: float
    interval: list[float]
    mean_terminal_alignment: float | None
    mean_steps: float | None


class StageRecord(TypedDict):
    """One stage's receipt."""

    stage: int
    name: str
    passed: bool | None
    figures: dict[str, float | None]
    reasons: list[str]


class CandidateRecord(TypedDict):
    """One candidate. `run_dir` is relative to the record; times are in seconds."""

    order: int
    tag: str
    hparams: dict[str, float]
    status: Status
    run_dir: str
    stages: list[StageRecord]
    failure_mode: str | None
    env_steps: int
    wall_seconds: float
    env_steps_per_second: float
    slug: NotRequired[str]
    failure_figures: NotRequired[dict[str, float | None]]
    diverged: NotRequired[str | None]
    summaries: NotRequired[dict[str, SetSummary]]


class BatchRecord(TypedDict):
    """One run of the batch that follows an adoption."""

    label: str
    success_rate: float | None
    mean_terminal_alignment: float | None
    status: NotRequired[Literal["finished", "diverged", "not_run", "running"]]
    variant: NotRequired[str]
    mixed_lambda: NotRequired[float | None]
    run_dir: NotRequired[str]
    slug: NotRequired[str]
    failure_mode: NotRequired[str | None]
    failure_figures: NotRequired[dict[str, float | None]]
    diverged: NotRequired[str | None]
    summaries: NotRequired[dict[str, SetSummary]]
    env_steps: NotRequired[int]
    wall_seconds: NotRequired[float]
    env_steps_per_second: NotRequired[float]


class ComputeRecord(TypedDict):
    """Hours: stated before the run (None: never stated for this tier), and used so far."""

    planned_hours: float | None
    used_hours: float


class LadderRecord(TypedDict):
    """A ladder, from its first minute to its verdict."""

    format: Literal["pathb-ladder-v1"]
    protocol: ProtocolRecord
    standing: Standing
    canonical: bool
    deviations: list[str]
    backend: BackendRecord
    seed_overlap: SeedOverlap
    candidates: list[CandidateRecord]
    verdict: Verdict
    adopted: str | None
    predictions: dict[str, Grade]
    batch: list[BatchRecord]
    compute: ComputeRecord
    plan: NotRequired[PlanRecord]
    environment: NotRequired[dict[str, Any]]
    command: NotRequired[str]


def new_record(
    *,
    protocol: ProtocolRecord,
    standing: Standing,
    deviations: Sequence[str],
    backend: BackendRecord,
    seed_overlap: SeedOverlap,
    candidates: Sequence[CandidateRecord],
    predictions: Sequence[str],
    planned_hours: float | None,
    plan: PlanRecord,
    command: str,
) -> LadderRecord:
    """Return the record of a ladder that has not run yet: incomplete, everything untested."""
    return {
        "format": FORMAT,
        "protocol": protocol,
        "standing": standing,
        "canonical": standing == "canonical",
        "deviations": list(deviations),
        "backend": backend,
        "seed_overlap": seed_overlap,
        "candidates": list(candidates),
        "verdict": "incomplete",
        "adopted": None,
        "predictions": dict.fromkeys(predictions, "untested"),
        "batch": [],
        "compute": {"planned_hours": planned_hours, "used_hours": 0.0},
        "plan": plan,
        "command": command,
    }


def new_candidate(
    order: int, tag: str, hparams: dict[str, float], run_dir: str, slug: str
) -> CandidateRecord:
    """Return the record of a candidate that has not run; `hparams` holds its change alone."""
    return {
        "order": order,
        "tag": tag,
        "hparams": dict(hparams),
        "status": "not_run",
        "run_dir": run_dir,
        "stages": [],
        "failure_mode": None,
        "env_steps": 0,
        "wall_seconds": 0.0,
        "env_steps_per_second": 0.0,
        "slug": slug,
        "failure_figures": {},
        "diverged": None,
        "summaries": {},
    }


def new_batch_run(label: str, variant: str, mixed_lambda: float | None, slug: str) -> BatchRecord:
    """Return the record of a batch run that has not run; its folder is named by its label."""
    return {
        "label": label,
        "success_rate": None,
        "mean_terminal_alignment": None,
        "status": "not_run",
        "variant": variant,
        "mixed_lambda": mixed_lambda,
        "run_dir": label,
        "slug": slug,
        "failure_mode": None,
        "failure_figures": {},
        "diverged": None,
        "summaries": {},
        "env_steps": 0,
        "wall_seconds": 0.0,
        "env_steps_per_second": 0.0,
    }


def new_set_summary(summary: Mapping[str, Any], interval: tuple[float, float]) -> SetSummary:
    """Return what the record keeps of an evaluation summary, with its rate's exact interval."""
    return {
        "success_count": summary["success_count"],
        "seeds": summary["seeds"],
        "success_rate": summary["success_rate"],
        "interval": list(interval),
        "mean_terminal_alignment": summary["mean_terminal_alignment"],
        "mean_steps": summary["mean_steps"],
    }


def new_seed_overlap(
    training_start: int, training_seeds: int, set_starts: Sequence[int], set_seeds: int
) -> SeedOverlap:
    """Return how many seeds each evaluation set shares with the training starts."""
    training_end = training_start + training_seeds

    def shared(start: int) -> int:
        return max(0, min(training_end, start + set_seeds) - max(training_start, start))

    return {
        "training": [training_start, training_end - 1],
        "sets": {str(start): shared(start) for start in set_starts},
    }


def write_record(path: Path, record: LadderRecord) -> None:
    """Write the record whole or not at all. A figure that is not finite is written as null.

    Raises:
        InputError: the record does not have the keys and types of `LadderRecord`.
        OSError: it cannot be written; the file that was there is unchanged.
    """
    plain = _plain(record)
    _check(plain, LadderRecord, f"{path.name}: ")
    write_json(path, plain)


def read_record(path: Path) -> LadderRecord:
    """Read and check a record.

    Raises:
        InputError: there is none, or it is broken; the message names the key.
    """
    try:
        record = read_json(path)
    except OSError as error:
        raise InputError(str(path), error.strerror, "give a record that can be read") from None
    _check(record, LadderRecord, f"{path.name}: ")
    _check_counts(record, f"{path.name}: ")
    return typing.cast(LadderRecord, record)


def _check_counts(record: LadderRecord, root: str) -> None:
    """A set of k successes of n seeds has 0 <= k <= n and n >= 1: intervals rest on it."""
    runs: list[tuple[str, Mapping[str, SetSummary]]] = [
        (f"{root}candidates[{index}].summaries", candidate.get("summaries", {}))
        for index, candidate in enumerate(record["candidates"])
    ]
    runs += [
        (f"{root}batch[{index}].summaries", run.get("summaries", {}))
        for index, run in enumerate(record["batch"])
    ]
    for where, summaries in runs:
        for start, summary in summaries.items():
            count, seeds = summary["success_count"], summary["seeds"]
            found = f"{count} of {seeds}"
            _require(0 <= count <= seeds and seeds > 0, f"{where}.{start}", found, "a count")


def _plain(value: Any) -> Any:
    """Return `value` as JSON types: NumPy scalars unwrapped, non-finite numbers as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(value: Any, kind: Any, where: str) -> None:
    """Compare a JSON value with an annotation; raise `InputError` where they differ."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return
    if typing.is_typeddict(kind):
        _check_object(value, kind, where)
    elif origin is list:
        _require(isinstance(value, list), where, value, "an array")
        for index, item in enumerate(value):
            _check(item, parts[0], f"{where}[{index}]")
    elif origin is dict:
        _require(isinstance(value, dict), where, value, "an object")
        for key, item in value.items():
            _check(item, parts[1], _at(where, key))
    elif origin is Literal:
        _require(isinstance(value, str) and value in parts, where, value, f"one of {list(parts)}")
    elif origin is types.UnionType:
        if value is not None:
            _check(value, parts[0], where)
    else:
        accepted = (int, float) if kind is float else (kind,)
        is_bool = isinstance(value, bool) and kind is not bool
        _require(isinstance(value, accepted) and not is_bool, where, value, f"a {kind.__name__}")


def _check_object(value: Any, kind: Any, where: str) -> None:
    _require(isinstance(value, dict), where, value, "an object")
    for key, inner in typing.get_type_hints(kind).items():
        if key in value:
            _check(value[key], inner, _at(where, key))
        else:
            _require(key not in kind.__required_keys__, _at(where, key), "(missing)", "there")


def _require(condition: bool, where: str, value: object, what: str) -> None:
    if not condition:
        shown = value if len(repr(value)) <= 60 else repr(value)[:60] + "..."
        raise InputError(where.removesuffix(": "), shown, f"it must be {what}")


def _at(where: str, key: str) -> str:
    return where + key if where.endswith(": ") else f"{where}.{key}"
