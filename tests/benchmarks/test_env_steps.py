"""The environment's benchmark steps what it says, through the ends of episodes."""

import numpy as np
import pytest
from env_steps import Environments, Flags

from pathb_jax.errors import InputError

HORIZON = 200


def test_episodes_begin_anew_and_everything_is_consumed():
    subject = Environments(3, steps=HORIZON + 5)
    subject.step(1)
    state, (observed, paid), done = subject.carry
    assert done == HORIZON + 5
    np.testing.assert_array_equal(state.time, [5, 5, 5])
    np.testing.assert_array_equal(state.start, subject.env_params.start)
    assert np.all(np.asarray(state.position) != np.asarray(state.start))
    assert np.isfinite(observed).all()
    assert np.all(np.asarray(observed) != 0)
    assert len(set(np.asarray(paid).tolist())) == 3


@pytest.mark.parametrize(
    "flags", [Flags(envs=()), Flags(envs=(0,)), Flags(seconds=0.0), Flags(rounds=0)]
)
def test_nothing_to_measure_is_refused(flags):
    with pytest.raises(InputError):
        flags.check()
