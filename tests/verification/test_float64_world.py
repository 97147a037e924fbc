"""The world that replays policies, against the golden data; and that it is one of its own."""

import ast
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pathb_jax.verification import float64_world, replay
from pathb_jax.verification.float64_world import Disturbance, play, start_and_goal

GOLDEN = Path(__file__).parents[1] / "golden"
PLAIN = [
    entry
    for entry in json.loads((GOLDEN / "trajectories.json").read_text())["trajectories"]
    if not entry.get("edits") and not entry.get("probe") and not entry.get("params")
]
ROUNDED = 1e-6
"""Starts and goals are rounded to float32 before they are played; golden ones are not."""


def test_starts_and_goals_are_the_golden_ones():
    with (GOLDEN / "initial_conditions.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            start, goal = start_and_goal(int(row["seed"]))
            expected = [float(row[x]) for x in ("start_x", "start_y", "goal_x", "goal_y")]
            assert [*start, *goal] == expected, row["seed"]


@pytest.mark.parametrize("entry", PLAIN, ids=lambda entry: entry["name"])
def test_golden_trajectories(entry):
    with np.load(GOLDEN / "trajectories.npz") as data:
        actions = data[f"{entry['name']}_action"]
        observations = data[f"{entry['name']}_observation"]
        position = data[f"{entry['name']}_position"][-1]
    seen = []

    def scripted(observation):
        seen.append(observation[0])
        return actions[len(seen) - 1][None]

    played = play(scripted, [entry["seed"]], entry["tier"])
    np.testing.assert_allclose(seen, observations[: len(seen)], rtol=0, atol=ROUNDED)
    metrics = entry["metrics"]
    assert played["terminalOutcome"][0] == (metrics["outcome"] == "success")
    for column, name in (
        ("steps", "steps"),
        ("saturationCount", "saturation_count"),
        ("clippedCount", "clipped_count"),
    ):
        assert played[column][0] == metrics[name], column
    for column, name in (
        ("terminalAlignment", "terminal_alignment"),
        ("terminalDistance", "terminal_distance"),
        ("pathEfficiency", "path_efficiency"),
        ("pathLength", "path_length"),
        ("regimeRetention", "regime_retention"),
    ):
        assert played[column][0] == pytest.approx(metrics[name], rel=ROUNDED, abs=ROUNDED), column
    end = [played["terminalX"][0], played["terminalY"][0]]
    np.testing.assert_allclose(end, position, rtol=0, atol=ROUNDED)


def test_there_are_golden_trajectories_of_each_tier():
    assert {entry["tier"] for entry in PLAIN} == set(float64_world.TIERS)


def test_it_shares_no_code_with_the_trainers_world():
    for module in (float64_world, replay):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
        own = "pathb_jax.verification.float64_world"
        assert names <= {"math", "numpy", "typing", "collections.abc", own}, module.__name__


def to_the_goal(observation):
    """Head for the origin; stand there."""
    return -observation[:, :2] / np.maximum(np.linalg.norm(observation[:, :2], axis=1), 1)[:, None]


def rows(seeds):
    return {name: column.tolist() for name, column in play(to_the_goal, seeds).items()}


def test_a_replay_finds_a_cell_that_the_policy_does_not_give():
    seeds = list(range(100, 108))
    assert replay.replay(rows(seeds), to_the_goal, "local-probe-field") == ([], 0)
    for column, other in (
        ("terminalX", 0.001),
        ("terminalAlignment", -0.001),
        ("pathLength", 0.01),
        ("steps", -1),
        ("saturationCount", 3),
    ):
        told = rows(seeds)
        told[column][5] += other
        problems, borderline = replay.replay(told, to_the_goal, "local-probe-field")
        assert borderline == 0, column
        (problem,) = problems
        assert problem.startswith(f"seed 105, {column}: "), problem
    told = rows(seeds)
    told["terminalOutcome"][2] = not told["terminalOutcome"][2]
    (problem,) = replay.replay(told, to_the_goal, "local-probe-field").problems
    assert problem.startswith("seed 102, terminalOutcome: ")


def test_an_episode_that_hangs_on_rounding_is_told_apart():
    """A policy at a fork: whichever side of its start it is on by a hair, there it runs."""
    seed = 100
    x = float(np.float32(start_and_goal(seed)[0][0]))

    def at_a_fork(observation):
        return np.clip((observation[:, :2] - x) * [1e4, 0.0], -1, 1)

    calm = play(at_a_fork, [seed])
    assert calm["pathLength"] == [0.0]
    for noise in (Disturbance(100, 1e-6, 1e-7), Disturbance(101, 1e-6, 1e-7)):
        told = play(at_a_fork, [seed], "local-probe-field", noise)
        assert told["pathLength"] > 1.0, "rounding decides nothing here"
        told = {name: column.tolist() for name, column in told.items()}
        assert replay.replay(told, at_a_fork, "local-probe-field") == ([], 1)
    told["terminalY"][0] += 0.5  # which does not hang on rounding
    assert len(replay.replay(told, at_a_fork, "local-probe-field").problems) == 1
