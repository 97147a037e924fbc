"""What finished runs say, put into the record: receipts, statuses, failure modes, sums.

Every decision is made in `acceptance`, `failure_modes` and `training_seeds` from numbers that the
runs left in their files.
"""

from collections.abc import Mapping
from typing import Any

from pathb_jax.ladder.acceptance import cleared, judge, passed_all
from pathb_jax.ladder.diagnosis import diagnose, segment_ends
from pathb_jax.ladder.evidence import trained_by
from pathb_jax.ladder.failure_modes import alignment_at, classify
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.predictions import grade_predictions
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.ladder.training_seeds import count_passes, verdict_of
from pathb_jax.runs.outcome import RunOutcome, mean_returns
from pathb_jax.store.models import parse
from pathb_jax.store.record_schema import LadderRecord, TrainingSeeds
from pathb_jax.store.run_records import (
    NOTHING_YET,
    BaselineRecord,
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SeedRecord,
    SetSummary,
    StageRecord,
    VotesRecord,
)


def judge_in_order(
    plan: LadderPlan, record: LadderRecord, outcomes: Mapping[str, RunOutcome]
) -> None:
    """Judge every candidate whose voting seeds have trained and that has none open before it.

    After the adopted one the others are informative: no prediction is graded by them.
    """
    for entry in record.candidates:
        adopted = any(item.status == "adopted" for item in record.candidates)
        if entry.stages:
            continue
        others = {other.seed for other in entry.other_seeds}
        if entry.tag not in outcomes or not others >= set(plan.voting_seeds[1:]):
            return
        outcome = outcomes[entry.tag]
        entry.stages = _judged(plan, outcome)
        _fill(plan, record, entry, outcome)
        passes = _enough_pass(plan, entry)
        if adopted:
            entry.status = "informative"
        elif all(run.diverged is not None for run in entry.ballots(plan.voting_seeds).values()):
            entry.status = "diverged"
        else:
            entry.status = "adopted" if passes else "rejected"
        if not adopted:
            record.predictions = grade_predictions(
                plan.protocol.predictions,
                {
                    item.tag: cleared(_ballot(plan, item), plan.protocol.voting.pass_at_least)
                    for item in record.candidates
                    if item.stages
                },
            )


def _ballot(plan: LadderPlan, entry: CandidateRecord) -> list[list[StageRecord]]:
    return [run.stages for run in entry.ballots(plan.voting_seeds).values()]


def _enough_pass(plan: LadderPlan, entry: CandidateRecord) -> bool:
    """Say whether enough training seeds pass all stages; record the votes if several vote."""
    runs = entry.ballots(plan.voting_seeds)
    passed = [seed for seed, run in runs.items() if passed_all(run.stages)]
    needed = plan.protocol.voting.pass_at_least
    if len(plan.voting_seeds) > 1:
        entry.votes = VotesRecord(seeds=plan.voting_seeds, passed=passed, needed=needed)
    return len(passed) >= needed


def _judged(plan: LadderPlan, outcome: RunOutcome) -> list[StageRecord]:
    return judge(
        plan.protocol.stages,
        _counts(outcome),
        outcome.history,
        mean_returns=mean_returns(outcome.summaries),
        diverged=_diverged_text(outcome) or "",
    )


def add_other_seed(
    plan: LadderPlan, record: LadderRecord, entry: CandidateRecord, seed: int, outcome: RunOutcome
) -> None:
    """Add a run of another training seed to its candidate's entry, in the order of seeds."""
    added = SeedRecord(
        seed=seed,
        status="diverged" if outcome.diverged else "finished",
        run_dir=outcome.files.out.name,
        slug=outcome.files.slug,
        stages=_judged(plan, outcome),
        **NOTHING_YET,
    )
    _fill(plan, record, added, outcome)
    others = [item for item in entry.other_seeds if item.seed != seed]
    entry.other_seeds = sorted([*others, added], key=lambda item: item.seed)


def fill_batch_run(
    plan: LadderPlan, record: LadderRecord, entry: BatchRecord, outcome: RunOutcome
) -> None:
    """Put a batch run's figures into its entry."""
    _fill(plan, record, entry, outcome)
    first = entry.summaries.get(str(plan.protocol.stages.success_floor.seed_start))
    entry.success_rate = first.success_rate if first else None
    entry.mean_terminal_alignment = first.mean_terminal_alignment if first else None
    entry.status = "diverged" if outcome.diverged else "finished"


def fill_baseline(
    plan: LadderPlan, record: LadderRecord, entry: BaselineRecord, outcome: RunOutcome
) -> None:
    """Put the default run's figures into its entry, and what it did."""
    fill_batch_run(plan, record, entry, outcome)
    ends = segment_ends(plan.run.updates)
    entry.diagnosis = diagnose([outcome], plan.run.label, plan.protocol, ends)


def count_seeds(plan: LadderPlan, record: LadderRecord) -> None:
    """Say what each training seed would have said by itself; nothing of this votes.

    Seeds count that an earlier command trained, too.
    """
    trained = [other.seed for entry in record.candidates for other in entry.other_seeds]
    seeds = [*range(plan.run.seed, max([*plan.seeds, *trained]) + 1)]
    if len(seeds) == 1:
        return
    receipts = {
        entry.tag: {plan.run.seed: entry.stages}
        | {other.seed: other.stages for other in entry.other_seeds}
        for entry in record.candidates
    }
    record.training_seeds = TrainingSeeds(
        seeds=seeds,
        passes=count_passes(receipts),
        verdicts={str(seed): verdict_of(receipts, seed) for seed in seeds},
    )


def _fill(plan: LadderPlan, record: LadderRecord, entry: RunRecord, outcome: RunOutcome) -> None:
    """Put a run's figures into its entry of the record."""
    start = plan.protocol.stages.success_floor.seed_start
    mode = classify(
        plan.protocol.failure_modes,
        outcome.history,
        updates=plan.run.updates,
        success=_counts(outcome).get(start),
        alignment=outcome.summaries.get(start, {}).get("mean_terminal_alignment"),
        half_alignment=alignment_at(plan.run.updates // 2, outcome.evaluations, start),
        log_std_init=outcome.manifest.config.schedule["log_std_init"],
        diverged=_diverged_text(outcome) or "",
    )
    seconds = outcome.train_seconds
    entry.failure_mode, entry.failure_figures = mode.name, mode.figures
    entry.diverged = _diverged_text(outcome)
    entry.env_steps, entry.wall_seconds = outcome.env_steps, seconds
    entry.env_steps_per_second = outcome.env_steps / seconds if seconds else 0.0
    entry.summaries = {
        str(set_start): _summary(summary) for set_start, summary in outcome.summaries.items()
    }
    entry.trained = trained_by(record, outcome)


def _summary(summary: Mapping[str, Any]) -> SetSummary:
    """Return what the record keeps of an evaluation summary, with its rate's exact interval."""
    interval = clopper_pearson(summary["success_count"], summary["seeds"])
    own = {"mean_terminal_alignment": None, "interval": [*interval]}
    kept = {name: summary[name] for name in SetSummary.model_fields if name in summary}
    return parse(SetSummary, own | kept, "evaluation summary: ")


def _counts(outcome: RunOutcome) -> dict[int, tuple[int, int]]:
    return {
        start: (summary["success_count"], summary["seeds"])
        for start, summary in outcome.summaries.items()
    }


def _diverged_text(outcome: RunOutcome) -> str | None:
    return outcome.diverged.text if outcome.diverged else None


def count_hours(record: LadderRecord) -> None:
    """Add up the training time of all runs; side by side they took less of a day."""
    record.compute.used_hours = sum(run.wall_seconds for _, run in record.runs) / 3600
