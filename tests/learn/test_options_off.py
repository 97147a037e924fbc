"""Options that are off are not there, and options set to do nothing change nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learn_setup import largest_difference, make_span, on_stub, run_config, shadow_field
from quick import quick_jit
from small_runs import assert_same_bits
from stubs import UNBOUND, Walk

from pathb_jax.config_checks import validated
from pathb_jax.learn import networks, training, update
from pathb_jax.learn.program import program

UPDATES = 3

OFF = {
    "critic-lr": {"hparams": {"critic_lr": None}},
    "value-clip": {"hparams": {"value_clip": None}},
    "entropy-schedule": {"schedule": {"entropy_schedule": "constant"}},
    "lr-schedule": {"schedule": {"lr_schedule": "constant"}},
    "truncation": {"train": {"truncation": "terminal"}},
    "reshuffle-epochs": {"train": {"reshuffle_epochs": False}},
    "train-starts": {"train": {"train_starts": "fixed"}},
}


def changed(config, groups):
    """Replace fields of a configuration's groups."""
    made = {
        name: dataclasses.replace(getattr(config, name), **fields)
        for name, fields in groups.items()
    }
    return validated(dataclasses.replace(config, **made))


@pytest.mark.parametrize("option", OFF)
def test_off_is_the_same_compiled_program(option):
    """The very program that serves runs which never heard of the option, fed the same numbers."""
    plain = run_config()
    named = changed(plain, OFF[option])
    assert named == plain
    assert program(named) is program(plain)


ON = {
    "critic-lr": {"hparams": {"critic_lr": 3e-4}},
    "value-clip": {"hparams": {"value_clip": 0.2}},
    "entropy-schedule": {"schedule": {"entropy_schedule": "linear:0"}},
    "lr-schedule": {"schedule": {"lr_schedule": "linear:0"}},
    "truncation": {"train": {"truncation": "bootstrap"}},
    "reshuffle-epochs": {"train": {"reshuffle_epochs": True}},
    "train-starts": {"train": {"train_starts": "fresh"}},
}


@pytest.mark.parametrize("option", ON)
def test_on_is_another_configuration(option):
    assert changed(run_config(), ON[option]) != run_config()


def test_nothing_of_an_option_is_in_the_program_without_it(monkeypatch):
    """Trace an update in which every option's own code refuses to be run."""
    setup = on_stub(Walk(times_out=True), UNBOUND)

    def traced_text():
        fresh = jax.jit(lambda *args: training.train_update(setup.config, setup.env, *args))
        state, span = setup.init(), make_span(0, 5)
        return fresh.lower(state, setup.hparams, setup.env_params, span).as_text()

    plain = traced_text()

    def refuse(*args, **kwargs):
        raise AssertionError("an option is off, and yet here")

    drawn = []
    real_order = update.random_order
    values = []
    real_value = networks.critic_value
    monkeypatch.setattr(update, "_two_rates", refuse)
    monkeypatch.setattr(update, "value_error", refuse)
    monkeypatch.setattr(update, "random_order", lambda *args: drawn.append(1) or real_order(*args))
    monkeypatch.setattr(
        networks, "critic_value", lambda *args: values.append(args[2].shape) or real_value(*args)
    )
    assert traced_text() == plain
    assert len(drawn) == 1  # one order per update
    # The rollout's values, the last one, and each minibatch's (traced once): no final values.
    assert set(values) == {(16, 4, 3), (4, 3), (16, 3)}
    assert values.count((16, 4, 3)) == 1


def test_a_constant_schedule_hands_on_the_very_numbers():
    hparams = on_stub(Walk(), UNBOUND).hparams
    of_update = training.scheduled(hparams, jnp.int32(3), make_span(0, 10))
    assert of_update.lr is hparams.lr
    assert of_update.entropy_coef is hparams.entropy_coef


def outcome(setup, **changes):
    """State and rows after a few updates."""
    setup = setup.replace(**changes)
    state, chunk = setup.chunk(setup.init(), UPDATES, make_span(0, UPDATES))
    return state, np.stack(list(chunk.metrics.values()))


@pytest.fixture(scope="module")
def plain():
    return outcome(on_stub(Walk(), UNBOUND))


NEUTRAL = {"critic_lr": 3e-4, "value_clip": 1e9, "entropy_coef_end": 0.01, "lr_end": 3e-4}
"""Options that are numbers, on and without effect: together, so that they share a program."""


def assert_equal_but_for_rounding(one, other):
    assert largest_difference(one[0].params, other[0].params) < 1e-6
    assert largest_difference(one[0].opt_state, other[0].opt_state) < 1e-4
    np.testing.assert_allclose(one[1], other[1], atol=1e-5, rtol=1e-5)


def test_options_set_to_do_nothing_change_nothing(plain):
    assert_equal_but_for_rounding(outcome(on_stub(Walk(), UNBOUND), **NEUTRAL), plain)


def test_bootstrap_without_time_outs_changes_nothing(plain):
    assert_equal_but_for_rounding(outcome(on_stub(Walk(), UNBOUND), truncation="bootstrap"), plain)


@pytest.mark.parametrize(
    "change",
    [{"critic_lr": 1e-3}, {"value_clip": 1e-3}, {"entropy_coef_end": 1.0}, {"lr_end": 1e-3}],
    ids=str,
)
def test_the_same_options_set_to_do_something_do(plain, change):
    state, _ = outcome(on_stub(Walk(), UNBOUND), **{**NEUTRAL, **change})
    assert largest_difference(state.params, plain[0].params) > 1e-5


def test_reshuffled_epochs_learn_otherwise(plain):
    state, _ = outcome(on_stub(Walk(), UNBOUND), reshuffle_epochs=True)
    assert 1e-5 < largest_difference(state.params, plain[0].params) < 1e-2


def test_optimizer_state_has_one_shape_with_and_without_critic_lr():
    """So that --critic-lr may be switched on when a run is continued."""
    setup = on_stub(Walk(), UNBOUND)
    params = setup.init().params
    states = [
        quick_jit(lambda p, h=h: update.optimizer(h).init(p))(params)
        for h in (setup.hparams, setup.replace(critic_lr=1e-3).hparams)
    ]
    assert_same_bits(*states)


def test_fixed_starts_come_back_after_every_episode():
    setup = shadow_field({"max_steps_in_episode": 1})
    state = setup.init()
    for number in range(3):
        after, _ = setup.collect(state, jax.random.key(number))
        np.testing.assert_array_equal(after[0].position, setup.env_params.start)
        np.testing.assert_array_equal(after[0].goal, setup.env_params.goal)
