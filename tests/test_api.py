"""The flat interface: one call each to describe, train, load, evaluate, judge and climb."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hand_made_policies import follower
from small_protocol import small_table, write_toml
from small_runs import FLAGS, build

import pathb_jax
from pathb_jax.cli import evaluate as evaluate_command
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.store.tables import read_table

KNOBS: dict[str, Any] = {name: value for name, value in FLAGS.items() if name != "out"}


def test_knobs_find_their_groups(tmp_path: Path) -> None:
    config = pathb_jax.make_config(out=tmp_path, **KNOBS)
    assert config == validated(build(**FLAGS, out=tmp_path))
    assert config.output.out == tmp_path
    assert pathb_jax.make_config("reward_ppo_phase3", lr=1e-4).hparams.lr == 1e-4


def test_every_setting_is_a_knob_of_one_group_only() -> None:
    names = [
        field.name
        for group in dataclasses.fields(pathb_jax.RunConfig)
        for field in dataclasses.fields(getattr(build(**FLAGS), group.name))
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"learning_rate": 1e-4}, "learning_rate: 0.0001 is not allowed; there is no such setting"),
        ({"value_coeff": 1.0}, "is it value_coef"),
        ({"mixed_lambda": 2.0}, "mixed_lambda: 2.0 is not allowed"),
        ({"eval_seeds": 0}, "eval_seeds: 0 is not allowed"),
        ({"minibatch_size": 100}, "must divide batch_envs x rollout_length = 8192"),
        ({"tier": "small"}, "input should be 'Small', 'Medium' or 'Large'"),
    ],
)
def test_errors_name_parameters_and_no_flags(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        pathb_jax.make_config("mixed_ppo_phase3_lambda_0_9", **knobs)
    assert said in str(error.value)
    assert "--" not in str(error.value)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[pathb_jax.RunOutcome]:
    """Two training seeds side by side."""
    out = tmp_path_factory.mktemp("seeds")
    config = pathb_jax.make_config(out=out, **KNOBS)
    return pathb_jax.train(config, seeds=2, progress=False)


def test_seeds_train_each_in_its_folder(outcomes: list[pathb_jax.RunOutcome]) -> None:
    assert [outcome.files.out.name for outcome in outcomes] == ["seed_0", "seed_1"]
    assert [outcome.manifest.config.schedule["seed"] for outcome in outcomes] == [0, 1]
    first, second = (outcome.frame for outcome in outcomes)
    assert isinstance(first, pd.DataFrame)
    assert first.index.tolist() == [*range(1, len(first) + 1)]
    assert (first["entropy"] != second["entropy"]).any()
    for outcome in outcomes:
        (start, *_), (figures, *_) = outcome.evaluated, outcome.evaluated.values()
        summary = outcome.summaries[start]
        assert figures._asdict() == {name: summary.get(name) for name in figures._fields}
    with pytest.raises(InputError, match=r"^seeds: 0"):
        pathb_jax.train(pathb_jax.make_config(**KNOBS), seeds=0)


def test_a_policy_acts_from_wherever_it_is_loaded(outcomes: list[pathb_jax.RunOutcome]) -> None:
    files = outcomes[0].files
    of_run, of_file = pathb_jax.load_policy(files.out), pathb_jax.load_policy(str(files.policy))
    seen = np.random.default_rng(0).normal(size=(5, 7, of_run.obs_dim)).astype(np.float32)
    actions = of_run(seen)
    assert actions.shape == (5, 7, 2)
    assert (np.linalg.norm(actions, axis=-1) <= 1 + 1e-6).all()
    np.testing.assert_allclose(of_file(seen), actions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(of_run(seen[2, 3]), actions[2, 3], rtol=0, atol=1e-6)
    jitted = jax.jit(lambda policy, x: jax.vmap(policy)(x))
    np.testing.assert_allclose(jitted(of_run, seen[0]), actions[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.jit(of_run)(seen), actions, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="do not end in 6"):
        of_run(np.zeros(5))
    with pytest.raises(InputError, match=r"nothing.json: .* it has to be a file"):
        pathb_jax.load_policy(files.out / "nothing.json")


def test_it_evaluates_as_the_command_does(tmp_path: Path) -> None:
    path, rows = follower(tmp_path / "follower.json"), tmp_path / "rows.csv"
    words = ["--policy", str(path), "--eval-seed-start", "500", "--eval-seeds", "16"]
    assert evaluate_command.main([*words, "--csv", str(rows)]) == 0
    for policy in (path, pathb_jax.load_policy(path)):
        found = pathb_jax.evaluate(policy, seed_start=500, seeds=16)
        table = read_table(rows, ("seed", "terminalX"))
        assert found.episodes["seed"].tolist() == [*range(500, 516)]
        assert found.episodes["terminalX"].tolist() == pytest.approx(
            [float(x) for x in table["terminalX"]], abs=1e-6
        )
        assert found.success_count == (found.episodes["terminalOutcome"] == "success").sum() > 0
        assert found.success_rate == found.success_count / 16
        low, high = found.success_interval_95
        assert low < found.success_rate <= high
    with pytest.raises(InputError, match=r"^sensor_tier: .* it shows 7 numbers"):
        pathb_jax.evaluate(path, sensor_tier="privileged-field")
    with pytest.raises(InputError, match=r"^seed_start: "):
        pathb_jax.evaluate(path, seed_start=-1)


def test_an_outcome_is_evaluated_and_judged(outcomes: list[pathb_jax.RunOutcome]) -> None:
    (start, *_) = outcomes[0].evaluated
    own = outcomes[0].evaluated[start]
    again = pathb_jax.evaluate(outcomes[0], seed_start=start, seeds=own.seeds)
    assert again.success_count == own.success_count
    assert again.mean_terminal_alignment == pytest.approx(own.mean_terminal_alignment, abs=1e-6)
    first, second = pathb_jax.judge([outcomes[0], outcomes[1].files.out])
    assert [run.slug for run in (first, second)] == [o.files.slug for o in outcomes]
    assert first.receipts[0].passed is False  # stage 1: it has hardly begun to learn


def test_a_ladder_is_planned_from_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[LadderPlan] = []
    monkeypatch.setattr(
        "pathb_jax.ladder.ladder.run_ladder", lambda plan, observer: plans.append(plan)
    )
    protocol = write_toml(tmp_path / "p.toml", small_table(passes=True))
    pathb_jax.run_ladder(str(protocol), tmp_path / "out", updates=60, skip_batch=True)
    pathb_jax.run_ladder("path_b", tier="Small", backend="cpu")
    first, second = plans
    assert (first.out, first.run.updates, first.skip_batch) == (tmp_path / "out", 60, True)
    assert first.deviations == [line for line in first.deviations if "updates" in line]
    assert second.out == Path("results/mesa/phase7v2-small-cliff-subset")
    assert (second.run.tier, second.backend) == ("Small", "cpu")
    with pytest.raises(InputError, match=r"^skip_bach: .* is it skip_batch"):
        pathb_jax.run_ladder("path_b", skip_bach=True)


def test_everything_public_is_there_and_typed() -> None:
    for name in pathb_jax.__all__:
        assert getattr(pathb_jax, name) is not None
    source = Path(pathb_jax.__file__).read_text()
    assert all(f"import {name} as {name}\n" in source for name in pathb_jax.__all__)
    quick = "import sys, pathb_jax; print('jax' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
