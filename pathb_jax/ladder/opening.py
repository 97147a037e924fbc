"""A ladder's record at the beginning: made anew, or taken up and checked against the plan."""

import socket
from typing import Any

from pathb_jax.errors import InputError
from pathb_jax.ladder.evidence import (
    ENVIRONMENT,
    add_departures,
    baseline_is_done,
    check_runs,
    is_taken_up,
)
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import parse_protocol, protocol_differences, standing
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.ladder.schema import Candidate
from pathb_jax.runs.outcome import run_files
from pathb_jax.store.record_schema import (
    ADOPTION,
    FORMAT,
    ComputeRecord,
    LadderRecord,
    PlanRecord,
    ProtocolRecord,
    SeedOverlap,
)
from pathb_jax.store.run_records import NOTHING_YET, CandidateRecord
from pathb_jax.system import provenance


def open_record(plan: LadderPlan) -> LadderRecord:
    """Read the record of this ladder if there is one, else make a new one; write nothing.

    Raises:
        InputError: the folder holds a ladder of another protocol or another plan, or a broken
            record; or it, or a run there, comes from another environment, and the plan does not
            accept that.
    """
    record = _recorded(plan) if plan.record_path.exists() else _new_record(plan)
    if not is_finished(plan, record):
        check_environment(plan, record)
    return record


def check_environment(plan: LadderPlan, record: LadderRecord) -> None:
    """Hold what is going to train, and the runs that are there, against the record's environment.

    Raises:
        InputError: as `open_record`.
    """
    _note_environment(plan, record)
    add_departures(record, provenance.departures(record.environment))
    check_runs(plan, record)


def _recorded(plan: LadderPlan) -> LadderRecord:
    """Read the record that is there, if it is of this ladder in this environment."""
    record = read_ladder(plan.record_path)
    recorded = record.protocol
    if recorded.sha256 != plan.protocol.sha256:
        changes = "the recorded text is missing"
        if recorded.text:
            old = parse_protocol(recorded.text.encode(), recorded.file)
            changes = "; ".join(protocol_differences(old, plan.protocol))
        raise InputError(
            "--protocol",
            plan.protocol.file,
            f"the ladder in {plan.out} began under another protocol ({changes}); "
            "restore that file or choose another --out",
        )
    added = (ENVIRONMENT, ADOPTION)
    planned = [item for item in record.deviations if not item.startswith(added)]
    if planned != plan.deviations:
        before = ", ".join(planned) or "none"
        raise InputError(
            "--out",
            str(plan.out),
            f"the ladder there began with other departures from the protocol ({before}); "
            "give the same flags, or choose another --out, or --fresh",
        )
    return record


def _note_environment(plan: LadderPlan, record: LadderRecord) -> None:
    """Make a changed environment a recorded deviation, if the plan accepts one.

    Raises:
        InputError: it does not.
    """
    now = _environment(plan)
    changes = provenance.environment_differences(record.environment or now, now)
    if changes and not plan.accept_environment_change:
        raise InputError(
            "--out",
            str(plan.out),
            f"the ladder there began in another environment ({'; '.join(changes)}), where its "
            "bits may differ; restore that, or give --accept-environment-change, or --fresh",
        )
    add_departures(record, changes)
    record.environment = now


def is_finished(plan: LadderPlan, record: LadderRecord) -> bool:
    """Say whether nothing is left to train."""
    # Killed before its last lines; older records have no such field.
    is_open = "ended" in record.model_fields_set and record.ended is None
    if record.verdict == "incomplete" or is_open:
        return False
    if plan.with_baseline and not baseline_is_done(record):
        return False
    to_train = [
        entry
        for entry in record.candidates
        if plan.speculative or entry.status in ("adopted", "rejected", "diverged")
    ]
    batch_open = any(entry.status in ("not_run", "running") for entry in record.batch)
    return all(is_done(plan, entry) for entry in to_train) and (plan.skip_batch or not batch_open)


def is_done(plan: LadderPlan, entry: CandidateRecord) -> bool:
    """Say whether a candidate is judged, and the runs of its other seeds are there."""
    return all(is_taken_up(plan, entry, seed) for seed in plan.seeds)


def _new_record(plan: LadderPlan) -> LadderRecord:
    protocol, planned = plan.protocol, plan.run
    environment = _environment(plan)
    stated = protocol.compute if planned == protocol.run else None
    worth = standing(protocol, plan.deviations)
    return LadderRecord(
        format=FORMAT,
        protocol=ProtocolRecord(
            name=protocol.name, sha256=protocol.sha256, file=protocol.file, text=protocol.text
        ),
        standing=worth,
        canonical=worth == "canonical",
        deviations=plan.deviations,
        backend=environment["backend"],
        seed_overlap=SeedOverlap.of(
            planned.seed_start, planned.batch_envs, protocol.seed_sets, protocol.evaluation.seeds
        ),
        candidates=[_new_candidate(plan, candidate) for candidate in protocol.candidates],
        verdict="incomplete",
        adopted=None,
        predictions={prediction.id: "untested" for prediction in protocol.predictions},
        batch=[],
        compute=ComputeRecord(
            planned_hours=stated.candidate_hours[-1] + stated.batch_hours if stated else None,
            used_hours=0.0,
        ),
        plan=PlanRecord(
            tier=planned.tier,
            updates=planned.updates,
            seed=planned.seed,
            env_steps=planned.env_steps,
        ),
        command=plan.command,
        environment=environment,
        started=provenance.utc_now(),
        ended=None,
        host=socket.gethostname(),
    )


def _new_candidate(plan: LadderPlan, candidate: Candidate) -> CandidateRecord:
    files = run_files(plan.candidate_run(candidate))
    return CandidateRecord(
        order=candidate.order,
        tag=candidate.tag,
        hparams=candidate.change,
        status="not_run",
        run_dir=files.out.name,
        slug=files.slug,
        stages=[],
        **NOTHING_YET,
    )


def _environment(plan: LadderPlan) -> dict[str, Any]:
    """Return the environment of whatever trains."""
    return provenance.environment() if plan.cluster is None else plan.cluster.environment
