"""A ladder's record recomputed from the raw files of its runs."""

from pathlib import Path
from statistics import StatisticsError

from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import RECORD, LadderRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification import registration
from pathb_jax.verification.battery import check_battery
from pathb_jax.verification.candidates import (
    check_candidates,
    check_judgement,
    check_training_seeds,
)
from pathb_jax.verification.diagnosis import check_best_checkpoint, expected_diagnosis
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.recorded_runs import CLOSE, RecordedRuns


def check_ladder(
    folder: Path, record: LadderRecord, replay: bool, findings: Findings
) -> dict[str, str]:
    """Check a record against its runs, and the runs against themselves.

    Returns:
        What else was looked at.
    """
    said: dict[str, str] = {}
    protocol = registration.protocol_of(record, findings, said)
    if protocol is None:
        return said
    try:
        _check(RecordedRuns(folder, record, protocol, replay, findings), said)
    except _NO_PROTOCOL as error:
        what = f"it lacks what a protocol has ({type(error).__name__}: {error})"
        findings.problem(f"{RECORD}: protocol.text", what)
    return said


_NO_PROTOCOL = (AttributeError, KeyError, StopIteration, TypeError, StatisticsError)
"""What following a text raises that is no protocol's."""


def _check(runs: RecordedRuns, said: dict[str, str]) -> None:
    record, findings = runs.record, runs.findings
    passed_by_tag = check_candidates(runs)
    check_judgement(runs, said)
    _batch(runs)
    _baseline(runs)
    _batteries(runs)
    _sums(runs)
    check_training_seeds(runs, passed_by_tag)
    registration.check_departures(record, runs.protocol, runs.that_vote(), findings)
    said["registered before the first run"] = registration.check_dates(
        record, runs.followed, findings
    )
    said["program"] = registration.check_environment(record, runs.followed, findings)


def _batch(runs: RecordedRuns) -> None:
    record, findings = runs.record, runs.findings
    if not record.batch:
        return
    pinned = runs.protocol["batch"]
    tag = record.judgement.tag if record.judgement else record.adopted
    adopted = next((c for c in record.candidates if c.tag == tag), None)
    knobs = runs.protocol["hparams"] | (adopted.hparams if adopted else {})
    labels = [f"{item['label']}_pathb_{tag}" for item in pinned]
    findings.same(f"{RECORD}: batch", [entry.label for entry in record.batch], labels)
    for index, (entry, item) in enumerate(zip(record.batch, pinned, strict=False)):
        where = f"{RECORD}: batch[{index}]"
        for name in ("variant", "mixed_lambda"):
            if name in entry.model_fields_set:
                findings.same(f"{where}.{name}", getattr(entry, name), item.get(name))
        if entry.status not in ("finished", "diverged"):
            continue
        run = {k: v for k, v in runs.planned.items() if k != "mixed_lambda"}
        run["variant"] = item["variant"]
        if "mixed_lambda" in item:
            run["mixed_lambda"] = item["mixed_lambda"]
        runs.follow_unjudged(where, entry, run, knobs)


def _baseline(runs: RecordedRuns) -> None:
    """Check the default run, and what the record says that it did."""
    entry, findings, where = runs.record.baseline, runs.findings, f"{RECORD}: baseline"
    if entry is None or entry.status not in ("finished", "diverged"):
        return
    named = [item["tag"] for item in runs.protocol["candidates"] if item.get("baseline")]
    label = runs.planned["label"]
    tag = named[0] if named else "defaults"
    findings.same(f"{where}.run_dir", entry.run_dir, f"{label}_pathb_{tag}")
    for name in ("variant", "mixed_lambda"):
        findings.same(f"{where}.{name}", getattr(entry, name), runs.planned.get(name))
    if runs.record.own_baseline is not None:
        evidence = runs.follow_unjudged(where, entry, runs.planned, runs.protocol["hparams"])
    else:  # a candidate's run, which was followed there
        evidence = runs.same_as_followed(where, entry)
    if evidence is None:
        return
    files = RunFiles(runs.folder / entry.run_dir, entry.slug)
    where = f"{where}.diagnosis"
    try:
        expected = expected_diagnosis(
            runs.protocol, label, runs.planned["updates"], evidence, files
        )
        recorded = to_json(entry.diagnosis) if entry.diagnosis else None
        findings.same(where, recorded, expected, CLOSE)
        if expected["fall"]:
            kept = f"{where}.fall.best_checkpoint"
            check_best_checkpoint(kept, expected, files, findings)
    except (ArithmeticError, LookupError, ValueError) as error:
        what = f"it cannot be followed ({type(error).__name__}: {error})"
        findings.problem(where, what)


def _batteries(runs: RecordedRuns) -> None:
    """Check what the record says of the policies' intervention battery."""
    slugs = {entry.run_dir: run.manifest["slug"] for entry, run in runs.followed.values()}
    for index, recorded in enumerate(runs.record.batteries):
        slug = slugs.get(recorded.run_dir)
        if slug is None:
            where = f"{RECORD}: batteries[{index}].run_dir"
            runs.findings.problem(where, f"{recorded.run_dir} is no finished run of this ladder")
            continue
        files = RunFiles(runs.folder / recorded.run_dir, slug)
        check_battery(recorded, files, runs.replay, runs.planned["sensor_tier"], runs.findings)


def _sums(runs: RecordedRuns) -> None:
    """Check what the record adds up over its runs, and the seeds that training shares."""
    record, findings = runs.record, runs.findings
    hours = sum(entry.wall_seconds for _, entry in record.runs) / 3600
    findings.same(f"{RECORD}: compute.used_hours", record.compute.used_hours, hours, CLOSE)
    stated = None
    compute = runs.protocol.get("compute")
    if compute and runs.planned == runs.protocol["run"]:
        stated = compute["candidate_hours"][-1] + compute["batch_hours"]
    findings.same(f"{RECORD}: compute.planned_hours", record.compute.planned_hours, stated, CLOSE)
    overlap = registration.overlap_of(runs.protocol)
    findings.same(f"{RECORD}: seed_overlap", to_json(record.seed_overlap), overlap)
