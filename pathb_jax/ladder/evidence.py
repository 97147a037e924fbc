"""Whether a run may count: what trained it has to be what the ladder runs in, or it is listed.

A run's folder can be older than the ladder's record, or have been finished by another command. What
its manifest says of program, versions, settings and device is compared like the ladder's own.
"""

from pathb_jax.errors import InputError
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.runs.identity import find_manifest
from pathb_jax.runs.manifest import RunManifest
from pathb_jax.runs.outcome import RunOutcome, run_files
from pathb_jax.store.models import parse, to_json
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import CandidateRecord, TrainedRecord
from pathb_jax.system import provenance

ENVIRONMENT = "environment: "
"""Deviations that begin so are the environment's; the others were planned."""


def add_departures(record: LadderRecord, departures: list[str]) -> None:
    """Add what the environment departs in to the record's deviations, each once."""
    lines = [f"{ENVIRONMENT}{line}" for line in departures]
    record.deviations += [line for line in lines if line not in record.deviations]
    if lines:
        record.standing, record.canonical = "exploratory", False


def check_runs(plan: LadderPlan, record: LadderRecord) -> None:
    """Look at every run that is there and may be taken up, before anything trains.

    Raises:
        InputError: one comes from another environment, and the plan does not accept that; or its
            folder holds something else.
    """
    configs = [
        plan.candidate_run(candidate, seed)
        for candidate, entry in zip(plan.protocol.candidates, record.candidates, strict=True)
        for seed in plan.seeds
        if not is_taken_up(plan, entry, seed)
    ]
    chosen = [c for c in plan.protocol.candidates if c.tag == record.chosen]
    if not plan.skip_batch:
        configs += [plan.batch_run(item, tag) for tag in chosen for item in plan.protocol.batch]
    if plan.with_baseline and not baseline_is_done(record):
        configs.append(plan.candidate_run(plan.baseline))
    for config in configs:
        files = run_files(config)
        if (manifest := find_manifest(config, files)) is not None:
            _unrecorded(plan, record, files.out.name, manifest)


def is_taken_up(plan: LadderPlan, entry: CandidateRecord, seed: int) -> bool:
    """Say whether a candidate's run is judged in the record."""
    if seed == plan.run.seed:
        return bool(entry.stages)
    return any(item.seed == seed for item in entry.other_seeds)


def baseline_is_done(record: LadderRecord) -> bool:
    """Say whether the record tells what the default run did."""
    return record.baseline is not None and record.baseline.diagnosis is not None


def take_up(plan: LadderPlan, record: LadderRecord, outcome: RunOutcome) -> None:
    """Make it a recorded deviation if a run that counts comes from another environment.

    Raises:
        InputError: it does, and the plan does not accept that.
    """
    name = outcome.files.out.name
    changes = _unrecorded(plan, record, name, outcome.manifest)
    add_departures(record, [f"{name}: {change}" for change in changes])


def _unrecorded(
    plan: LadderPlan, record: LadderRecord, name: str, manifest: RunManifest
) -> list[str]:
    """List how a run's environment differs that no deviation of the record says yet."""
    now = record.environment
    changes = provenance.environment_differences(manifest.environment, now)
    for resumption in manifest.environment_changes:
        changes += resumption.changes
    known = record.deviations
    new = [
        change
        for change in dict.fromkeys(changes)
        if f"{ENVIRONMENT}{change}" not in known and f"{ENVIRONMENT}{name}: {change}" not in known
    ]
    if new and not plan.accept_environment_change:
        raise InputError(
            "--out",
            str(plan.out),
            f"run {name} there was trained in another environment ({'; '.join(new)}); restore "
            "that, or give --accept-environment-change, or --fresh",
        )
    return new


def trained_by(record: LadderRecord, outcome: RunOutcome) -> TrainedRecord:
    """Return what trained a run, when and where."""
    manifest = outcome.manifest
    source = manifest.source
    started = manifest.started
    trained = {
        "started": started,
        "ended": manifest.ended,
        "host": manifest.host,
        "commit": source.get("commit"),
        "dirty": source.get("dirty"),
        "program": source.get("program"),
        "environment_changes": [to_json(change) for change in manifest.environment_changes],
        "before_ladder": bool(started and record.started and started < record.started),
    }
    return parse(TrainedRecord, trained, f"{outcome.files.manifest.name}: ")
