"""What finished runs say, put into the record: receipts, statuses, failure modes, sums.

Every decision is made in `acceptance`, `failure_modes` and `training_seeds` from numbers that the
runs left in their files.
"""

from collections.abc import Mapping
from typing import Any

from pathb_jax.ladder.acceptance import grade_predictions, judge, passed_all
from pathb_jax.ladder.evidence import trained_by
from pathb_jax.ladder.failure_modes import classify
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.ladder.training_seeds import count_passes, verdict_of
from pathb_jax.runs.outcome import RunOutcome
from pathb_jax.store.record_schema import (
    BatchRecord,
    CandidateRecord,
    LadderRecord,
    new_other_seed,
    new_set_summary,
)


def judge_in_order(
    plan: LadderPlan, record: LadderRecord, outcomes: Mapping[str, RunOutcome]
) -> None:
    """Judge every candidate that has trained and has none before it that is still open.

    After the adopted one the others are informative: no prediction is graded by them.
    """
    for entry in record["candidates"]:
        adopted = any(item["status"] == "adopted" for item in record["candidates"])
        if entry["stages"]:
            continue
        if entry["tag"] not in outcomes:
            return
        outcome = outcomes[entry["tag"]]
        passed = _grade(plan, record, entry, outcome)
        if adopted:
            entry["status"] = "informative"
        elif outcome.diverged is not None:
            entry["status"] = "diverged"
        else:
            entry["status"] = "adopted" if passed else "rejected"
        if not adopted:
            record["predictions"] = grade_predictions(
                plan.protocol.predictions,
                {
                    item["tag"]: [stage["passed"] for stage in item["stages"]]
                    for item in record["candidates"]
                    if item["stages"]
                },
            )


def _grade(plan: LadderPlan, record: LadderRecord, entry: Any, outcome: RunOutcome) -> bool:
    """Put receipts and figures of a run into its entry; return whether it passed all stages."""
    receipts = judge(
        plan.protocol.stages,
        _counts(outcome),
        outcome.history,
        diverged=_diverged_text(outcome) or "",
    )
    entry["stages"] = [receipt.to_dict() for receipt in receipts]
    _fill(plan, record, entry, outcome)
    return passed_all(receipts)


def add_other_seed(
    plan: LadderPlan, record: LadderRecord, entry: CandidateRecord, seed: int, outcome: RunOutcome
) -> None:
    """Add a run that does not vote to its candidate's entry, in the order of seeds."""
    added = new_other_seed(seed, outcome.files.out.name, outcome.files.slug)
    _grade(plan, record, added, outcome)
    added["status"] = "diverged" if outcome.diverged else "finished"
    others = [item for item in entry.get("other_seeds", []) if item["seed"] != seed]
    entry["other_seeds"] = sorted([*others, added], key=lambda item: item["seed"])


def fill_batch_run(
    plan: LadderPlan, record: LadderRecord, entry: BatchRecord, outcome: RunOutcome
) -> None:
    """Put a batch run's figures into its entry."""
    _fill(plan, record, entry, outcome)
    first = outcome.summaries.get(plan.protocol.stages.success_floor.seed_start, {})
    entry["success_rate"] = first.get("success_rate")
    entry["mean_terminal_alignment"] = first.get("mean_terminal_alignment")
    entry["status"] = "diverged" if outcome.diverged else "finished"


def count_seeds(plan: LadderPlan, record: LadderRecord) -> None:
    """Say what all training seeds say; nothing of this votes."""
    if plan.train_seeds == 1:
        return
    receipts: dict[str, dict[int, Any]] = {
        entry["tag"]: {plan.run.seed: entry["stages"]}
        | {item["seed"]: item["stages"] for item in entry.get("other_seeds", [])}
        for entry in record["candidates"]
    }
    record["training_seeds"] = {
        "seeds": plan.seeds,
        "passes": [
            {**passes._asdict(), "interval": list(passes.interval)}  # type: ignore[typeddict-item]
            for passes in count_passes(receipts)
        ],
        "verdicts": {str(seed): verdict_of(receipts, seed) for seed in plan.seeds},
    }


def _fill(plan: LadderPlan, record: LadderRecord, entry: Any, outcome: RunOutcome) -> None:
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
        "trained": trained_by(record, outcome),
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
    return f"{outcome.diverged.quantity} not finite at update {outcome.diverged.update}"


def count_hours(record: LadderRecord) -> None:
    """Add up the training time of all runs; side by side they took less of a day."""
    seconds = [entry["wall_seconds"] for entry in record["candidates"]]
    seconds += [
        item["wall_seconds"] for c in record["candidates"] for item in c.get("other_seeds", [])
    ]
    seconds += [entry.get("wall_seconds", 0.0) for entry in record["batch"]]
    record["compute"]["used_hours"] = sum(seconds) / 3600
