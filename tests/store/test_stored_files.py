"""Files as an earlier program wrote them, of tests/stored: none is ever written anew."""

import json

import pytest

from pathb_jax.runs.loading import load
from pathb_jax.store.checkpoints import State, named_arrays, read_leaves, read_state
from pathb_jax.store.integrity import find_damage
from pathb_jax.store.json_files import encode_json
from pathb_jax.store.models import to_json
from pathb_jax.store.policy_file import read_policy
from pathb_jax.studies.anchors import anchors_table
from pathb_jax.studies.envelope_table import envelope_table


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
    assert to_json(state) == content
    assert named_arrays(step, ["history"])["history"].shape == (6, 14)
    loaded = load(step, None, "--checkpoint")
    assert int(loaded.state.update) == 6


def test_a_policy(stored):
    """Of the same run."""
    content = json.loads((stored / "small.policy.json").read_text())
    policy = read_policy(stored / "small.policy.json")
    assert json.loads(encode_json(policy.model_dump())) == content
    assert [layer.weight.shape for layer in policy.layers] == [(64, 6), (64, 64), (2, 64)]


@pytest.mark.parametrize("table", [anchors_table, envelope_table])
def test_rows_of_a_study(stored, tmp_path, table):
    """Of the studies' tables, one of them of a run that diverged; written again as they were."""
    name = f"{table.__name__.removesuffix('_table')}.csv"
    first, second, third = table(stored / name).read()
    copy = table(tmp_path / name)
    for row in (second, third, first):
        copy.add(row)
    assert copy.path.read_bytes() == (stored / name).read_bytes()
    assert getattr(third, "diverged", 1) == 1


def test_what_a_later_program_adds_to_a_checkpoint_is_kept(stored):
    content = json.loads((stored / "checkpoint" / "6" / "state.json").read_text())
    assert State.model_validate(content | {"more": [1]}).model_dump()["more"] == [1]
