"""A new run from an old one's checkpoint, and evaluating a checkpoint without training."""

import shutil

import jax
import numpy as np
import pytest
from small_runs import (
    BATCH_SIZE,
    SHAPES,
    UPDATES,
    VARIANT,
    assert_same_bits,
    command_line,
    read,
    rows,
    small_config,
    stored_state,
    tree_of,
)

from pathb_jax.cli.train import main
from pathb_jax.errors import InputError
from pathb_jax.learn import normalizer, training
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import Program
from pathb_jax.learn.rollout import reset_bank
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.runs import beginning, trainer
from pathb_jax.runs.evaluating import evaluate_only
from pathb_jax.runs.loading import load_parent
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train


@pytest.fixture
def first_states(monkeypatch):
    """The states that runs begin from, as they are when training first gets them."""
    begun = []
    begin = trainer.begin

    def watch(*arguments):
        run = begin(*arguments)
        begun.append(jax.device_get(run.state))
        return run

    monkeypatch.setattr(trainer, "begin", watch)
    return begun


def step_folder(finished, update):
    return finished.files.checkpoints / str(update)


def test_the_count_goes_on(finished, tmp_path):
    outcome = train(small_config(tmp_path / "on", load_checkpoint=finished.files.out, updates=2))
    assert outcome.history["update"].tolist() == [UPDATES + 1, UPDATES + 2]
    assert outcome.history["env_steps"].tolist() == [7 * BATCH_SIZE, 8 * BATCH_SIZE]
    assert outcome.env_steps == 8 * BATCH_SIZE
    manifest = read(outcome.files.manifest)
    assert manifest["first_update"] == UPDATES
    assert manifest["update"] == UPDATES + 2
    assert manifest["parent_checkpoint"].endswith(f"/{UPDATES}")
    assert {p.name for p in outcome.files.checkpoints.iterdir()} == {"7", "8"}
    assert read(outcome.files.policy)["metadata"]["env_steps"] == 8 * BATCH_SIZE


def test_what_is_taken_over_and_what_begins_again(finished, tmp_path, first_states):
    config = small_config(tmp_path / "on", load_checkpoint=finished.files.out, updates=1)
    train(config)
    (state,), parent = first_states, stored_state(finished.config)
    assert_same_bits(state.params, parent.params)
    assert_same_bits(state.opt_state, parent.opt_state)
    assert_same_bits(state.update, parent.update)
    # Environments are reset, and their first observations merged again.
    env = make_env(config.train)
    env_params = task_params(config, env)
    obs, _ = reset_bank(env, env_params, jax.random.key(0), config.train.batch_envs)
    assert_same_bits(state.obs, obs)
    assert not state.env_state.time.any()
    merged = normalizer.merge(parent.normalizer, obs)
    jax.tree.map(np.testing.assert_array_almost_equal_nulp, state.normalizer, merged)
    assert (np.asarray(merged.mean) != np.asarray(parent.normalizer.mean)).any()


def test_reset_optimizer_drops_the_moments_alone(finished, tmp_path, first_states):
    flags = {"load_checkpoint": finished.files.out, "updates": 1}
    for reset in (False, True):
        train(small_config(tmp_path / str(reset), reset_optimizer=reset, **flags))
    kept, dropped = first_states
    assert any(np.any(leaf) for leaf in jax.tree.leaves(kept.opt_state))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(dropped.opt_state))
    assert_same_bits(kept.replace(opt_state=None), dropped.replace(opt_state=None))


def test_no_noise_repeats(finished, tmp_path, first_states):
    """Update u of any run draws from fold_in(key(seed), u): the parent's seventh is ours."""
    config = small_config(tmp_path / "on", load_checkpoint=finished.files.out, updates=1)
    outcome = train(config)
    (state,) = first_states
    assert state.update == UPDATES
    assert_same_bits(state.key, stored_state(finished.config).key)
    fresh = small_config(tmp_path / "fresh", updates=1)
    first_row = train(fresh).history["policy_loss"][0]
    assert outcome.history["policy_loss"][0] != first_row
    assert finished.outcome.history["policy_loss"][0] == first_row


def test_one_steps_folder_can_be_named(finished, tmp_path, first_states):
    config = small_config(tmp_path / "on", load_checkpoint=step_folder(finished, 3), updates=1)
    assert train(config).history["update"].tolist() == [4]
    assert first_states[0].update == 3


def test_a_curriculum_variant_starts_from_a_checkpoint(finished, tmp_path, first_states):
    config = small_config(
        tmp_path / "curriculum",
        variant="curriculum_reward_then_sig",
        load_checkpoint=finished.files.out,
        reset_optimizer=True,
        updates=2,
    )
    outcome = train(config)
    assert outcome.status == "completed"
    assert_same_bits(first_states[0].params, stored_state(finished.config).params)
    assert read(outcome.files.policy)["family"] == "L-Curriculum"
    assert read(outcome.files.manifest)["env_config"]["reward_mode"] == "signature"


def test_other_numbers_of_environments_may_follow(finished, tmp_path):
    """The environments begin again, so their number is the new run's own."""
    config = small_config(
        tmp_path / "wide", load_checkpoint=finished.files.out, batch_envs=8, updates=0
    )
    loaded = load_parent(config).state
    env = make_env(config.train)
    state = training.continue_from(
        config.train, env, task_params(config, env), traced(config), 0, loaded, False
    )
    assert state.obs.shape[0] == 8
    assert_same_bits(state.params, loaded.params)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"tier": "Medium"}, "its tier is Small, this run's is Medium"),
        ({"sensor_tier": "privileged-field"}, "its sensor tier is local-probe-field"),
    ],
)
def test_a_checkpoint_of_another_tier_is_refused(finished, tmp_path, monkeypatch, flags, said):
    monkeypatch.setattr(beginning, "program", None)  # and before minutes of compiling
    config = small_config(tmp_path / "on", load_checkpoint=finished.files.out, **flags)
    for command in (train, evaluate_only):
        with pytest.raises(InputError) as caught:
            command(config)
        assert str(caught.value).startswith("--load-checkpoint: ")
        assert said in str(caught.value)
    assert not (tmp_path / "on").exists()


def spoil(folder, how):
    """Turn a copy of a run into something that cannot be loaded."""
    step = next((folder / "checkpoints").iterdir()) / str(UPDATES)
    if how == "missing":
        shutil.rmtree(folder)
    elif how == "empty":
        shutil.rmtree(folder / "checkpoints")
    elif how == "bit":
        data = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif how == "file lost":
        shutil.rmtree(step / "arrays")
    elif how == "meta":
        (step / "state.json").write_text("{}")


@pytest.mark.parametrize("how", ["missing", "empty", "bit", "file lost", "meta"])
@pytest.mark.parametrize("only", [False, True])
def test_what_cannot_be_loaded_is_bad_input(finished, tmp_path, capsys, how, only):
    copy, out = tmp_path / "copy", tmp_path / "out"
    shutil.copytree(finished.files.out, copy)
    spoil(copy, how)
    flags = command_line(
        **SHAPES,
        variant=VARIANT,
        out=out,
        load_checkpoint=copy,
        eval_only=only,
    )
    assert main(flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --load-checkpoint: ")
    assert str(copy) in line
    assert not out.exists()


# Evaluating only.


def evaluated(finished, tmp_path, **flags):
    config = small_config(
        tmp_path / "evaluated", load_checkpoint=finished.files.out, eval_only=True, **flags
    )
    summaries = evaluate_only(config)
    return run_files(config), summaries


def test_the_shifted_set_evaluates_to_the_runs_own_figures(finished, tmp_path):
    files, (summary,) = evaluated(finished, tmp_path, eval_seed_start=(20000,))
    own = finished.outcome.summaries[20000]
    assert {**summary, "checkpoint": None} == {**own, "checkpoint": None}
    theirs = finished.files.evaluation_csv(20000, first=False)
    assert files.evaluation_csv(20000, first=False).read_bytes() == theirs.read_bytes()


def test_sets_in_one_pass_are_as_sets_one_by_one(finished, tmp_path):
    _, together = evaluated(finished, tmp_path / "a", eval_seed_start=(30000, 10000, 20000))
    for summary in together:
        start = summary["seed_start"]
        _, (alone,) = evaluated(finished, tmp_path / str(start), eval_seed_start=(start,))
        assert alone == summary
        own = finished.outcome.summaries[start]
        assert {**alone, "checkpoint": None} == {**own, "checkpoint": None}


def test_evaluating_writes_only_suffixed_names(finished, tmp_path):
    files, _ = evaluated(finished, tmp_path)
    written = {name for name, content in tree_of(files.out).items() if content}
    start = f"logs/{files.slug}_evaluation_seed_10000"
    assert written == {f"{start}.csv", f"{start}_summary.json"}


def test_no_updates_means_evaluating_only(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Program, "__init__", None)
    flags = {"variant": VARIANT, "eval_seeds": 4, "success_floor": 0.5}
    for name, how in (("a", {"updates": 0}), ("b", {"eval_only": True})):
        words = command_line(
            out=tmp_path / name, load_checkpoint=finished.files.out, **flags, **how
        )
        assert main(words) == 3
        printed = capsys.readouterr().out
        rate = finished.outcome.summaries[10000]["success_rate"]
        assert rate < 0.5
        assert f"success rate {rate:.3f} is below --success-floor 0.500" in printed
    first, second = tree_of(tmp_path / "a"), tree_of(tmp_path / "b")
    assert first == second


def test_an_earlier_checkpoint_can_be_evaluated(finished, tmp_path):
    config = small_config(
        tmp_path / "evaluated", load_checkpoint=step_folder(finished, 3), eval_only=True
    )
    (summary,) = evaluate_only(config)
    at_three = rows(finished.files.evaluations)[0]
    assert summary["mean_terminal_alignment"] == float(at_three["mean_terminal_alignment"])
    assert summary["checkpoint"] == str(step_folder(finished, 3))
    assert summary["env_steps"] == 3 * BATCH_SIZE
