"""What the default run did, once more: segments, best state, and the fall from it.

Written apart from `ladder.diagnosis`, whose figures it is to check.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pathb_jax.errors import CheckpointError
from pathb_jax.runs.tables import EVALUATIONS, HISTORY, saved_tables
from pathb_jax.store import checkpoints
from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification import rules
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.rules import Count
from pathb_jax.verification.runs import RunEvidence

SEGMENTS = (Fraction(611, 1221), Fraction(815, 1221), Fraction(1018, 1221), Fraction(1))
"""Shares of a run after which the published segments ended."""


def expected_diagnosis(
    protocol: Mapping[str, Any], label: str, updates: int, evidence: RunEvidence, files: RunFiles
) -> dict[str, Any]:
    """Return what the record has to say of the default run.

    Args:
        protocol: the ladder's.
        label: of its run.
        updates: as planned.
        evidence: the default run.
        files: where it lies.
    """
    starts, seeds = rules.set_starts(protocol), protocol["evaluation"]["seeds"]
    states = _states(evidence.evaluations, starts[0], starts[-1], seeds)
    by_update = {state["update"]: state for state in states}
    segments, before = [], 0
    for share in SEGMENTS:
        end = math.ceil(share * updates)
        if end in by_update and end <= len(evidence.facts.history["update"]):
            told = {
                name: evidence.facts.history[name][before:end]
                for name in ("entropy", "log_std", "mean_reward", "value_loss")
            }
            segment: dict[str, Any] = {"state": by_update[end]}
            segment |= {name: told[name][-1] for name in ("entropy", "log_std", "mean_reward")}
            segments.append(segment | {"value_loss_max": max(told["value_loss"])})
        before = end
    return {
        "label": label,
        "diverged": evidence.facts.diverged,
        "chosen_on": starts[0],
        "told_on": starts[-1],
        "segments": segments,
        "evaluations": states,
        "fall": _fall(states, files) if states else None,
    }


def _states(
    rows: Sequence[Mapping[str, float]], choosing: int, telling: int, seeds: int
) -> list[dict[str, Any]]:
    counts = {
        (row["seed_start"], row["update"]): (round(row["success_rate"] * seeds), seeds)
        for row in rows
        if row["seeds"] == seeds
    }
    return [
        {
            "update": row["update"],
            "env_steps": row["env_steps"],
            "success": counts[choosing, row["update"]],
            "mean_terminal_alignment": row["mean_terminal_alignment"],
            "mean_steps": row["mean_steps"],
            "reported": counts[telling, row["update"]],
        }
        for row in rows
        if (row["seed_start"], row["seeds"]) == (choosing, seeds)
        and (telling, row["update"]) in counts
    ]


def _fall(states: Sequence[Mapping[str, Any]], files: RunFiles) -> dict[str, Any]:
    most = max(state["success"][0] for state in states)
    best = [state for state in states if state["success"][0] == most][-1]
    end = states[-1]
    difference, low, high = rules.newcombe(best["reported"], end["reported"], 0.975)
    step = files.checkpoints / str(best["update"])
    kept = f"{files.out.name}/checkpoints/{files.slug}/{step.name}" if step.is_dir() else None
    return {
        "best": best,
        "best_checkpoint": kept,
        "end": end,
        "difference": difference,
        "interval": (low, high),
        "p_value": _chance(best["reported"], end["reported"]),
    }


def _chance(before: Count, after: Count) -> float:
    """Return Fisher's p: so few of all successes, or fewer, fall to the later set."""
    successes, seeds = before[0] + after[0], before[1] + after[1]
    ways = sum(
        math.comb(after[1], k) * math.comb(before[1], successes - k)
        for k in range(max(0, successes - before[1]), after[0] + 1)
    )
    return float(Fraction(ways, math.comb(seeds, successes)))


def check_best_checkpoint(
    where: str, diagnosis: Mapping[str, Any], files: RunFiles, findings: Findings
) -> None:
    """Check that the best state that is kept is whole, and the one that was evaluated."""
    best, chosen_on = diagnosis["fall"]["best"], diagnosis["chosen_on"]
    step = files.checkpoints / str(best["update"])
    if not step.is_dir():
        return
    try:
        arrays = checkpoints.named_arrays(step, [HISTORY, EVALUATIONS])
        _, evaluations = saved_tables(checkpoints.read_meta(step), arrays)
    except CheckpointError as error:
        findings.problem(where, str(error))
        return
    names = ("update", "env_steps", "mean_terminal_alignment", "mean_steps")
    successes, seeds = best["success"]
    expected = {name: best[name] for name in names} | {"success_rate": successes / seeds}
    of_set = evaluations["seed_start"] == chosen_on
    last = {name: evaluations[name][of_set][-1:].tolist() for name in expected}
    findings.same(where, last, {name: [value] for name, value in expected.items()})
