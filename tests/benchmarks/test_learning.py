"""The examiner of all libraries' policies sees what the trainer's own evaluation sees."""

from typing import Any

import jax
import learning
import learning_trainers
import pytest
from small_runs import build

from pathb_jax.cli import command
from pathb_jax.config_checks import validated
from pathb_jax.evaluation.evaluator import evaluate_policy

SMALL = {"batch_envs": 4, "rollout_length": 16, "minibatch_size": 16, "epochs": 1}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["shadow-field", "Pendulum-v1"])
def test_the_examiner_and_the_evaluator_agree(task: Any) -> None:
    knobs = learning.KNOBS[task]
    config = validated(build(**SMALL, **knobs))
    trainer = learning_trainers.Ours(config)
    trainer.train(3)
    (act,) = trainer.policies()
    point = learning.Examiner(config, 8).point(64, act)
    state, program = trainer._state, trainer._program
    (expected,) = evaluate_policy(
        config.train, program.env, trainer._params, state.params, state.normalizer, [10000], 8
    )
    measure = [*expected.means.values()][1]
    assert point.success_rate == expected.success_rate
    assert point.measure == pytest.approx(measure, rel=1e-5)


@pytest.mark.slow
def test_rejax_learns_on_beside_ours_and_both_are_told() -> None:
    pytest.importorskip("rejax", reason="the extra bench")
    flags = learning.Flags(task="Pendulum-v1", steps=640, seeds=2, eval_seeds=4)
    config = validated(build(**SMALL, **learning.KNOBS["Pendulum-v1"]))
    for library in ("ours", "rejax", "rejax-sac"):
        with jax.numpy_rank_promotion("allow"):  # rejax relies on it
            runs = learning.trained(library, config, flags)
        assert [run.seed for run in runs] == [0, 1]
        assert [point.env_steps for point in runs[0].points] == [*range(64, 704, 64)]
        assert runs[0].points != runs[1].points
        assert all(-2000 < point.measure < -100 for run in runs for point in run.points)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"seeds": 0}, "--seeds"),
        ({"libraries": ("sb3",), "task": "Pendulum-v1"}, "--libraries"),
        ({"variant": "reward_ppo_dense", "task": "Pendulum-v1"}, "--variant"),
    ],
)
def test_what_cannot_be_compared_is_one_line(flags: Any, said: str, capsys: Any) -> None:
    def body() -> int:
        learning.check(learning.Flags(**flags))
        return 0

    assert command.run(body) == 2
    assert said in capsys.readouterr().err
