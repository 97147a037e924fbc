"""Golden trajectories as environments, bound parameters and one vmapped scan per static shape."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from envs import interventions as iv
from envs.shadow_field import MesaShadowField
from envs.start_states import start_states
from envs.world import bind

GOLDEN = Path(__file__).parents[1] / "golden"
TRAJECTORIES = json.loads((GOLDEN / "trajectories.json").read_text())["trajectories"]
COLUMNS = json.loads((GOLDEN / "trajectories.json").read_text())["reward_columns"]
DECAYS = {"linear": iv.Decay.LINEAR, "inv_sq": iv.Decay.INV_SQ, "gaussian": iv.Decay.GAUSSIAN}
MIRRORS = {"x": iv.Mirror.X, "y": iv.Mirror.Y}
HORIZON = 200


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
        mirror=MIRRORS.get(entry.get("mirror"), iv.Mirror.NONE),
        delay=entry.get("sensor_delay", iv.KEEP_DELAY),
        decoy=decoy and iv.decoy(decoy["strength"], DECAYS[decoy["decay"]], decoy["at"]),
    )


def world_of(entry: dict):
    """Return `(env, params)` of a golden entry."""
    numbers = dict(entry.get("params", {}))
    features = {name: numbers.pop(name, False) for name in ("texture_channel", "basin_channel")}
    probe = entry.get("probe", {})
    longest = max(numbers.get("delay", 0), probe.get("sensor_delay", 0))
    env = MesaShadowField(entry["tier"], max_delay=longest or None, **features)
    if "horizon" in numbers:
        numbers["max_steps_in_episode"] = numbers.pop("horizon")
    edits = [edit_of(edit) for edit in entry.get("edits", [])]
    params = env.default_params.replace(**numbers, edits=iv.stack_edits(edits) if edits else None)
    params = bind(params, *start_states(entry["seed"]))
    return env, iv.apply_probe(params, probe_of(probe))


@functools.partial(jax.jit, static_argnums=0)
def replay(env, params, actions):
    """Open-loop replay of a group: `actions` `[B, T, 2]`; returns the first state's and all steps'.

    The scan runs past the end of an episode; readers look at the first `steps` rows.
    """

    def one(params, actions):
        key = jax.random.key(0)
        first = env.start_state(key, params)

        def step(state, action):
            state, outcome = env.transition(key, state, action, params)
            row = (
                state,
                outcome,
                env.sense(key, state, params),
                env.episode_metrics(state, params),
            )
            return state, row

        return env.sense(key, first, params), jax.lax.scan(step, first, actions)[1]

    return jax.vmap(one)(params, actions)


def groups() -> list[list[dict]]:
    """Return the golden entries by what they compile to."""
    found = defaultdict(list)
    for entry in TRAJECTORIES:
        env, params = world_of(entry)
        shapes = tuple(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(params))
        found[env, jax.tree.structure(params), shapes].append(entry)
    return list(found.values())


def run_group(entries: list[dict]) -> dict[str, dict[str, np.ndarray]]:
    """Return for each entry of a group what golden holds: arrays by name, and `metrics`."""
    golden = golden_arrays()
    worlds = [world_of(entry) for entry in entries]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params for _, params in worlds))
    actions = np.zeros((len(entries), HORIZON, 2))
    for row, entry in enumerate(entries):
        commanded = golden[f"{entry['name']}_action"]
        actions[row, : len(commanded)] = commanded
    first, rows = jax.device_get(replay(worlds[0][0], params, actions))
    return {
        entry["name"]: _result(row, entry, params, first, rows) for row, entry in enumerate(entries)
    }


def _result(row, entry, params, first, rows):
    first, (states, outcomes, readings, metrics) = jax.tree.map(
        lambda leaf: leaf[row], (first, rows)
    )
    done = outcomes.terminated | outcomes.truncated
    last = int(np.argmax(done))
    steps = last + 1
    start, goal = np.asarray(params.start)[row], np.asarray(params.goal)[row]
    return {
        "position": np.concatenate([start[None], states.position[:steps]]),
        "goal": np.concatenate([goal[None], states.goal[:steps]]),
        "observation": np.concatenate([first.observation[None], readings.observation[:steps]]),
        "reward": np.stack([getattr(outcomes.channels, c)[:steps] for c in COLUMNS], axis=-1),
        "training_reward": outcomes.reward[:steps],
        "metrics": {
            **{k: v[last].item() for k, v in vars(metrics).items()},
            "outcome": "success" if outcomes.terminated[last] else "timeout",
        },
    }
