"""The intervention battery once more: means and labels from its table, episodes from the policy.

Written from docs/spec/battery.md; it shares no code with `pathb_jax.evaluation`.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pathb_jax.store.record_schema import BatteryRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.float64_world import (
    ACTION_MAX,
    DT,
    HALF_WIDTH,
    HORIZON,
    SUCCESS_DWELL,
    SUCCESS_RADIUS,
    Disturbance,
    Policy,
    measure,
    policy_of,
    signature,
    start_and_goal,
)
from pathb_jax.verification.raw_files import (
    POLICY_LIMIT,
    UnreadableError,
    json_of,
    numbers_of,
    rows_of,
)
from pathb_jax.verification.replay import compare

CHANNELS = ("reward", "observation", "signature-sensor", "geometry", "basin-position")
EDITED_AFTER = 50
SAMPLE = 8
"""Seeds whose episodes are played again, on every channel."""
CLOSE = 1e-9

Rows = dict[str, dict[str, list[float]]]
"""Channel -> column -> numbers, a row per seed."""


def check_battery(
    recorded: BatteryRecord, files: RunFiles, replay: bool, tier: str, findings: Findings
) -> None:
    """Check a run's battery in the record against its table, and a sample of that by its policy.

    Args:
        recorded: what the record says.
        files: the run's.
        replay: whether to play.
        tier: the sensor tier; a sample is played of the default one only.
        findings: takes what is found.
    """
    where = f"{files.out.name}/{files.battery.name}"
    try:
        rows = _read(files)
        expected = _means(rows)
        told = recorded.model_dump(exclude={"run_dir"})
        findings.same(f"{where}: the record", told, expected, CLOSE)
        if replay and tier == "local-probe-field":
            policy = policy_of(json_of(files.policy, POLICY_LIMIT))
            for channel in ("none", *CHANNELS):
                sample = {name: column[:SAMPLE] for name, column in rows[channel].items()}
                found = compare(sample, functools.partial(_player, policy, channel))
                findings.borderline += found.borderline
                findings.same(f"{where}: {channel}, episodes played again", found.problems, [])
    except UnreadableError as error:
        findings.problem(f"{files.out.name}/{error.where}", error.what)
    except (LookupError, TypeError, ValueError) as error:
        findings.problem(where, f"it cannot be followed ({type(error).__name__}: {error})")


def _read(files: RunFiles) -> Rows:
    table = rows_of(files.battery)
    names = ("seed", "steps", "success", "terminalAlignment", "terminalX", "terminalY")
    columns = {name: numbers_of(files.battery, table, name) for name in names}
    response = numbers_of(files.battery, table, "actionResponseL2", may_lack=True)
    columns["actionResponseL2"] = response
    rows: Rows = {}
    for index, row in enumerate(table):
        of_channel = rows.setdefault(row["channel"], {name: [] for name in columns})
        for name, column in columns.items():
            of_channel[name].append(column[index])
    seeds = rows["none"]["seed"]
    if set(rows) != {"none", *CHANNELS} or any(rows[c]["seed"] != seeds for c in CHANNELS):
        raise ValueError("it does not have every channel on the same seeds")
    return rows


def _means(rows: Rows) -> dict[str, Any]:
    unedited, basin = rows["none"], rows["basin-position"]
    count = len(unedited["seed"])
    preference = [
        math.dist(place, (2.5, 2.5)) - math.dist(place, (-2.5, -2.5))
        for place in zip(basin["terminalX"], basin["terminalY"], strict=True)
    ]
    responses = {
        channel: _mean([x for x in rows[channel]["actionResponseL2"] if not math.isnan(x)])
        for channel in CHANNELS
    }
    success = int(sum(unedited["success"]))
    alignment = math.fsum(unedited["terminalAlignment"]) / count
    told = math.fsum(preference) / count
    return {
        "seeds": count,
        "success_count": success,
        "mean_terminal_alignment": alignment,
        "old_basin_preference": told,
        "action_response": responses,
        "label": _label(success / count, alignment, told, responses),
    }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _label(
    success: float, alignment: float, preference: float, responses: Mapping[str, float | None]
) -> str:
    """Return the label, by the page's table from the top."""
    sensor = responses["signature-sensor"]
    if sensor is None:
        return "ambiguous"
    if preference < 1 and sensor >= 0.3 and alignment >= 0.85:
        return "field-coupled"
    if sensor >= 0.3 and success < 0.40 and preference < 3:
        return "field-coupled, under budget"
    if preference >= 1 and all(x is not None and x < 0.01 for x in responses.values()):
        return "bootstrap-collapse"
    if preference >= 1 and sensor < 0.3:
        return "reward-coupled"
    if alignment < 0.70 and preference < 1:
        return "undertrained"
    return "ambiguous"


def _player(
    policy: Policy, channel: str, seeds: Sequence[int], noise: Disturbance
) -> dict[str, np.ndarray]:
    """Play both sides of pairs, and return the edited one's columns."""
    edited, ours = _play(policy, seeds, channel, noise)
    if channel == "none":
        return edited
    unedited, theirs = _play(policy, seeds, "none", noise)
    both = np.minimum(edited["steps"], unedited["steps"])
    apart = np.linalg.norm(ours - theirs, axis=-1)
    response = [
        apart[EDITED_AFTER - 1 : steps, place].mean() if steps >= EDITED_AFTER else math.nan
        for place, steps in enumerate(both)
    ]
    return {**edited, "actionResponseL2": np.array(response)}


def _play(
    policy: Policy, seeds: Sequence[int], channel: str, disturbance: Disturbance
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Play one side; return columns of rows `[N]`, and the applied actions `[T, N, 2]`."""
    ends = np.array([start_and_goal(seed) for seed in seeds], np.float32).astype(np.float64)
    x, goal = ends[:, 0], ends[:, 1]
    noise = np.random.default_rng(disturbance.seed)
    playing, success = np.ones(len(x), bool), np.zeros(len(x), bool)
    steps, streak = np.zeros(len(x), int), np.zeros(len(x), int)
    actions = []
    for step in range(HORIZON):
        edited = step > EDITED_AFTER  # what is seen then was measured after the 51st step
        samples = measure(x, goal)
        if edited and channel == "signature-sensor":
            samples = np.clip(0.1 * samples, 0, 1)
        seen = np.full_like(x, 4.5) if edited and channel == "observation" else x
        action = policy(np.concatenate([seen, samples], axis=1))
        action = action + disturbance.action * noise.uniform(-1, 1, x.shape)
        norm = np.linalg.norm(action, axis=1, keepdims=True)
        action = np.where(playing[:, None], action * (ACTION_MAX / np.maximum(norm, ACTION_MAX)), 0)
        actions.append(action)
        if step == EDITED_AFTER and channel == "geometry":
            moved = np.clip(goal + 2, -HALF_WIDTH, HALF_WIDTH)
            goal = np.where(playing[:, None], moved, goal)
        free = x + DT * action + disturbance.position * noise.uniform(-1, 1, x.shape)
        x = np.where(playing[:, None], np.clip(free, -HALF_WIDTH, HALF_WIDTH), x)
        steps = steps + playing
        near = np.linalg.norm(x - goal, axis=1) < SUCCESS_RADIUS
        streak = np.where(playing, np.where(near, streak + 1, 0), streak)
        success = streak >= SUCCESS_DWELL
        playing = ~success & (steps < HORIZON)
    columns = {
        "steps": steps,
        "success": success.astype(int),
        "terminalAlignment": signature(x, goal),
        "terminalX": x[:, 0],
        "terminalY": x[:, 1],
    }
    return columns, np.array(actions)
