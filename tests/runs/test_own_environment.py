"""Runs on an environment that is not the shadow field: trained, taken up, evaluated, believed."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import (
    BATCH_SIZE,
    FLAGS,
    SHAPES,
    Watcher,
    assert_same_bits,
    bad_input_line,
    build,
    command_line,
    lasting_history,
    read,
    rows,
    small_config,
    stored_state,
)

import pathb_jax
from pathb_jax.cli.train import main
from pathb_jax.config_checks import validated
from pathb_jax.envs.own_world import own_world
from pathb_jax.errors import InputError
from pathb_jax.evaluation import exporting
from pathb_jax.runs import trainer
from pathb_jax.verification.verify import verify

OWN: dict[str, Any] = {"variant": "own_reward", "env": "Pendulum-v1", "success_return": -1200.0}
SLUG = "Pendulum-v1_small_seed_0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = small_config(tmp_path_factory.mktemp("own") / "run", **OWN)
    return config, trainer.train(config)


def test_its_files_tell_returns_and_no_alignment(finished: Any) -> None:
    config, outcome = finished
    out = config.output.out
    episodes = rows(out / "logs" / f"{SLUG}_evaluation.csv")
    assert list(episodes[0]) == ["seed", "terminalOutcome", "steps", "episodeReturn"]
    returns = [float(row["episodeReturn"]) for row in episodes]
    good = [row["terminalOutcome"] == "success" for row in episodes]
    assert good == [value >= -1200.0 for value in returns]
    assert len({round(value) for value in returns}) == len(returns)
    summary = read(out / "logs" / f"{SLUG}_evaluation_summary.json")
    assert summary["mean_return"] == pytest.approx(np.mean(returns), rel=1e-12)
    assert summary["success_count"] == sum(good)
    assert summary["sensor_tier"] is None
    assert summary["env_config"]["env"] == "Pendulum-v1"
    assert summary["env_config"]["success_return"] == -1200.0
    in_run = rows(out / "logs" / f"{SLUG}_evaluations.csv")
    assert "mean_terminal_alignment" not in in_run[0]
    assert float(in_run[-1]["mean_return"]) == pytest.approx(
        read(out / "logs" / f"{SLUG}_evaluation_seed_30000_summary.json")["mean_return"]
    )
    assert outcome.env_steps == BATCH_SIZE * FLAGS["updates"]
    assert outcome.evaluated[10000].mean_return == summary["mean_return"]
    assert outcome.evaluated[10000].mean_terminal_alignment is None


def test_the_same_run_again_is_the_same_bits_stopped_or_not(finished: Any, tmp_path: Path) -> None:
    config, _outcome = finished
    again = small_config(tmp_path / "again", **OWN)

    def stop(progress: Any) -> None:
        if progress.update >= 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trainer.train(again, Watcher(stop))
    watcher = Watcher()
    trainer.train(again, watcher)
    assert any("resuming after update 3" in line for line in watcher.notices)
    assert_same_bits(stored_state(config), stored_state(again))
    histories = [c.output.out / "logs" / f"{SLUG}_history.csv" for c in (config, again)]
    assert lasting_history(histories[0]) == lasting_history(histories[1])


@pytest.mark.parametrize("starts", ["fixed", pytest.param("fresh", marks=pytest.mark.slow)])
def test_training_starts_are_those_that_are_asked_for(starts: str, tmp_path: Path) -> None:
    config = small_config(tmp_path, **OWN, train_starts=starts, updates=1)
    state = trainer.train(config) and stored_state(config)
    other = small_config(tmp_path / "b", **OWN, train_starts=starts, updates=1, seed_start=7)
    moved = trainer.train(other) and stored_state(other)
    differs = not np.array_equal(state.normalizer.mean, moved.normalizer.mean)
    assert differs == (starts == "fixed")


def test_everything_of_it_is_believed_only_when_it_holds(finished: Any, tmp_path: Path) -> None:
    config, _ = finished
    found = verify(config.output.out, replay=True)
    assert found.holds
    assert found.figures > 100
    assert "3 are of an environment that has no second implementation" in found.summary
    copy = tmp_path / "copy"
    shutil.copytree(config.output.out, copy)
    path = copy / "logs" / f"{SLUG}_evaluation.csv"
    header, first, *others = path.read_text().splitlines()
    cells = first.split(",")
    cells[1] = {"success": "failure", "failure": "success"}[cells[1]]
    path.write_text("\n".join([header, ",".join(cells), *others, ""]))
    problems = verify(copy, replay=False).problems
    assert any("a success has a return of -1200 at least" in line for line in problems)
    with pytest.raises(InputError, match="is not as it was written"):
        trainer.train(small_config(copy, **OWN))


def test_its_policy_acts_in_the_box_and_plays_as_it_was_evaluated(finished: Any) -> None:
    config, outcome = finished
    policy = pathb_jax.load_policy(config.output.out)
    seen = np.random.default_rng(0).normal(0, 30, (64, policy.obs_dim))
    actions = np.asarray(policy(seen))
    assert actions.shape == (64, 1)
    assert np.abs(actions).max() <= 2.0
    assert np.abs(actions).max() > 0.1
    of_file = pathb_jax.load_policy(outcome.files.policy)
    np.testing.assert_allclose(of_file(seen), actions, atol=1e-5)
    played = pathb_jax.evaluate(outcome, seeds=4)
    recorded = rows(outcome.files.evaluation_csv(10000, first=True))
    np.testing.assert_allclose(
        played.episodes["episodeReturn"],
        [float(row["episodeReturn"]) for row in recorded],
        rtol=1e-5,
    )
    assert played.mean_terminal_alignment is None
    with pytest.raises(InputError, match="success_return"):
        pathb_jax.evaluate(policy, seeds=4)
    with pytest.raises(ValueError, match="which this policy of Pendulum-v1 observes"):
        policy(np.zeros(5))


def test_its_policy_is_exported_with_its_box(finished: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    policy = pathb_jax.load_policy(finished[0].output.out)
    seen = np.random.default_rng(1).normal(0, 30, (32, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(exporting.to_onnx(policy))
    (actions,) = session.run(None, {"observation": seen})
    np.testing.assert_allclose(actions, policy(seen), atol=1e-5)


def test_a_checkpoint_of_it_is_evaluated_and_gone_on_from(
    finished: Any, tmp_path: Path, capsys: Any
) -> None:
    path = finished[0].output.out
    words = command_line(load_checkpoint=path, eval_only=True, eval_seeds=4, out=tmp_path / "only")
    assert main([*words, "--success-floor", "0"]) == 0
    assert "return -" in capsys.readouterr().out
    more = small_config(tmp_path / "more", **OWN, load_checkpoint=path, updates=2)
    assert trainer.train(more).manifest.update == FLAGS["updates"] + 2
    field = small_config(tmp_path / "field", load_checkpoint=path, updates=2)
    with pytest.raises(InputError, match="its env is Pendulum-v1, this run's is None"):
        trainer.train(field)


def test_a_run_is_not_taken_up_with_another_program_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (Path(__file__).parents[2] / "examples" / "cart.py").read_text()
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "changing_cart.py"

    def made(text: str) -> Any:
        file.write_text(text)
        sys.modules.pop("changing_cart", None)
        own_world.cache_clear()
        return small_config(
            tmp_path / "run",
            **{**OWN, "env": "changing_cart:Cart", "success_return": -50.0},
            updates=2,
        )

    trainer.train(made(source))
    assert trainer.train(made(source)).trained is False
    with pytest.raises(InputError, match=r"env_source: .*'dt': 0.1,.* -> .*'dt': 0.2"):
        trainer.train(made(source.replace("dt: float = 0.1", "dt: float = 0.2")))
    own_world.cache_clear()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"env": "Pendulum-v1"}, "--success-return: '(missing)'"),
        ({"success_return": 1.0, "variant": "reward_ppo_dense"}, "it goes with --env"),
        ({**OWN, "variant": "reward_ppo_dense"}, "--variant: 'reward_ppo_dense'"),
        ({**OWN, "sensor_tier": "noisy-field"}, "--sensor-tier: 'noisy-field'"),
        ({**OWN, "false_basin_beta": 1.0}, "--false-basin-beta: 1.0"),
        ({**OWN, "signature_shape": "terminal"}, "--signature-shape: 'terminal'"),
        ({**OWN, "mixed_lambda": 0.5}, "--mixed-lambda: 0.5"),
        ({**OWN, "env": "CartPole-v1"}, "--env: 'CartPole-v1'"),
        ({**OWN, "env": "x" * 101}, "at most 100 characters"),
        ({}, "--variant: '(missing)'"),
    ],
)
def test_settings_that_do_not_go_together_get_one_line(
    flags: dict[str, Any], said: str, tmp_path: Path, capsys: Any
) -> None:
    given = {"updates": 1, **SHAPES, "out": tmp_path / "run", **flags}
    if given.get("variant") == "own_reward":
        del given["variant"]
    line = bad_input_line(main, command_line(**given), capsys, tmp_path)
    assert said in line


def test_seeds_side_by_side_are_each_the_run_alone(finished: Any, tmp_path: Path) -> None:
    both = small_config(tmp_path, **OWN)
    outcomes = pathb_jax.train(both, seeds=2, progress=False)
    alone = finished[1].history["value_loss"]
    np.testing.assert_array_equal(outcomes[0].history["value_loss"], alone)
    assert not np.array_equal(outcomes[1].history["value_loss"], alone)


def test_the_flat_interface_and_its_manifest_describe_the_same_run(
    finished: Any, tmp_path: Path
) -> None:
    config, outcome = finished
    flat = {name: value for name, value in FLAGS.items() if name != "variant"}
    made = pathb_jax.make_config(
        env="Pendulum-v1", success_return=-1200.0, out=config.output.out, **flat
    )
    assert made == config
    words = ["--config", str(outcome.files.manifest), "--out", str(tmp_path / "again")]
    assert main([*words, "--no-progress", "--tensorboard"]) == 0
    assert list((tmp_path / "again").rglob("events.out.tfevents.*"))
    again = small_config(tmp_path / "again", **OWN)
    assert_same_bits(stored_state(config), stored_state(again))
    folder = pathb_jax.make_config(env="my.module:Cart", success_return=0.0).output.out
    assert folder == Path("results/my.module_Cart")


def test_commands_of_the_shadow_field_refuse_its_policies(finished: Any, capsys: Any) -> None:
    from pathb_jax.cli import evaluate

    out = str(finished[0].output.out)
    assert evaluate.main(["--checkpoint", out]) == 2
    assert "it was trained on Pendulum-v1" in capsys.readouterr().err
    with pytest.raises(InputError, match="it was trained on Pendulum-v1"):
        pathb_jax.intervene([Path(out)], seeds=2)


def test_a_policy_file_without_its_box_is_refused(finished: Any, tmp_path: Path) -> None:
    content = json.loads(finished[1].files.policy.read_text())
    content["metadata"]["action_low"] = [-2.0, -2.0]
    path = tmp_path / "a.policy.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"metadata\.action_low"):
        pathb_jax.load_policy(path)


def test_a_return_that_is_not_finite_is_a_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = validated(build(**{**FLAGS, **OWN, "out": tmp_path}))
    world = own_world("Pendulum-v1")
    played = type(world).episode_metrics
    monkeypatch.setattr(
        type(world),
        "episode_metrics",
        lambda self, state, params: played(self, state, params).replace(
            episode_return=state.episode_return * jnp.nan
        ),
    )
    from pathb_jax.evaluation.evaluator import _play_sets

    _play_sets.clear_cache()
    outcome = trainer.train(config)
    _play_sets.clear_cache()
    assert outcome.status == "diverged"
    assert outcome.diverged is not None
    assert outcome.diverged.quantity == "evaluation"
