"""How long a plan takes on this machine, from a short measured probe."""

import dataclasses
import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import task_params
from pathb_jax.runs import side_by_side

PROBE_SECONDS = 2.0
EVALUATIONS_PER_RUN = 11
"""At every tenth of the run, and one at its end or half where that falls between."""


class Estimate(NamedTuple):
    """Measured seconds: to compile once, per update, and per evaluation of all sets.

    All with as many runs at once as candidates and seeds fill devices.
    """

    compile_seconds: float
    update_seconds: float
    evaluation_seconds: float
    env_steps_per_second: float
    updates: int
    devices: int = 1
    """Runs that can train at once."""

    @property
    def run_seconds(self) -> float:
        """One run beside others, compiling excluded."""
        return self.updates * self.update_seconds + EVALUATIONS_PER_RUN * self.evaluation_seconds

    def seconds_of(self, runs: int) -> float:
        """So many runs that could all train at once."""
        return math.ceil(runs / self.devices) * self.run_seconds


def measure(plan: LadderPlan) -> Estimate:
    """Compile, run a few updates and two evaluations of the first candidate, and time them.

    On as many devices at once as candidates are going to use. Nothing is written, and the ladder
    uses the same compiled programs afterwards.
    """
    runs = len(plan.seeds) * (len(plan.protocol.candidates) if plan.speculative else 1)
    if plan.cluster is None:
        available = side_by_side.devices(plan.parallel_runs)
        used, devices = available[:runs], len(available)
        with ThreadPoolExecutor(len(used)) as pool:
            probes = list(pool.map(lambda device: _measure_on(device, plan), used))
    else:
        devices = plan.cluster.slots
        alone = dataclasses.replace(plan, cluster=None)
        probes = plan.cluster.each(_measure, [alone] * min(runs, devices))
    middle = {
        name: statistics.fmean(getattr(probe, name) for probe in probes)
        for name in ("compile_seconds", "update_seconds", "evaluation_seconds")
    }
    return Estimate(
        **middle,
        env_steps_per_second=sum(probe.env_steps_per_second for probe in probes),
        updates=plan.run.updates,
        devices=devices,
    )


def _measure_on(device: Any, plan: LadderPlan) -> Estimate:
    with side_by_side.computing_on(device):
        return _measure(plan)


def _measure(plan: LadderPlan) -> Estimate:
    config = plan.candidate_run(plan.protocol.candidates[0])
    compiled = program(config)
    env_params, hparams = task_params(config, compiled.env), traced(config)
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
