"""A run whose figures stop being finite says so and keeps what was good."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import (
    SHAPES,
    VARIANT,
    Watcher,
    assert_same_bits,
    command_line,
    figures,
    lasting_history,
    read,
    rows,
    small_config,
    stored_state,
)

from pathb_jax.cli.train import main
from pathb_jax.learn.program import Program
from pathb_jax.runs import run
from pathb_jax.runs.manifest import Divergence
from pathb_jax.runs.trainer import train


def assert_all_finite(folder):
    tables = list(folder.rglob("*.csv"))
    assert tables
    for path in tables:
        for row in rows(path):
            assert np.isfinite(figures(row)).all(), path


@pytest.fixture
def poison(monkeypatch):
    """Make a parameter infinite after three updates; nothing else is pretended."""
    run_chunk = Program.train

    def poisoned(self, state, *rest):
        if int(state.update) == 3:
            bad = {**state.params, "log_std": jnp.full(2, jnp.inf)}
            state = state.replace(params=bad)
        return run_chunk(self, state, *rest)

    monkeypatch.setattr(Program, "train", poisoned)


def test_an_absurd_learning_rate_diverges(tmp_path, capsys):
    out = tmp_path / "run"
    words = command_line(variant=VARIANT, updates=6, lr=1e30, out=out, **SHAPES)
    assert main(words) == 4
    printed = capsys.readouterr()
    manifest = read(next((out / "manifests").iterdir()))
    assert manifest["status"] == "diverged"
    diverged = manifest["diverged"]
    assert f"diverged at update {diverged['update']}" in printed.out
    assert diverged["quantity"] in printed.out
    assert "Traceback" not in printed.err
    assert_all_finite(out)
    assert len(rows(next((out / "logs").glob("*_history.csv")))) == diverged["update"] - 1
    # Asked again, it reads the same and trains nothing.
    assert main(words) == 4
    assert capsys.readouterr().out.splitlines()[-1] == printed.out.splitlines()[-1]


def test_what_was_finite_within_a_long_chunk_is_kept(tmp_path, monkeypatch):
    # Some updates at this rate are finite, then log_std leaves what exp can take.
    flags = {"lr": 5.0, "updates": 40, "eval_every": 100}
    outcomes, chunks = [], []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(run, "CHUNK_SECONDS", seconds)
        watcher = Watcher()
        outcomes.append(train(small_config(tmp_path / str(seconds), **flags), watcher))
        chunks.append(len(watcher.chunks))
    one_by_one, at_once = outcomes
    assert one_by_one.diverged == at_once.diverged
    good = at_once.diverged.update - 1
    assert at_once.history["update"].tolist() == list(range(1, good + 1))
    assert chunks[1] < chunks[0]
    assert lasting_history(one_by_one.files.history) == lasting_history(at_once.files.history)


def test_a_reward_beyond_float32_diverges(tmp_path):
    outcome = train(small_config(tmp_path / "run", reward_channel_scale=1e38))
    assert outcome.status == "diverged"
    assert outcome.diverged.quantity in ("mean_reward", "value_loss")


def test_the_last_good_checkpoint_is_kept(finished, tmp_path, poison):
    watcher = Watcher()
    outcome = train(small_config(tmp_path / "run"), watcher)
    assert outcome.status == "diverged"
    assert outcome.diverged.update == 4
    assert outcome.summaries == {}
    assert outcome.history["update"].tolist() == [1, 2, 3]
    assert outcome.env_steps == 3 * 64
    assert not outcome.files.policy.exists()
    assert_all_finite(tmp_path)
    kept = stored_state(small_config(tmp_path / "run"))
    assert int(kept.update) == 3
    finite = jax.tree.map(lambda x: bool(np.isfinite(np.asarray(x)).all()), kept.params)
    assert all(jax.tree.leaves(finite))
    # It is the state that a run that did not diverge had there.
    twin = finished.files.checkpoints / "3"
    config = small_config(tmp_path / "twin", load_checkpoint=twin, eval_only=True)
    from pathb_jax.runs.loading import load_parent

    assert_same_bits(load_parent(config).state, kept)


def test_the_first_bad_quantity_is_named(tmp_path, poison):
    outcome = train(small_config(tmp_path / "run"))
    # Infinite actions are clipped, so rewards stay finite; what is learned from them does not.
    assert outcome.diverged.quantity == "policy_loss"


def test_parameters_alone_can_be_what_diverged(tmp_path, monkeypatch):
    run_chunk = Program.train

    def poisoned(self, state, *rest):
        state, chunk = run_chunk(self, state, *rest)
        return state, chunk._replace(finite=jnp.asarray(False))

    monkeypatch.setattr(Program, "train", poisoned)
    outcome = train(small_config(tmp_path / "run"))
    assert outcome.diverged == Divergence(update=1, quantity="parameters")
    assert outcome.history["update"].tolist() == []
