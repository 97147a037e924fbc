"""The reproducibility check: what its comparisons say, and its vmapped program."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import build, small_config

from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program, together
from pathb_jax.learn.task import task_params
from pathb_jax.studies import reproducibility, vmapped
from pathb_jax.studies.reproducibility import (
    CommandFailed,
    Setting,
    bit_equality,
    run_commands,
    train_references,
    within,
)

REFERENCE = {"demo: history": "1", "demo: last checkpoint": "2", "all": "3"}


def equality(*others, ignoring=()):
    runs = {f"seed {seed}": (REFERENCE, other) for seed, other in enumerate(others)}
    return bit_equality("check", "this with that", runs, ignoring)


def test_equal_digests_are_a_kept_promise():
    finding = equality(REFERENCE, dict(REFERENCE))
    assert (finding.verdict, finding.promise) == ("kept", "bit-equal")
    assert finding.found == "4 parts of 2 runs equal"


def test_what_differs_is_named():
    finding = equality(REFERENCE, REFERENCE | {"demo: history": "9", "all": "8"})
    assert finding.verdict == "broken"
    assert finding.found == "differ: seed 1: history"


@pytest.mark.parametrize(
    "other",
    [
        {"demo: history": "1", "all": "3"},  # a part is missing
        REFERENCE | {"demo: policy": "4"},  # there is one more
    ],
)
def test_missing_parts_are_differences(other):
    assert equality(other).verdict == "broken"


def test_nothing_compared_is_not_kept():
    assert equality({"all": "3"}, ignoring=("history", "last checkpoint")).verdict == "broken"


def test_parts_that_may_differ_are_left_out():
    other = REFERENCE | {"demo: history": "9"}
    assert equality(other, ignoring=("history",)).verdict == "kept"


@pytest.mark.parametrize(
    ("deviation", "tolerance", "verdict"),
    [
        (0.0, 1e-5, "kept"),
        (1e-5, 1e-5, "kept"),
        (1.1e-5, 1e-5, "broken"),
        (math.nan, 1e-5, "broken"),
        (0.5, None, "no promise"),
    ],
)
def test_deviations_are_held_against_the_tolerance(deviation, tolerance, verdict):
    finding = within("check", "this with that", deviation, tolerance, "successes 1 and 1")
    assert finding.verdict == verdict
    assert "successes 1 and 1" in finding.found


def test_the_largest_deviation_is_over_all_leaves():
    first = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
    second = {"a": np.zeros(3, np.float32), "b": np.array([[1, 1], [1, 0.75]], np.float32)}
    assert vmapped.largest_deviation(first, first) == 0
    assert vmapped.largest_deviation(first, second) == 0.25
    broken = {**first, "a": np.array([0, np.nan, 0], np.float32)}
    assert math.isnan(vmapped.largest_deviation(broken, second))


def test_the_command_line_is_the_configuration(tmp_path: Path):
    setting = Setting(tmp_path, tier="Medium", updates=3, shapes={"batch-envs": 8})
    config = setting.run("alone/2", seed=2, eval_every=1)
    flags = {"variant": reproducibility.VARIANT, "tier": "Medium", "updates": 3, "batch_envs": 8}
    flags |= {"seed": 2, "eval_every": 1, "success_floor": 0.0, "out": tmp_path / "alone/2"}
    assert config == validated(build(**flags))
    assert setting.run("alone/2").eval_every == 3


def test_references_are_one_command_and_one_run_per_device(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(
        reproducibility,
        "run_commands",
        lambda commands, *, cached: started.append((list(commands), cached)),
    )
    setting = Setting(tmp_path, devices=(1, 2))
    train_references(setting)
    alone = [setting.words("alone/0"), setting.words("alone/1", seed=1)]
    assert started == [([setting.words("command")], False), (alone, True)]


def test_a_refused_command_is_bad_input_and_a_failed_one_is_not(monkeypatch):
    with pytest.raises(InputError, match="--updates"):
        run_commands([["--variant", reproducibility.VARIANT, "--updates", "-1"]], cached=True)
    monkeypatch.setattr(reproducibility, "_COMMANDS", "import sys; sys.exit('no such thing')")
    with pytest.raises(CommandFailed, match="exit code 1: no such thing"):
        run_commands([], cached=True)


@pytest.mark.slow  # compiles the vmapped program
def test_vmapped_runs_are_near_the_runs_alone(tmp_path):
    configs = [small_config(tmp_path, seed=seed, lr=lr) for seed, lr in ((0, 3e-4), (1, 1e-3))]
    one, three = vmapped.deviations(configs, (1, 3), eval_seeds=4)
    assert (one.updates, three.updates) == (1, 3)
    assert one.largest <= vmapped.ONE_UPDATE_TOLERANCE
    assert len(one.successes_alone) == len(one.successes_vmapped) == 2
    assert math.isfinite(three.largest)


@pytest.mark.slow  # compiles the vmapped program
def test_a_vmapped_run_has_its_own_numbers(tmp_path):
    """Another learning rate for the second run moves the second run alone."""
    configs = [small_config(tmp_path, seed=seed) for seed in (0, 1)]
    compiled = program(configs[0])
    params = [task_params(config, compiled.env) for config in configs]
    shared = together(configs[0], 2)

    def train(*rates):
        states = [compiled.init(c, p) for c, p in zip(configs, params, strict=True)]
        hparams = [traced(configs[0])._replace(lr=jnp.asarray(rate)) for rate in rates]
        ended, chunks = shared.train(states, hparams, params, [1, 1], [(0, 1)] * 2)
        assert [int(chunk.updates) for chunk in chunks] == [1, 1]
        return [jax.device_get(state.params["log_std"]) for state in ended]

    same, other = train(3e-4, 3e-4), train(3e-4, 3e-2)
    assert np.array_equal(same[0], other[0])
    assert not np.array_equal(same[1], other[1])
