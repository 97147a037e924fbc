"""`ladder --check`: what a protocol would run, told without running or measuring anything."""

from typing import TYPE_CHECKING, Any

from rich.table import Table

from pathb_jax.display.terminal import Terminal
from pathb_jax.ladder.protocol import is_shipped, standing
from pathb_jax.ladder.stages import ReturnFloor, TrainingDynamics
from pathb_jax.store.record_schema import SeedOverlap
from pathb_jax.store.run_files import evaluation_sets

if TYPE_CHECKING:
    from pathb_jax.ladder.plan import LadderPlan


def check_result(plan: "LadderPlan") -> dict[str, Any]:
    """Return what `--check --json` says: sets, seeds, runs and steps of a plan."""
    protocol, run = plan.protocol, plan.run
    starts, seeds = evaluation_sets(protocol.seed_sets), protocol.evaluation.seeds
    shared = SeedOverlap.of(run.seed_start, run.batch_envs, starts, seeds).sets
    batch = 0 if plan.skip_batch else len(protocol.batch)
    rejected = len(protocol.candidates) * len(plan.seeds)
    at_once = rejected if plan.speculative else len(plan.seeds)  # the first one is adopted
    # the default run, if none of the candidates trained is it
    adds = int(plan.adds_a_run)
    first = protocol.candidates if plan.speculative else protocol.candidates[:1]
    unless_all = int(plan.with_baseline and plan.baseline not in first)
    least = min(at_once + batch + unless_all, rejected + adds)
    most = rejected + batch + adds
    return {
        "protocol": protocol.name,
        "sha256": protocol.sha256,
        "shipped": is_shipped(protocol),
        "standing": standing(protocol, plan.deviations),
        "deviations": plan.deviations,
        "tier": run.tier,
        "training_starts": [run.seed_start, run.seed_start + run.batch_envs - 1],
        "sets": [
            {
                "first_seed": start,
                "last_seed": start + seeds - 1,
                "stages": _stages_on(plan, start),
                "shared_with_training": shared[str(start)],
            }
            for start in starts
        ],
        "candidates": [
            {
                "order": candidate.order,
                "tag": candidate.tag,
                "change": protocol.change_text(candidate.change) or "none: the baseline",
            }
            for candidate in protocol.candidates
        ],
        "training_seeds": plan.seeds,
        "voting_seeds": len(plan.voting_seeds),
        "pass_at_least": protocol.voting.pass_at_least,
        "env_steps_per_run": run.env_steps,
        "batch_runs": batch,
        "with_baseline": plan.with_baseline,
        "runs": {"least": least, "most": most},
        "env_steps": {"least": least * run.env_steps, "most": most * run.env_steps},
    }


def _stages_on(plan: "LadderPlan", start: int) -> list[int]:
    """Return the numbers of the stages that look at a set."""
    stages = plan.protocol.stages
    floor = stages.success_floor.seed_start
    return [
        number
        for number, stage in enumerate(stages, start=1)
        if not isinstance(stage, TrainingDynamics)
        and (start == stage.seed_start or (start == floor and not isinstance(stage, ReturnFloor)))
    ]


def print_check(plan: "LadderPlan", told: dict[str, Any]) -> None:
    """Print it."""
    console, protocol = Terminal(), plan.protocol
    console.print(
        f"protocol {protocol.name} (sha256 {protocol.sha256[:12]}, "
        f"{'shipped' if told['shipped'] else 'one of its own'}) is valid; its verdict will be "
        f"{told['standing']}; departures: {'; '.join(told['deviations']) or 'none'}"
    )
    stages = Table("stage", "kind", "passes when")
    for number, stage in enumerate(protocol.stages, start=1):
        rule = ", ".join(f"{name} {value:g}" for name, value in stage if name != "seed_start")
        stages.add_row(str(number), stage.kind, rule)
    console.print(stages)
    sets = Table("evaluation set", "stages", "shared with training starts")
    for found in told["sets"]:
        numbers = ", ".join(map(str, found["stages"])) or "does not vote"
        span = f"{found['first_seed']} to {found['last_seed']}"
        sets.add_row(span, numbers, str(found["shared_with_training"]))
    console.print(sets)
    candidates = Table("order", "tag", "change")
    for candidate in told["candidates"]:
        candidates.add_row(str(candidate["order"]), candidate["tag"], candidate["change"])
    console.print(candidates)
    first, last = told["training_starts"]
    seeds, runs, steps = told["training_seeds"], told["runs"], told["env_steps"]
    console.print(
        f"training starts {first} to {last}; training seeds {', '.join(map(str, seeds))}: the "
        f"first {told['voting_seeds']} vote, {told['pass_at_least']} have to pass all stages"
    )
    late = ", the default run after the verdict" if told["with_baseline"] else ""
    console.print(
        f"{runs['least']} to {runs['most']} runs ({len(told['candidates'])} candidates at most, "
        f"batch of {told['batch_runs']} after an adoption{late}) of {told['env_steps_per_run']:,} "
        f"environment steps at {told['tier']}: {steps['least']:,} to {steps['most']:,}"
    )
