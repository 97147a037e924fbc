"""What the ladder's command prints: its plan, its verdict, and what does not hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pathb_jax.display.terminal import Terminal, duration, notice
from pathb_jax.ladder.statistics import clopper_pearson

if TYPE_CHECKING:
    from pathb_jax.ladder.estimate import Estimate
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.store.record_schema import LadderRecord
    from pathb_jax.store.run_records import CandidateRecord, StageRecord


MARKS = {True: "pass", False: "fail", None: "-"}


def success_cells(count: tuple[int, int] | None) -> tuple[str, str]:
    """Return a set's (successes, seeds) and its exact 95 % interval as cells of a table."""
    if count is None:
        return "-", "-"
    low, high = clopper_pearson(*count)
    return f"{count[0]}/{count[1]}", f"[{low:.3f}, {high:.3f}]"


def stages_cell(receipts: "Sequence[StageRecord]") -> str:
    """Return what each stage said as a cell of a table."""
    return " ".join(MARKS[receipt.passed] for receipt in receipts)


def names_of_runs(plan: "LadderPlan") -> dict[str, str]:
    """Return what a line of progress calls each run, by its slug."""
    from pathb_jax.runs.outcome import run_files

    names = {run_files(plan.candidate_run(plan.baseline)).slug: plan.baseline.tag}
    for candidate in plan.protocol.candidates:
        for seed in plan.seeds:
            apart = f" seed {seed}" if len(plan.seeds) > 1 else ""
            slug = run_files(plan.candidate_run(candidate, seed)).slug
            names[slug] = candidate.tag + apart
        for run in plan.protocol.batch:
            names[run_files(plan.batch_run(run, candidate)).slug] = run.label
    return names


def planned_runs(plan: "LadderPlan", record: "LadderRecord") -> dict[str, int]:
    """Return the updates of every candidate's run that is not taken up yet, by its slug."""
    from pathb_jax.ladder.evidence import is_taken_up
    from pathb_jax.runs.outcome import run_files

    pairs = zip(plan.protocol.candidates, record.candidates, strict=True)
    return {
        run_files(plan.candidate_run(candidate, seed)).slug: plan.run.updates
        for candidate, entry in pairs
        for seed in plan.seeds
        if not is_taken_up(plan, entry, seed)
    }


def judged_line(entry: "CandidateRecord") -> str:
    """Say what the stages say of a candidate: the stage that rejects it, its figure and limit."""
    return f"{entry.tag}: {entry.status}; {_why(entry)}"


def _why(entry: "CandidateRecord") -> str:
    """Return what a candidate failed by, or that it passed."""
    if entry.votes:
        votes = entry.votes
        passed = f"{len(votes.passed)} of {len(votes.seeds)} training seeds pass all stages"
        return f"{passed}, {votes.needed} needed"
    for receipt in entry.stages:
        if receipt.passed is False:
            return f"stage {receipt.stage}, {receipt.name}: {'; '.join(receipt.reasons)}"
    return f"all {len(entry.stages)} stages pass" if entry.stages else "-"


def plan_result(plan: "LadderPlan", record: "LadderRecord", estimate: "Estimate") -> dict[str, Any]:
    """Return what `--plan --json` says."""
    from pathb_jax.store.models import to_json

    return {
        "protocol": plan.protocol.name,
        "sha256": plan.protocol.sha256,
        "run": to_json(plan.run),
        "candidates": [to_json(candidate) for candidate in plan.protocol.candidates],
        "standing": record.standing,
        "deviations": record.deviations,
        "with_baseline": plan.with_baseline,
        "estimate": {**estimate._asdict(), "run_seconds": estimate.run_seconds},
    }


def print_verification(record: "LadderRecord") -> bool:
    """Say what does not hold of the record; return whether everything does."""
    problems = record.verification.problems if record.verification else []
    for problem in problems:
        notice(f"does not hold: {problem}")
    return not problems


def print_plan(plan: "LadderPlan", record: "LadderRecord", estimate: "Estimate") -> None:
    """Print what a plan would train, and how long that would take here."""
    console = Terminal()
    planned, protocol = plan.run, plan.protocol
    console.print(
        f"protocol {protocol.name} (sha256 {protocol.sha256[:12]}), tier {planned.tier}, "
        f"{planned.updates} updates = {planned.env_steps:,} environment steps per run, "
        f"training seed {planned.seed}"
    )
    table = Table("order", "tag", "change", "why")
    for candidate in protocol.candidates:
        change = protocol.change_text(candidate.change) or "none: the baseline"
        table.add_row(str(candidate.order), candidate.tag, change, candidate.why)
    console.print(table)
    departures = "; ".join(record.deviations) or "none"
    console.print(f"verdict will be {record.standing}; departures: {departures}")
    console.print(f"files: {plan.out}")
    runs, batch = len(protocol.candidates), 0 if plan.skip_batch else len(protocol.batch)
    seeds = len(plan.seeds)
    climb = (
        estimate.seconds_of(runs * seeds) if plan.speculative else runs * estimate.seconds_of(seeds)
    )
    console.print(
        f"measured here: compile {estimate.compile_seconds:.1f} s once, "
        f"{estimate.env_steps_per_second:,.0f} environment steps/s, "
        f"evaluation {estimate.evaluation_seconds:.2f} s"
    )
    console.print(
        f"estimate (h:mm:ss): one run {duration(estimate.run_seconds)}, at most {runs} candidates"
        f"{f' of {seeds} seeds' if seeds > 1 else ''} {duration(climb)}, "
        f"batch of {batch} after an adoption {duration(estimate.seconds_of(batch))}; "
        f"{estimate.devices} at a time"
    )
    if plan.with_baseline:
        unless = "" if plan.adds_a_run else f", unless candidate {plan.baseline.tag} has trained"
        console.print(
            f"the default run after the verdict: one run more, {duration(estimate.run_seconds)}"
            f"{unless}"
        )


def _success(entry: "CandidateRecord") -> tuple[str, str]:
    """Return a candidate's successes as cells; from least to most where several seeds vote."""
    sets = [next(iter(run.summaries.values()), None) for run in entry.voters.values()]
    counts = sorted((found.success_count, found.seeds) for found in sets if found)
    if len(counts) > 1:
        return f"{counts[0][0]} to {counts[-1][0]}/{counts[0][1]}", "-"
    return success_cells(counts[0] if counts else None)


def print_record(record: "LadderRecord") -> None:
    """Print the verdict and what it rests on."""
    console = Terminal()
    table = Table("candidate", "status", "success", "95 % interval", "why")
    for entry in record.candidates:
        success = _success(entry)
        table.add_row(entry.tag, entry.status, *success, _why(entry))
    console.print(table)
    if others := record.training_seeds:
        for passes in others.passes:
            low, high = passes.interval
            console.print(
                f"{passes.tag}, stage {passes.stage}: {passes.passed} of "
                f"{passes.seeds} training seeds pass [{low:.3f}, {high:.3f}]"
            )
        for seed, verdict in others.verdicts.items():
            console.print(f"training seed {seed}: {verdict}")
    for item in record.batch:
        rate = item.success_rate
        shown = item.status if rate is None else f"success {rate:.3f}"
        console.print(f"batch {item.label}: {shown}")
    if judgement := record.judgement:
        console.print(
            f"adopted by judgement on {judgement.at}: {judgement.tag}, because {judgement.because}"
        )
    adopted = f" {record.adopted}" if record.adopted else ""
    console.print(
        f"verdict: {record.verdict}{adopted} ({record.standing}), "
        f"{record.compute.used_hours:.2f} h of training"
    )
