"""Whole updates of a tiny network, replayed in NumPy float64: first reset to metrics row."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import reference
from learn_setup import shadow_field
from replay import Run, draws_of_update
from scalar_world import Numbers

from envs.start_states import start_states
from pathb_jax.config import Hparams
from pathb_jax.learn.training import METRICS

TOLERANCE = 1e-6
SHAPES = {"tier": "1x3", "batch_envs": 3, "epochs": 4}
SHORT = {**SHAPES, "rollout_length": 60, "minibatch_size": 36}
SHORT_WORLD = {
    "horizon": 25,
    "success_radius": 2.1,
    "success_dwell": 4,
    "half_width": 3.5,
}
TERMINAL = {"mode": "signature", "signature_shape": "terminal", "mixed_lambda": 0.0}
FAST = {"lr": 3e-2, "value_coef": 0.25, "gamma": 0.9, "gae_lambda": 0.8, "clip_range": 0.1}


class Case(NamedTuple):
    flags: dict[str, Any]
    hparams: dict[str, float]
    numbers: dict[str, Any]
    ends: set[str]


CASES = {
    "defaults": Case({**SHAPES, "rollout_length": 210, "minibatch_size": 90}, {}, {}, {"time-out"}),
    "short-episodes": Case(SHORT, {}, SHORT_WORLD, {"success", "time-out"}),
    "terminal-signature": Case(
        {**SHORT, "variant": "signature_ppo_terminal"},
        FAST,
        {**SHORT_WORLD, **TERMINAL},
        {"success", "time-out"},
    ),
    "options": Case(
        {**SHORT, "truncation": "bootstrap", "reshuffle_epochs": True},
        {**FAST, "critic_lr": 1e-2, "value_clip": 0.02},
        SHORT_WORLD,
        {"success", "time-out"},
    ),
    "deep": Case({**SHORT, "tier": "3x5"}, FAST, SHORT_WORLD, {"success", "time-out"}),
}


@pytest.mark.parametrize("name", CASES)
def test_updates_replayed_in_numpy(x64, name, record_property):
    case = CASES[name]
    world = {"max_steps_in_episode" if k == "horizon" else k: v for k, v in case.numbers.items()}
    world = {k: v for k, v in world.items() if k in ("max_steps_in_episode", *SHORT_WORLD)}
    setup = shadow_field(world, **case.flags, **case.hparams)
    state = setup.init(seed=4)
    numbers = Numbers(**case.numbers)
    starts = start_states(20000 + np.arange(setup.config.batch_envs))
    run = Run(jax.device_get(state.params), starts.start, starts.goal, numbers)
    hparams = Hparams(**case.hparams)
    for _ in range(2):
        draws = draws_of_update(setup.config, state)
        state, row = setup.update(state)
        expected = run.update(setup.config, hparams, draws)
        assert set(expected) == set(METRICS)
        differences = {name: abs(row[name] - expected[name]) for name in METRICS}
        got = reference.flatten(reference.as_numpy(jax.device_get(state.params)))
        differences["params"] = np.max(np.abs(got - reference.flatten(run.learner.params)))
        differences["mean"] = np.max(np.abs(state.normalizer.mean - run.statistics.mean))
        differences["var"] = np.max(np.abs(state.normalizer.var - run.statistics.var))
        differences["obs"] = np.max(np.abs(state.obs - run.obs))
        print(name, max(differences.items(), key=lambda item: item[1]), dict(run.ends))
        assert max(differences.values()) < TOLERANCE, differences
        np.testing.assert_allclose(state.normalizer.count, run.statistics.count, rtol=1e-15)
    assert set(run.ends) == case.ends
    assert float(state.obs.dtype.itemsize) == 8
    moved = np.max(np.abs(got - reference.flatten(reference.as_numpy(jax.device_get(setup.init(4).params)))))
    assert moved > 10 * TOLERANCE
