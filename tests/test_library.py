"""The package's functions do what the commands do, from the choice of the device on."""

import json
import subprocess
import sys

import jax
import pytest
from small_protocol import small_table, write_toml
from small_runs import FLAGS, VARIANT, assert_same_bits, build, read, stored_state

import pathb_jax
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.runs import trainer
from pathb_jax.runs.observer import Observer
from pathb_jax.system import backend


@pytest.fixture
def asked(monkeypatch):
    """What training is asked for, in place of training: the configuration and JAX's settings."""
    seen = {}

    def train(config, observer=None):
        seen["config"], seen["observer"] = config, observer
        seen["platform"] = backend.current_device().platform
        seen["precision"] = jax.config.jax_default_matmul_precision

    monkeypatch.setattr(trainer, "train", train)
    return seen


@pytest.mark.slow
def test_an_unvalidated_schedule_acts_as_the_validated_one(tmp_path):
    states = []
    for name, made in (("as-it-is", lambda c: c), ("validated", validated)):
        config = build(**{**FLAGS, "out": tmp_path / name, "lr_schedule": "linear:1e-5"})
        outcome = pathb_jax.train(made(config))
        assert read(outcome.files.manifest)["config"]["schedule"]["lr_schedule"] == "linear:1e-5"
        states.append(stored_state(config))
    assert_same_bits(*states)
    constant = build(**{**FLAGS, "out": tmp_path / "constant"})
    pathb_jax.train(constant)
    with pytest.raises(AssertionError, match="differs"):
        assert_same_bits(states[0].params, stored_state(constant).params)


@pytest.mark.parametrize("flags", [{"eval_only": True}, {"updates": 0}])
def test_what_would_not_train_is_refused(flags, finished, tmp_path):
    config = build(
        **{**FLAGS, **flags, "out": tmp_path / "out", "load_checkpoint": finished.files.out}
    )
    with pytest.raises(InputError, match="evaluate_only"):
        pathb_jax.train(config)
    assert not (tmp_path / "out").exists()


def test_bad_values_are_refused_without_being_asked_to(tmp_path):
    with pytest.raises(InputError, match=r"^lr: 0"):
        pathb_jax.train(build(variant=VARIANT, out=tmp_path / "out", lr=0.0))


def test_training_is_asked_for_what_the_command_asks_for(asked, tmp_path):
    before = dict(jax.config.values)
    with jax.default_matmul_precision("bfloat16"):  # the caller's own business
        pathb_jax.train(build(variant=VARIANT, out=tmp_path / "out", backend="cpu"))
    assert asked["config"] == validated(asked["config"])
    assert (asked["platform"], asked["precision"]) == ("cpu", "float32")
    changed = {name for name, value in jax.config.values.items() if value != before[name]}
    assert changed <= {
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    }


def test_a_ladder_computes_where_its_plan_says(tmp_path, monkeypatch):
    protocol = load_protocol(str(write_toml(tmp_path / "p.toml", small_table(passes=True))))
    asked_for = {}

    def choose(name, **more):
        asked_for.update(more, name=name)

    def climb(plan, observer=None):
        asked_for["precision"] = jax.config.jax_default_matmul_precision

    monkeypatch.setattr(backend, "choose_device", choose)
    monkeypatch.setattr("pathb_jax.ladder.ladder.run_ladder", climb)
    plan = LadderPlan(protocol, protocol.run, tmp_path / "out", backend="cpu", parallel_runs=3)
    with jax.default_matmul_precision("bfloat16"):
        pathb_jax.run_ladder(plan)
    assert asked_for == {
        "name": "cpu",
        "deterministic": True,
        "host_devices": 3,
        "precision": "float32",
    }


@pytest.mark.parametrize(("progress", "quiet"), [(False, True), (True, False)])
def test_progress_is_shown_if_asked_for(progress, quiet, asked, tmp_path, monkeypatch):
    shown = []

    class Bar(Observer):
        def __init__(self, quiet):
            shown.append(quiet)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("pathb_jax.display.progress.ProgressBar", Bar)
    pathb_jax.train(build(variant=VARIANT, out=tmp_path / "out", progress=progress))
    assert shown == [quiet]
    assert isinstance(asked["observer"], Bar)


def apart(code, *arguments):
    """Run code in a fresh interpreter, in which JAX has not started; return its printed JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


ABSENT = """
import json, sys
from pathlib import Path
import pathb_jax
from pathb_jax.config import OutputConfig
from pathb_jax.config_checks import validated
out = Path(sys.argv[1])
config = pathb_jax.RunConfig(
    pathb_jax.TaskConfig("signature_ppo_dense"), output=OutputConfig(out=out, backend="gpu")
)
try:
    pathb_jax.train(config)
except pathb_jax.InputError as error:
    print(json.dumps([error.field, error.value, out.exists()]))
"""


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("there is a gpu")
    assert apart(ABSENT, str(tmp_path / "out")) == ["backend", "gpu", False]


STARTED = """
import json, sys
from pathb_jax.system import backend
from pathb_jax.cli import {command}

class Stop(BaseException): pass

def choose(*arguments, **more):
    print(json.dumps(backend._has_started()))
    raise Stop

backend.choose_device = choose
try:
    {command}.main(sys.argv[1:])
except Stop:
    pass
"""


@pytest.mark.parametrize(
    "words",
    [
        "ladder --tier Small --out out",
        "diagnose --tier Small --out out",
        "envelope --doc page.md --out out --lambdas 0.5",
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (
                f"train --variant {VARIANT} --out out",
                "evaluate --controller oracle",
                "anchors --doc page.md --out out",
                "reproducibility --tier Small",
            )
        ),
    ],
)
def test_commands_choose_before_jax_starts(words, tmp_path, monkeypatch):
    """XLA reads its flags once: a choice that comes later changes nothing but the record."""
    monkeypatch.chdir(tmp_path)
    command, *rest = words.split()
    assert apart(STARTED.format(command=command), *rest) is False
