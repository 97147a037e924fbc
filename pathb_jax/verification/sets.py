"""One seed set's evaluation: its rows by the geometry of the task, its summary by its rows."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.store.measures import RETURN, Measure, measure_of
from pathb_jax.verification import float64_world
from pathb_jax.verification.findings import MISSING, Findings
from pathb_jax.verification.raw_files import json_of, numbers_of, rows_of
from pathb_jax.verification.replay import replay

FLOAT32 = 2e-5
"""What a figure of one row may differ from the others of its row: they are float32."""
MEANS = 1e-9
"""What a mean may differ for the order it was added in."""


class SetFacts(NamedTuple):
    """What a set's rows say."""

    start: int
    successes: int
    seeds: int
    measure: Measure
    mean: float
    """Of what is measured: alignment, or return."""
    steps: float

    @property
    def figures(self) -> dict[str, float]:
        """The figures that every table of sets has."""
        return {
            "seed_start": self.start,
            "seeds": self.seeds,
            "success_rate": self.successes / self.seeds,
            self.measure.mean: self.mean,
            "mean_steps": self.steps,
        }


def check_set(
    path: Path,
    start: int,
    seeds: int,
    about: Mapping[str, Any],
    policy: Mapping[str, Any] | None,
    findings: Findings,
) -> SetFacts:
    """Check one set's rows, its summary by them, and them by the policy.

    Args:
        path: the rows; the summary lies beside them.
        start: the set's first seed.
        seeds: how many it has.
        about: what the summary says of the run: checkpoint, sensor_tier, env_config, env_steps.
        policy: what was evaluated, or None not to replay it.
        findings: takes what is found.

    Raises:
        UnreadableError: a file is missing or broken.
    """
    where = f"{path.parents[1].name}/{path.name}"
    table, world = rows_of(path), about["env_config"]
    measure = measure_of(world.get("env"))
    rows: dict[str, list[Any]] = {
        name: numbers_of(path, table, name) for name in table[0] if name != "terminalOutcome"
    }
    outcomes = [row["terminalOutcome"] for row in table]
    for line, outcome in enumerate(outcomes, start=2):
        known = outcome in measure.outcomes
        findings.hold(f"{where}: line {line}, terminalOutcome", known, f"{outcome!r}")
    rows["terminalOutcome"] = [outcome == "success" for outcome in outcomes]
    findings.same(f"{where}: seed", rows["seed"], [start + k for k in range(seeds)])
    for index, seed in enumerate(rows["seed"]):
        row = {name: column[index] for name, column in rows.items()}
        own = measure is RETURN
        said = _own_contradictions(row, world) if own else _contradictions(int(seed), row)
        for name, wrong in said.items():
            what = f"{row[name]!r} is told, {wrong}"
            findings.problem(f"{where}: line {index + 2}, {name}", what)
    facts = SetFacts(
        start,
        sum(rows["terminalOutcome"]),
        len(table),
        measure,
        _mean(rows[measure.column]),
        _mean(rows["steps"]),
    )
    _check_summary(path.with_name(f"{path.stem}_summary.json"), facts, about, findings)
    if policy is not None:
        _replay(where, rows, policy, about["sensor_tier"], findings)
    return facts


def _check_summary(
    path: Path, facts: SetFacts, about: Mapping[str, Any], findings: Findings
) -> None:
    summary = json_of(path)
    expected = {**about, **facts.figures, "success_count": facts.successes}
    for name, value in expected.items():
        where = f"{path.parents[1].name}/{path.name}: {name}"
        findings.same(where, summary.get(name, MISSING), value, MEANS)


def _replay(
    where: str,
    rows: Mapping[str, Any],
    policy: Mapping[str, Any],
    tier: str | None,
    findings: Findings,
) -> None:
    findings.sets += 1
    if tier is None:
        findings.foreign += 1
        return
    if tier not in float64_world.TIERS:
        findings.noisy += 1
        return
    played = replay(rows, float64_world.policy_of(policy), tier)
    findings.borderline += played.borderline
    findings.replayed += not played.problems
    if played.problems:
        more = len(played.problems) - 1
        findings.problem(where, played.problems[0] + (f" (and {more} more)" if more else ""))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _own_contradictions(row: Mapping[str, Any], world: Mapping[str, Any]) -> dict[str, str]:
    """Return the same of an episode of another environment, of which no more is known."""
    wrong: dict[str, str] = {}
    most = world["env_params"].get("max_steps_in_episode", math.inf)
    if not 1 <= row["steps"] <= most:
        wrong["steps"] = f"an episode has 1 to {most}"
    least = float(np.float32(world["success_return"]))  # both were compared in float32
    if row["terminalOutcome"] != (row["episodeReturn"] >= least):
        wrong["terminalOutcome"] = f"a success has a return of {least:g} at least"
    return wrong


def _contradictions(seed: int, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a row that its others contradict, each with why."""
    steps, success = row["steps"], row["terminalOutcome"]
    wrong: dict[str, str] = {}
    if not 1 <= steps <= float64_world.HORIZON:
        wrong["steps"] = "an episode has 1 to 200"
    elif not success and steps != float64_world.HORIZON:
        wrong["terminalOutcome"] = "the episode ended before its time was up"
    for name in ("saturationCount", "clippedCount"):
        if not 0 <= row.get(name, 0) <= steps:
            wrong[name] = f"there were {steps} steps"
    near = row.get("regimeRetention", 1.0) * steps
    if success and near < float64_world.SUCCESS_DWELL - 0.01:
        wrong["regimeRetention"] = "a success stays near the goal for 10 steps"
    distance = row["terminalDistance"]
    if success and distance >= float64_world.SUCCESS_RADIUS:
        wrong["terminalOutcome"] = f"the goal is {distance} away"
    sigma = float64_world.SIGNATURE_SIGMA
    expected = {"terminalAlignment": math.exp(-(distance**2) / (2 * sigma**2))}
    if {"terminalX", "terminalY", "pathLength", "terminalBasinDistance"} <= row.keys():
        start, goal = float64_world.start_and_goal(seed)
        end = row["terminalX"], row["terminalY"]
        length = row["pathLength"]
        expected["terminalDistance"] = math.dist(end, goal)
        expected["terminalBasinDistance"] = math.dist(end, float64_world.BASIN)
        expected["pathEfficiency"] = math.dist(end, start) / length if length else 0.0
    for name, value in expected.items():
        if abs(row[name] - value) > FLOAT32 * max(1.0, abs(value)):
            wrong[name] = f"the row's other figures make it {value}"
    return wrong
