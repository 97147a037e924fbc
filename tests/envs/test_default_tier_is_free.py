"""What the default tier does not use costs it nothing: the program is the same without it."""

import jax
import jax.numpy as jnp
import pytest

from pathb_jax.envs import dynamics, sensors
from pathb_jax.envs.interventions import reward_edit, stack_edits
from pathb_jax.envs.shadow_field import MesaShadowField, bind


def program_text(params) -> str:
    env = MesaShadowField()
    key, action = jax.random.key(0), jnp.zeros(2)
    state = env.start_state(key, params)
    jax.clear_caches()  # a step traced before a patch must not be found again
    return str(jax.make_jaxpr(lambda *inputs: env.step(*inputs))(key, state, action, params))


@pytest.fixture
def bound():
    return bind(MesaShadowField().default_params, jnp.ones(2), -jnp.ones(2))


def test_without_edits_probes_delay_and_noise_the_step_is_the_same_program(bound, monkeypatch):
    complete = program_text(bound)

    def unedited(edits, channel, time, original, half_width):
        return original

    # Anything else that the step asked of edits, a decoy or the delay would now be an error.
    for module in (dynamics, sensors):
        monkeypatch.setattr(module, "edited_point", unedited)
        monkeypatch.delattr(module, "edited_scale")
    monkeypatch.setattr(sensors, "edit_observation", lambda edits, time, observation: observation)
    for name in ("decoy_samples", "push_samples", "read_samples"):
        monkeypatch.delattr(sensors, name)
    assert program_text(bound) == complete
    # Keys are split for gymnax's sake, which XLA removes; no number is drawn from one.
    assert "random_bits" not in complete


def test_an_edit_is_another_program(bound):
    edited = bound.replace(edits=stack_edits([reward_edit(5, 2.0)]))
    assert program_text(edited) != program_text(bound)
