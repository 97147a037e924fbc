"""A fork goes on from a kept state, exactly, with its own noise and numbers."""

import numpy as np
import pytest
from small_runs import (
    BATCH_SIZE,
    FinishedRun,
    Watcher,
    assert_same_bits,
    bad_input_line,
    command_line,
    lasting_history,
    read,
    rows,
    small_config,
    stored_state,
    tree_of,
)

from pathb_jax.cli.train import main
from pathb_jax.errors import InputError
from pathb_jax.judging.runs import judge_run
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.runs.trainer import train
from pathb_jax.studies.digest import digest
from pathb_jax.verification.verify import verify

AT = 2


@pytest.fixture(
    scope="module", params=[pytest.param("constant", marks=pytest.mark.slow), "linear:1e-5"]
)
def parent(request, tmp_path_factory):
    """A run of six updates that keeps every second state."""
    config = small_config(
        tmp_path_factory.mktemp("parent") / "run",
        keep_every=AT,
        seed=3,
        lr_schedule=request.param,
        entropy_schedule=request.param.replace("1e-5", "0.5"),
    )
    return FinishedRun(config, train(config), Watcher())


def fork(parent, out, **flags):
    schedule = parent.config.schedule
    return small_config(
        out,
        **{
            "load_checkpoint": parent.files.out,
            "fork_at": AT,
            "updates": 4,
            "seed": schedule.seed,
            "lr_schedule": schedule.lr_schedule,
            "entropy_schedule": schedule.entropy_schedule,
            **flags,
        },
    )


def test_without_a_change_and_with_its_noise_it_is_the_parent_bit_by_bit(parent, tmp_path):
    config = fork(parent, tmp_path / "fork")
    outcome = train(config)
    assert_same_bits(stored_state(config), stored_state(parent.config))
    assert lasting_history(outcome.files.history) == lasting_history(parent.files.history)[AT:]
    for start in (10000, 20000, 30000):
        sets = [run.own_set(start, first=start == 10000) for run in (outcome.files, parent.files)]
        assert sets[0].rows.read_bytes() == sets[1].rows.read_bytes()
    manifest = read(outcome.files.manifest)
    assert manifest["fork"] == {
        "parent": str(parent.files.out),
        "slug": parent.files.slug,
        "update": AT,
        "change": {},
        "seed": 3,
        "first_update": 0,
        "updates": 6,
    }
    assert (manifest["first_update"], manifest["env_steps"]) == (AT, 6 * BATCH_SIZE)
    assert verify(outcome.files.out, replay=True).problems == []
    judged = judge_run(outcome.files.out, load_protocol("path_b"))
    assert (judged.env_steps, judged.along.updates) == (6 * BATCH_SIZE, [2, 3, 4])
    assert "fork" not in read(parent.files.manifest)


@pytest.mark.parametrize("stop", [1, 3])  # before its first checkpoint, and after one
def test_a_stopped_fork_goes_on_exactly(parent, tmp_path, one_update_per_chunk, stop):
    def interrupt(progress):
        if progress.update == stop:
            raise KeyboardInterrupt

    changes = {"seed": 9, "value_coef": 0.25}
    with pytest.raises(KeyboardInterrupt):
        train(fork(parent, tmp_path / "stopped", **changes), Watcher(interrupt))
    resumed = train(fork(parent, tmp_path / "stopped", **changes))
    whole = train(fork(parent, tmp_path / "whole", **changes))
    assert digest(resumed.files.out) == digest(whole.files.out)
    manifest = read(resumed.files.manifest)
    assert manifest["fork"] == read(whole.files.manifest)["fork"]
    assert manifest["fork"]["change"] == {"value_coef": 0.25}


def test_noise_and_numbers_are_its_own(parent, tmp_path):
    variants = [{}, {"seed": 4}, {"value_coef": 0.25}, {"critic_lr": 1e-3}]
    after = [
        rows(train(fork(parent, tmp_path / str(k), **flags)).files.history)[0]
        for k, flags in enumerate(variants)
    ]
    # The rollout is the first thing that noise touches, the loss the first that a number does.
    rewards = [row["mean_reward"] for row in after]
    assert rewards[0] == rewards[2] == rewards[3] != rewards[1]
    assert len({row["value_loss"] for row in after}) == 4


def test_a_fork_of_a_fork_keeps_the_first_plan(parent, tmp_path):
    first = train(fork(parent, tmp_path / "first", keep_every=2))
    config = fork(
        parent, tmp_path / "second", load_checkpoint=first.files.out, fork_at=4, updates=2
    )
    outcome = train(config)
    assert_same_bits(stored_state(config), stored_state(parent.config))
    assert read(outcome.files.manifest)["fork"]["updates"] == 6


def test_environments_are_not_reset(parent, tmp_path):
    continued = train(fork(parent, tmp_path / "continued", fork_at=None))
    forked = train(fork(parent, tmp_path / "forked"))
    assert np.any(continued.history["mean_reward"][:4] != forked.history["mean_reward"])


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"fork_at": 5}, r"--fork-at: 5 is not allowed; .* states after 2, 3, 4, 6 \(see --keep"),
        ({"batch_envs": 8}, r"--batch-envs: 8 .* which has 4"),
        ({"epochs": 1}, r"--epochs: 1 .* which has 2"),
        ({"reset_optimizer": True}, r"--fork-at: 2 .* Adam's moments"),
        ({"load_checkpoint": None}, r"--fork-at: 2 .* goes with --load-checkpoint"),
        ({"updates": 0}, r"--fork-at: 2 .* a fork trains"),
        ({"fork_at": 0}, r"--fork-at: 0 .* >= 1"),
    ],
)
def test_what_cannot_be_forked(parent, tmp_path, flags, line):
    with pytest.raises(InputError, match=line):
        train(fork(parent, tmp_path / "fork", **flags))
    assert tree_of(tmp_path) == {}


def test_a_schedule_ends_with_the_plan(parent, tmp_path):
    longer = fork(parent, tmp_path / "longer", updates=5)
    if parent.config.schedule.lr_end is None:
        assert len(train(longer).history["update"]) == 5
    else:
        with pytest.raises(InputError, match=r"--updates: 5 .* give 4 at most"):
            train(longer)


def test_the_command(finished, tmp_path, capsys):
    flags = {"variant": finished.config.task.variant, "out": tmp_path / "run", "fork_at": 3}
    line = bad_input_line(main, command_line(**flags), capsys, tmp_path)
    assert "--fork-at: 3" in line
