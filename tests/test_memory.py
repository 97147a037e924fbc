"""Sizes that cannot be: what they would take and what is there, before anything is written."""

import types
from pathlib import Path

import pytest
from small_protocol import small_table, write_toml
from small_runs import VARIANT, bad_input_line, build

from pathb_jax.cli import evaluate, ladder, train
from pathb_jax.config import TrainConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.learn.hparams import options
from pathb_jax.learn.program import lower
from pathb_jax.runs import memory, side_by_side
from pathb_jax.system import backend

GB = 10**9


@pytest.fixture
def there(monkeypatch):
    """A machine with 16 GB."""
    monkeypatch.setattr(memory, "available", lambda device: 16 * GB)


@pytest.mark.parametrize(
    ("tier", "parameters"), [("Small", 9_413), ("Medium", 399_109), ("Large", 8_414_213)]
)
def test_parameters_are_counted(tier, parameters):
    assert memory.parameters(tier) == parameters


@pytest.mark.parametrize(
    "shapes",
    [
        {"batch_envs": 256},
        pytest.param({"minibatch_size": 4096}, marks=pytest.mark.slow),
        pytest.param({"truncation": "bootstrap"}, marks=pytest.mark.slow),
        pytest.param({"tier": "Medium"}, marks=pytest.mark.slow),
        pytest.param({"tier": "Large"}, marks=pytest.mark.slow),
    ],
)
def test_what_training_takes_is_what_xla_asks_for(shapes):
    """Not more, so that nothing is refused that would have trained, and at least half of it."""
    config = TrainConfig(**shapes)
    lowered = lower(config, options(build(variant=VARIANT)))
    told = lowered.compile(backend.compiler_options()).memory_analysis()
    asked = (
        told.temp_size_in_bytes
        + told.argument_size_in_bytes
        + told.output_size_in_bytes
        - told.alias_size_in_bytes
    )
    assert 0.5 * asked <= memory.training_bytes(config) <= asked


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            {"batch_envs": 10**9},
            "--batch-envs: 1000000000 is not allowed; 1000000000 environments x 128 steps take "
            "at least 72.2 TB, and 16 GB are here",
        ),
        ({"rollout_length": 10**9}, "--rollout-length: 1000000000 is not allowed; 64 env"),
        ({"minibatch_size": 2**30, "batch_envs": 2**23}, "--minibatch-size: 1073741824 is"),
        (
            {"eval_seeds": 10**9},
            "--eval-seeds: 1000000000 is not allowed; so many episodes side by side take at least "
            "1.47 TB, and 16 GB are here",
        ),
    ],
)
def test_a_size_that_cannot_be_names_its_flag(flags, line, there):
    with pytest.raises(InputError) as caught:
        memory.check(validated(build(variant=VARIANT, **flags)))
    assert str(caught.value).startswith(line)


def test_runs_that_fit_alone_may_not_fit_together(there):
    large = validated(build(variant=VARIANT, tier="Large"))
    memory.check(large, 90)
    with pytest.raises(InputError) as caught:
        memory.check(large, 100)
    assert str(caught.value) == (
        "--parallel-runs: 100 is not allowed; so many Large runs of 169 MB take at least 16.9 GB, "
        "and 16 GB are here"
    )


def test_indices_stay_below_two_to_the_31(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: None)
    memory.check(validated(build(variant=VARIANT, batch_envs=2**23, minibatch_size=256)))
    with pytest.raises(InputError, match=r"--batch-envs: 16777216 is not allowed; .*2\^31"):
        memory.check(validated(build(variant=VARIANT, batch_envs=2**24)))


def device(platform, stats=None):
    return types.SimpleNamespace(platform=platform, memory_stats=lambda: stats)


def test_an_accelerator_tells_its_own_memory():
    assert memory.available(device("gpu", {"bytes_limit": 60 * GB})) == 60 * GB
    assert memory.available(device("gpu", {})) is None
    assert memory.available(device("gpu")) is None


def test_a_container_may_use_less_than_the_machine_has(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "v2", tmp_path / "v1"))
    whole = memory.available(device("cpu"))
    assert whole > 10**8
    (tmp_path / "v2").write_text("max\n")
    assert memory.available(device("cpu")) == whole
    (tmp_path / "v1").write_text("100000000\n")
    assert memory.available(device("cpu")) == 10**8


@pytest.mark.parametrize(
    ("platform", "devices", "per_device", "refused"),
    [
        ("cpu", 4, 1, "--parallel-runs: 4"),
        ("cpu", 1, 4, "--runs-per-device: 4"),
        ("gpu", 4, 1, None),
        ("gpu", 4, 4, "--runs-per-device: 4"),
    ],
)
def test_a_cpus_devices_share_its_memory(platform, devices, per_device, refused, monkeypatch):
    monkeypatch.setattr(side_by_side, "devices", lambda asked: [device(platform)] * devices)
    monkeypatch.setattr(memory, "available", lambda device: 500_000_000)
    configs = [validated(build(variant=VARIANT, tier="Large", seed=seed)) for seed in range(8)]
    if refused is None:
        side_by_side.check_memory(configs, "auto", per_device)
    else:
        with pytest.raises(InputError) as caught:
            side_by_side.check_memory(configs, "auto", per_device)
        assert str(caught.value).startswith(refused)


@pytest.fixture
def protocol(tmp_path):
    return write_toml(tmp_path / "protocol.toml", small_table(passes=True))


HUGE = f"--variant {VARIANT} --out out --"
BAD = [
    (train, f"{HUGE}batch-envs 1000000000", "--batch-envs: 1000000000", "take at least 72.2 TB"),
    (train, f"{HUGE}eval-seeds 1000000000", "--eval-seeds: 1000000000", "take at least 1.47 TB"),
    (train, f"{HUGE}lr 1e-50", "--lr: 1e-50", "float32"),
    (
        evaluate,
        "--controller hc-signature --eval-seeds 1000000000",
        "--eval-seeds: 1000000000",
        "take at least 960 GB",
    ),
    (evaluate, "--controller oracle --edit-step 2147483648", "--edit-step: 2147483648", "2^31"),
    (
        evaluate,
        "--controller oracle --edit-channel reward --edit-step 200",
        "--edit-step: 200",
        "give 0..199",
    ),
    (evaluate, "--controller oracle --edit-scale 1e39", "--edit-scale: [1e+39]", "float32"),
    (evaluate, "--controller oracle --probe-scale 1e-50", "--probe-scale: 1e-50", "float32"),
]


@pytest.mark.parametrize(("command", "words", "start", "more"), BAD)
def test_commands_refuse_in_one_line(
    command, words, start, more, there, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    line = bad_input_line(command.main, words.split(), capsys, tmp_path)
    assert line.startswith(f"error: {start} is not allowed")
    assert more in line


def test_a_thousand_parallel_runs(protocol, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(backend, "available_cores", lambda: 2)
    monkeypatch.chdir(tmp_path)
    words = ["--protocol", str(protocol), "--out", "out", "--parallel-runs", "1024"]
    line = bad_input_line(ladder.main, words, capsys, tmp_path)
    assert line.startswith("error: --parallel-runs: 1024 is not allowed")
    assert "1 to 16, 8 for each of 2 cores; they would take 4.85 GB" in line


def test_nothing_is_moved_for_a_run_that_cannot_be(tmp_path, monkeypatch, capsys, there):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/mine").write_text("mine")
    words = f"{HUGE}batch-envs 1000000000 --fresh".split()
    bad_input_line(train.main, words, capsys, tmp_path)
