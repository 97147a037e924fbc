"""Files as an earlier program wrote them, of tests/stored: none is ever written anew."""

import json

import pytest

from pathb_jax.runs.loading import load
from pathb_jax.store.checkpoints import State, named_arrays, read_leaves, read_state
from pathb_jax.store.integrity import find_damage


@pytest.fixture
def stored(repository):
    return repository / "tests" / "stored"


def test_a_checkpoint(stored):
    """Of a run of `train_ppo` at Small: six updates of 64 steps."""
    step = stored / "checkpoint" / "6"
    assert find_damage(step) is None
    state, content = read_state(step), json.loads((step / "state.json").read_text())
    assert (state.update, state.success_rate, state.meta) == (6, 0.0, content["meta"])
    assert list(read_leaves(step)) == list(content["leaves"])
    assert json.loads(json.dumps(state.model_dump())) == content
    assert named_arrays(step, ["history"])["history"].shape == (6, 14)
    loaded = load(step, None, "--checkpoint")
    assert int(loaded.state.update) == 6


def test_what_a_later_program_adds_to_a_checkpoint_is_kept(stored):
    content = json.loads((stored / "checkpoint" / "6" / "state.json").read_text())
    assert State.model_validate(content | {"more": [1]}).model_dump()["more"] == [1]
