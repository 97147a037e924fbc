"""How long a plan takes on this machine, from a short measured probe."""

import time
from typing import NamedTuple

import jax

from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.learn.program import program, traced
from pathb_jax.learn.task import task_params

PROBE_SECONDS = 2.0
EVALUATIONS_PER_RUN = 11
"""At every tenth of the run, and one at its end or half where that falls between."""


class Estimate(NamedTuple):
    """Measured seconds: to compile once, per update, and per evaluation of all sets."""

    compile_seconds: float
    update_seconds: float
    evaluation_seconds: float
    env_steps_per_second: float
    updates: int

    @property
    def run_seconds(self) -> float:
        """One run, compiling excluded."""
        return self.updates * self.update_seconds + EVALUATIONS_PER_RUN * self.evaluation_seconds


def measure(plan: LadderPlan) -> Estimate:
    """Compile, run a few updates and two evaluations of the first candidate, and time them.

    Nothing is written, and the ladder uses the same compiled programs afterwards.
    """
    config = plan.candidate_run(plan.protocol.candidates[0])
    compiled = program(config)
    env_params, hparams = task_params(config, compiled.env), traced(config.hparams)
    state = compiled.init(config, env_params)
    # One update first: memory and thread pools are set up in it.
    state, _ = jax.block_until_ready(compiled.train(state, hparams, env_params, 1))
    updates, started = 0, time.perf_counter()
    while updates == 0 or time.perf_counter() - started < PROBE_SECONDS:
        state, _ = jax.block_until_ready(compiled.train(state, hparams, env_params, 1))
        updates += 1
    update_seconds = (time.perf_counter() - started) / updates

    def evaluate() -> float:
        begun = time.perf_counter()
        evaluate_policy(
            config.train,
            compiled.env,
            env_params,
            state.params,
            state.normalizer,
            plan.protocol.seed_sets,
            plan.protocol.evaluation.seeds,
        )
        return time.perf_counter() - begun

    first = evaluate()
    evaluation_seconds = evaluate()
    return Estimate(
        compile_seconds=compiled.compile_seconds + max(first - evaluation_seconds, 0.0),
        update_seconds=update_seconds,
        evaluation_seconds=evaluation_seconds,
        env_steps_per_second=config.train.batch_size / update_seconds,
        updates=plan.run.updates,
    )
