"""The ladder: candidates one after another, three stages each, the first pass adopted.

Drives runs and writes the record; every decision is made in `acceptance` and `failure_modes` from
numbers the runs left in their files, so that taking the ladder up again gives the same record.
Source: specification, ladder page.
"""

from typing import Any

from pathb_jax import backend, run
from pathb_jax.errors import InputError
from pathb_jax.ladder.acceptance import grade_predictions, judge, passed_all
from pathb_jax.ladder.failure_modes import classify
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import parse_protocol, protocol_differences, standing
from pathb_jax.ladder.schema import Candidate
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.outcome import RunOutcome, run_files
from pathb_jax.store.lock import locked
from pathb_jax.store.record import (
    LadderRecord,
    new_batch_run,
    new_candidate,
    new_record,
    new_seed_overlap,
    new_set_summary,
    read_record,
    write_record,
)

ENVIRONMENT = "environment: "
"""Deviations that begin so were found at a resumption; the others were planned."""


def open_record(plan: LadderPlan) -> LadderRecord:
    """Read the record of this ladder if there is one, else make a new one; write nothing.

    Raises:
        InputError: the folder holds a ladder of another protocol or another plan, or a broken
            record.
    """
    if not plan.record_path.exists():
        return _new_record(plan)
    record = read_record(plan.record_path)
    recorded = record["protocol"]
    if recorded["sha256"] != plan.protocol.sha256:
        changes = "the recorded text is missing"
        if "text" in recorded:
            old = parse_protocol(recorded["text"].encode(), recorded["file"])
            changes = "; ".join(protocol_differences(old, plan.protocol))
        raise InputError(
            "--protocol",
            plan.protocol.file,
            f"the ladder in {plan.out} began under another protocol ({changes}); "
            "restore that file or choose another --out",
        )
    planned = [item for item in record["deviations"] if not item.startswith(ENVIRONMENT)]
    if planned != plan.deviations:
        before = ", ".join(planned) or "none"
        raise InputError(
            "--out",
            str(plan.out),
            f"the ladder there began with other departures from the protocol ({before}); "
            "give the same flags, or choose another --out, or --fresh",
        )
    if not is_finished(record, plan.skip_batch):
        _note_environment(plan, record)
    return record


def _note_environment(plan: LadderPlan, record: LadderRecord) -> None:
    """Make a changed environment a recorded deviation, if the plan accepts one.

    Raises:
        InputError: it does not.
    """
    now = backend.environment()
    changes = backend.environment_differences(record.get("environment", now), now)
    if not changes:
        return
    if not plan.accept_environment_change:
        raise InputError(
            "--out",
            str(plan.out),
            f"the ladder there began in another environment ({'; '.join(changes)}), where its "
            "bits may differ; restore that, or give --accept-environment-change, or --fresh",
        )
    record["deviations"] += [f"{ENVIRONMENT}{change}" for change in changes]
    record["standing"], record["canonical"] = "exploratory", False
    record["environment"] = now


def is_finished(record: LadderRecord, skip_batch: bool) -> bool:
    """Say whether nothing is left to train."""
    if record["verdict"] == "incomplete":
        return False
    batch_open = any(entry.get("status") in ("not_run", "running") for entry in record["batch"])
    return skip_batch or not batch_open


def run_ladder(plan: LadderPlan, observer: run.Observer | None = None) -> LadderRecord:
    """Run the ladder to its verdict, or take it up where it was stopped.

    Args:
        plan: what to run.
        observer: told about the progress of each run.

    Returns:
        The finished record; it is written after every step.

    Raises:
        InputError: as `open_record`, or a run's folder holds something else.
    """
    observer = observer or run.Observer()
    if is_finished(record := open_record(plan), plan.skip_batch):
        return record
    with locked(plan.out):
        return _run_locked(plan, open_record(plan), observer)


def _run_locked(plan: LadderPlan, record: LadderRecord, observer: run.Observer) -> LadderRecord:
    adopted = _climb(plan, record, observer)
    if adopted is None:
        record["verdict"] = "rejected"
        write_record(plan.record_path, record)
        return record
    record["verdict"], record["adopted"] = "adopted", adopted.tag
    if not record["batch"]:
        for batch_run in plan.protocol.batch:
            config = plan.batch_run(batch_run, adopted)
            slug = run_files(config).slug
            label = config.output.run_label
            record["batch"].append(
                new_batch_run(label, batch_run.variant, batch_run.mixed_lambda, slug)
            )
    write_record(plan.record_path, record)
    if not plan.skip_batch:
        _run_batch(plan, record, adopted, observer)
    return record


def _new_record(plan: LadderPlan) -> LadderRecord:
    protocol, planned = plan.protocol, plan.run
    candidates = []
    for candidate in protocol.candidates:
        files = run_files(plan.candidate_run(candidate))
        candidates.append(
            new_candidate(
                candidate.order, candidate.tag, dict(candidate.change), files.out.name, files.slug
            )
        )
    hours = protocol.compute.candidate_hours[-1] + protocol.compute.batch_hours
    record = new_record(
        protocol={
            "name": protocol.name,
            "sha256": protocol.sha256,
            "file": protocol.file,
            "text": protocol.text,
        },
        standing=standing(protocol, plan.deviations),
        deviations=plan.deviations,
        backend=backend.device_report(),  # type: ignore[arg-type]  # a plain dict of its keys
        seed_overlap=new_seed_overlap(
            planned.seed_start, planned.batch_envs, protocol.seed_sets, protocol.evaluation.seeds
        ),
        candidates=candidates,
        predictions=[prediction.id for prediction in protocol.predictions],
        planned_hours=hours if planned == protocol.run else None,
        plan={
            "tier": planned.tier,
            "updates": planned.updates,
            "seed": planned.seed,
            "env_steps": planned.env_steps,
        },
        command=plan.command,
    )
    record["environment"] = backend.environment()
    return record


def _climb(plan: LadderPlan, record: LadderRecord, observer: run.Observer) -> Candidate | None:
    """Train and judge candidates in order; return the first that passes all stages."""
    protocol = plan.protocol
    for candidate, entry in zip(protocol.candidates, record["candidates"], strict=True):
        if entry["status"] == "adopted":
            return candidate
        if entry["status"] in ("rejected", "diverged"):
            continue
        entry["status"] = "running"
        write_record(plan.record_path, record)
        outcome = run.train(plan.candidate_run(candidate), observer)
        diverged = _diverged_text(outcome)
        receipts = judge(
            protocol.stages, _counts(outcome), outcome.history, diverged=diverged or ""
        )
        entry["stages"] = [receipt.to_dict() for receipt in receipts]  # type: ignore[misc]
        _fill(plan, entry, outcome)
        passed = passed_all(receipts)
        entry["status"] = "diverged" if diverged else "adopted" if passed else "rejected"
        record["predictions"] = grade_predictions(
            protocol.predictions,
            {
                item["tag"]: [stage["passed"] for stage in item["stages"]]
                for item in record["candidates"]
                if item["stages"]
            },
        )
        _count_hours(record)
        write_record(plan.record_path, record)
        if passed:
            return candidate
    return None


def _run_batch(
    plan: LadderPlan, record: LadderRecord, adopted: Candidate, observer: run.Observer
) -> None:
    """Train what follows an adoption; nothing here changes the verdict."""
    for batch_run, entry in zip(plan.protocol.batch, record["batch"], strict=True):
        entry["status"] = "running"
        write_record(plan.record_path, record)
        outcome = run.train(plan.batch_run(batch_run, adopted), observer)
        _fill(plan, entry, outcome)
        first = outcome.summaries.get(plan.protocol.stages.success_floor.seed_start, {})
        entry["success_rate"] = first.get("success_rate")
        entry["mean_terminal_alignment"] = first.get("mean_terminal_alignment")
        entry["status"] = "diverged" if outcome.diverged else "finished"
        _count_hours(record)
        write_record(plan.record_path, record)


def _fill(plan: LadderPlan, entry: Any, outcome: RunOutcome) -> None:
    """Put a run's figures into its candidate's or batch run's entry of the record."""
    start = plan.protocol.stages.success_floor.seed_start
    mode = classify(
        plan.protocol.failure_modes,
        outcome.history,
        updates=plan.run.updates,
        success=_counts(outcome).get(start),
        alignment=outcome.summaries.get(start, {}).get("mean_terminal_alignment"),
        half_alignment=_half_alignment(outcome, start, plan.run.updates),
        log_std_init=plan.run.log_std_init,
        diverged=_diverged_text(outcome) or "",
    )
    seconds = outcome.train_seconds
    entry |= {
        "failure_mode": mode.name,
        "failure_figures": mode.figures,
        "diverged": _diverged_text(outcome),
        "env_steps": outcome.env_steps,
        "wall_seconds": seconds,
        "env_steps_per_second": outcome.env_steps / seconds if seconds else 0.0,
        "summaries": {
            str(set_start): new_set_summary(
                summary, clopper_pearson(summary["success_count"], summary["seeds"])
            )
            for set_start, summary in outcome.summaries.items()
        },
    }


def _counts(outcome: RunOutcome) -> dict[int, tuple[int, int]]:
    return {
        start: (summary["success_count"], summary["seeds"])
        for start, summary in outcome.summaries.items()
    }


def _half_alignment(outcome: RunOutcome, seed_start: int, updates: int) -> float | None:
    """Alignment of the in-run evaluation at half the run, which every run has."""
    rows = outcome.evaluations
    at_half = (rows["update"] == updates // 2) & (rows["seed_start"] == seed_start)
    values = rows["mean_terminal_alignment"][at_half]
    return float(values[0]) if len(values) else None


def _diverged_text(outcome: RunOutcome) -> str | None:
    if outcome.diverged is None:
        return None
    return f"{outcome.diverged['quantity']} not finite at update {outcome.diverged['update']}"


def _count_hours(record: LadderRecord) -> None:
    seconds = [entry["wall_seconds"] for entry in record["candidates"]]
    seconds += [entry.get("wall_seconds", 0.0) for entry in record["batch"]]
    record["compute"]["used_hours"] = sum(seconds) / 3600
