"""Golden trajectories as environments, bound parameters and one vmapped scan per static shape."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from quick import quick_jit

from pathb_jax.envs import interventions as iv
from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import EnvParams, EnvState, bind

GOLDEN = Path(__file__).parents[1] / "golden"
TRAJECTORIES = json.loads((GOLDEN / "trajectories.json").read_text())["trajectories"]
COLUMNS = json.loads((GOLDEN / "trajectories.json").read_text())["reward_columns"]
DECAYS = {"linear": iv.Decay.LINEAR, "inv_sq": iv.Decay.INV_SQ, "gaussian": iv.Decay.GAUSSIAN}
MIRRORS = {None: iv.Mirror.NONE, "x": iv.Mirror.X, "y": iv.Mirror.Y}
HORIZON = 200
MAX_DELAY = 7
MAX_EDITS = 3


@functools.cache
def golden_arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "trajectories.npz") as data:
        return dict(data)


def edit_of(entry: dict) -> iv.Edits:
    step, channel = entry["step"], entry["channel"]
    scale, shift = entry.get("scale", 1.0), entry.get("shift", 0.0)
    makers = {
        "reward": lambda: iv.reward_edit(step, scale=scale, shift=shift),
        "signature-sensor": lambda: iv.sensor_edit(step, scale=scale, shift=shift),
        "observation": lambda: iv.observation_edit(step, entry["mask"], entry["replacement"]),
        "geometry": lambda: iv.geometry_edit(step, entry["goal"]),
        "basin-position": lambda: iv.basin_position_edit(step, entry["basin"]),
        "basin-observation": lambda: iv.basin_observation_edit(step, entry["basin"]),
    }
    return makers[channel]()


def probe_of(entry: dict) -> iv.Probe:
    decoy = entry.get("decoy")
    return iv.probe(
        rotate=entry.get("rotate", 0.0),
        translate=entry.get("translate", (0.0, 0.0)),
        scale=entry.get("scale", 1.0),
        mirror=MIRRORS[entry.get("mirror")],
        delay=entry.get("sensor_delay", iv.KEEP_DELAY),
        decoy=decoy and iv.decoy(decoy["strength"], DECAYS[decoy["decay"]], decoy["at"]),
    )


def world_of(entry: dict) -> tuple[MesaShadowField, EnvParams]:
    """Return `(env, params)` of a golden entry.

    Entries with an edit, a decoy or a delay get all of them, those they lack doing nothing: so the
    69 entries need three programs, two of which have these parts switched off altogether.
    """
    numbers = dict(entry.get("params", {}))
    features = {name: numbers.pop(name, False) for name in ("texture_channel", "basin_channel")}
    probe, edits = entry.get("probe", {}), [edit_of(edit) for edit in entry.get("edits", [])]
    everything = bool(edits or "decoy" in probe or "sensor_delay" in probe)
    delayed = everything or entry["tier"] == "delayed-field"
    env = MesaShadowField(entry["tier"], max_delay=MAX_DELAY if delayed else 0, **features)
    if "horizon" in numbers:
        numbers["max_steps_in_episode"] = numbers.pop("horizon")
    params = replace(env.default_params, **numbers)
    if everything:
        edits += [iv.no_edit()] * (MAX_EDITS - len(edits))
        nothing = iv.decoy(0.0, iv.Decay.LINEAR, (0.0, 0.0))
        params = replace(params, edits=iv.stack_edits(edits), decoy=nothing)
    params = bind(params, *start_states(entry["seed"]))
    return env, iv.apply_probe(params, probe_of(probe))


def replay(envs: tuple[MesaShadowField, ...], params: EnvParams, actions: Any) -> Any:
    """Open-loop replay of a group: `actions` `[B, T, 2]`; returns first readings and all steps.

    The environments differ in what they observe, not in how the world moves: one of them moves it
    and each reads it. The scan runs past the end of an episode; readers look at the rows before.
    """

    def episode(params: EnvParams, actions: jax.Array) -> Any:
        key = jax.random.key(0)
        first = envs[0].start_state(key, params)

        def step(state: EnvState, action: jax.Array) -> Any:
            state, outcome = envs[0].transition(key, state, action, params)
            readings = [env.sense(key, state, params) for env in envs]
            return state, (state, outcome, readings, envs[0].episode_metrics(state, params))

        readings = [env.sense(key, first, params) for env in envs]
        return readings, jax.lax.scan(step, first, actions)[1]

    return jax.vmap(episode)(params, actions)


def groups() -> list[list[tuple]]:
    """Return `(entry, env, params)` of all golden entries by what they compile to."""
    by_program = defaultdict(list)
    for entry in TRAJECTORIES:
        env, params = world_of(entry)
        by_program[env.max_delay, jax.tree.structure(params)].append((entry, env, params))
    return list(by_program.values())


def run_group(group: list[tuple]) -> dict[str, dict]:
    """Return for each entry of a group what golden holds: arrays by name, and `metrics`."""
    golden = golden_arrays()
    envs = tuple(dict.fromkeys(env for _, env, _ in group))
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *(params for _, _, params in group))
    actions = np.zeros((len(group), HORIZON, 2))
    for row, (entry, _, _) in enumerate(group):
        commanded = golden[f"{entry['name']}_action"]
        actions[row, : len(commanded)] = commanded
    # In float32 as training compiles it; in float64 it is the formulas that are compared.
    jit = quick_jit if jnp.result_type(float) == jnp.float64 else jax.jit
    results = jax.device_get(jit(replay, static_argnums=0)(envs, params, actions))
    return {
        entry["name"]: _result(jax.tree.map(lambda leaf: leaf[row], results), envs.index(env), own)  # noqa: B023
        for row, (entry, env, own) in enumerate(group)
    }


def _result(results: Any, reader: int, params: EnvParams) -> dict[str, Any]:
    first, (states, outcomes, readings, metrics) = results
    done = outcomes.terminated | outcomes.truncated
    last = int(np.argmax(done))
    rows = slice(0, last + 1)
    return {
        "position": np.concatenate([params.start[None], states.position[rows]]),
        "goal": np.concatenate([params.goal[None], states.goal[rows]]),
        "observation": np.concatenate(
            [first[reader].observation[None], readings[reader].observation[rows]]
        ),
        "reward": np.stack([getattr(outcomes.channels, c)[rows] for c in COLUMNS], axis=-1),
        "metrics": {
            **{k: v[last].item() for k, v in vars(metrics).items()},
            "outcome": "success" if outcomes.terminated[last] else "timeout",
        },
    }
