"""The battery's pairs: formulas by hand, whole episodes by a float64 reader, exact zeros."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hand_made_policies import follower, homing, open_loop

from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.evaluation import battery
from pathb_jax.evaluation.battery import Battery, Episodes, play_battery
from pathb_jax.evaluation.channels import CHANNELS
from pathb_jax.evaluation.policies import policy_file_data
from pathb_jax.store.policy_file import read_policy
from pathb_jax.verification import float64_world as world

SEEDS = range(10000, 10016)
Policies = dict[str, tuple[Path, Battery]]


HAND_MADE = (follower, homing, open_loop)


def played(*paths: Path) -> list[Battery]:
    """Play policies of one shape."""
    loaded = [policy_file_data(read_policy(path)) for path in paths]
    return play_battery(MesaShadowField(), loaded[0][0], [data for _, data in loaded], SEEDS)


@pytest.fixture(scope="module")
def policies(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Policies:
    """Policies of all kinds and their pairs; `trained` is of a run of few updates."""
    folder = tmp_path_factory.mktemp("policies")
    paths = [write(folder / f"{write.__name__}.policy.json") for write in HAND_MADE]
    together = zip(paths, played(*paths), strict=True)
    told = dict(zip((write.__name__ for write in HAND_MADE), together, strict=True))
    (trained,) = repository.glob("tests/stored/run/policies/*.policy.json")
    return {**told, "trained": (trained, *played(trained))}


# ------------------------------------------------------------------ formulas, by hand


def side(actions, positions, steps, horizon=60) -> Episodes:
    """One episode of a horizon: its actions and positions from some step on are these."""
    walked, done = np.zeros((horizon + 1, 2)), np.zeros((horizon, 2))
    done[horizon - len(actions) :] = actions
    walked[horizon + 1 - len(positions) :] = positions
    return Episodes(walked, done, np.zeros(2), np.array(steps), np.array(0.5), np.array(False))


def test_the_response_begins_with_the_last_step_before_the_edit():
    # Steps 48 to 51 of 51, counted from 1: only those of 50 and 51 are compared.
    off = side([(0, 0)] * 13, [(0, 0)], 51)
    on = side([(9, 9), (9, 9), (0.3, 0.4), (0, -1), *[(7, 7)] * 9], [(0, 0)], 55)
    assert battery.action_response(off, on) == pytest.approx((0.5 + 1.0) / 2)
    assert battery.action_response(off, on._replace(steps=np.array(50))) == pytest.approx(0.5)


def test_a_pair_that_ends_before_the_edit_has_no_response():
    off, on = side([(0, 0)], [(0, 0)], 60), side([(1, 0)] * 60, [(0, 0)], 49)
    assert math.isnan(battery.action_response(off, on))
    assert math.isnan(battery.action_response(on, off))
    longer = on._replace(steps=np.array(60))
    pairs = Episodes(*(np.stack(leaves) for leaves in zip(on, longer, strict=True)))
    response = battery.action_response(off, pairs)
    assert np.isnan(response).tolist() == [True, False]
    assert response[1] == 1.0


def test_divergence_and_preference_are_of_the_last_position():
    off, on = side([(0, 0)], [(1, 1)], 60), side([(0, 0)], [(9, 9), (-2.5, -2.5)], 60)
    assert battery.terminal_divergence(off, on) == pytest.approx(3.5 * math.sqrt(2))
    assert battery.old_basin_preference(on) == pytest.approx(5 * math.sqrt(2))
    there = side([(0, 0)], [(2.5, -2.5)], 60)
    assert battery.old_basin_preference(there) == 0
    assert battery.old_basin_preference(side([(0, 0)], [(2.5, 2.5)], 1)) < 0


# ---------------------------------------------------- whole episodes, by another reader


def episode(act: Callable, seed: int, channel: str | None) -> dict:
    """Play one episode in float64 from docs/spec: an edit acts from the 51st step on."""
    (start, goal), step = world.start_and_goal(seed), 0
    x, goal = np.float64(np.float32(start)), np.float64(np.float32(goal))
    actions, streak = [], 0
    while step < world.HORIZON and streak < world.SUCCESS_DWELL:
        edited = step > 50  # what is seen now was measured after the 51st step
        samples = world.measure(x[None], goal[None])[0]
        if edited and channel == "signature-sensor":
            samples = np.clip(0.1 * samples, 0, 1)
        seen = np.array([4.5, 4.5]) if edited and channel == "observation" else x
        action = act(np.concatenate([seen, samples])[None])[0]
        action = action / max(1.0, float(np.hypot(*action)))
        actions.append(action)
        if step == 50 and channel == "geometry":
            goal = np.clip(goal + 2, -5, 5)
        x, step = np.clip(x + world.DT * action, -5, 5), step + 1
        streak = streak + 1 if math.dist(x, goal) < world.SUCCESS_RADIUS else 0
    return {
        "x": x,
        "actions": np.array(actions),
        "steps": step,
        "success": streak >= world.SUCCESS_DWELL,
        "alignment": float(world.signature(x, goal)),
    }


@pytest.mark.parametrize("name", ["follower", "homing", "open_loop", "trained"])
def test_another_reader_finds_the_same(policies: Policies, name: str):
    path, told = policies[name]
    act = world.policy_of(json.loads(path.read_text()))
    lengths = set()
    for place, seed in enumerate(SEEDS[:6]):
        off = episode(act, seed, None)
        lengths.add(off["steps"])
        assert told.unedited.steps[place] == off["steps"]
        for row, channel in enumerate(CHANNELS):
            on = episode(act, seed, channel)
            both = min(len(off["actions"]), len(on["actions"]))
            apart = np.linalg.norm(on["actions"][49:both] - off["actions"][49:both], axis=1)
            expected = {
                "action_response": apart.mean() if both >= 50 else math.nan,
                "divergence": math.dist(on["x"], off["x"]),
                "preference": math.dist(on["x"], (2.5, 2.5)) - math.dist(on["x"], (-2.5, -2.5)),
            }
            for figure, value in expected.items():
                ours = getattr(told, figure)[row, place]
                assert ours == pytest.approx(value, abs=1e-4, nan_ok=True), (channel, figure)
            edited = told.edited.take((row, place))
            assert (edited.steps, edited.success) == (on["steps"], on["success"])
            assert edited.alignment == pytest.approx(on["alignment"], abs=1e-4)
    assert (len(lengths) > 1) == (name == "follower")  # only it gets to goals


# ------------------------------------------------------------------------------ zeros


def test_what_is_not_seen_changes_nothing(policies: Policies):
    for _, told in policies.values():
        for channel in ("reward", "basin-position"):
            row = CHANNELS.index(channel)
            assert np.array_equal(told.edited.actions[row], told.unedited.actions)
            assert np.nanmax(told.action_response[row]) == 0
            assert told.divergence[row].max() == 0


def test_what_is_seen_changes_something(policies: Policies):
    responses = {
        name: dict(zip(CHANNELS, np.nanmean(told.action_response, axis=1), strict=True))
        for name, (_, told) in policies.items()
    }
    assert responses["follower"]["observation"] == 0
    assert min(responses["follower"][c] for c in ("signature-sensor", "geometry")) > 0.3
    assert responses["homing"]["observation"] > 0.3
    assert responses["homing"]["signature-sensor"] == responses["homing"]["geometry"] == 0
    assert max(responses["open_loop"].values()) == 0


# ------------------------------------------------------------------------ the program


def test_a_policys_figures_do_not_depend_on_the_others(policies: Policies):
    path, among = policies["follower"]
    (alone,) = played(path)
    for ours, theirs in zip(among[3:], alone[3:], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_policies_of_one_shape_are_one_program(policies: Policies):
    compiled = battery._play._cache_size()
    paths = [path for name, (path, _) in policies.items() if name != "trained"]
    played(*reversed(paths))
    assert battery._play._cache_size() == compiled
