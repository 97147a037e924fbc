"""Training, compiled and warmed up, as benchmarks measure it.

Importing this starts JAX: after `backend.select_backend`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from harness import timed

from pathb_jax.config import RunConfig, TaskConfig, TrainConfig, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import task_params
from pathb_jax.learn.training import CHUNK_CAPACITY
from pathb_jax.runs import side_by_side
from pathb_jax.system import backend

VARIANT: VariantName = "mixed_ppo_phase3_lambda_0_9"


def run_config(shapes: TrainConfig) -> RunConfig:
    """Return the ladder's task with these shapes."""
    return validated(RunConfig(TaskConfig(VARIANT), train=shapes))


class Training:
    """A run that goes on and on; every call trains it further.

    Args:
        shapes: of the run.
        device: where it runs; None is JAX's default.
    """

    def __init__(self, shapes: TrainConfig, device: Any = None) -> None:
        self.config, self.device = run_config(shapes), device
        with jax.default_device(device):
            self.program = program(self.config)
            self.env_params = task_params(self.config, self.program.env)
            self.hparams = traced(self.config)
            self.state = self.program.init(self.config, self.env_params)
        self.train(1)

    def train(self, updates: int) -> None:
        """Run updates and wait for them."""
        with jax.default_device(self.device):
            self.state, chunk = self.program.train(
                self.state, self.hparams, self.env_params, updates
            )
            jax.block_until_ready(chunk)

    def evaluate(self, seed_starts: Sequence[int] = (10000, 20000, 30000), seeds: int = 32) -> None:
        """Play so many seeds of every set."""
        evaluate_policy(
            self.config.train,
            self.program.env,
            self.env_params,
            self.state.params,
            self.state.normalizer,
            seed_starts,
            seeds,
        )

    def updates_in(self, seconds: float) -> int:
        """How many updates take about this long; at least one."""
        return min(CHUNK_CAPACITY, max(1, int(seconds / timed(lambda: self.train(1)))))

    def seconds_per_update(self, updates: int) -> float:
        """Measure that many updates in one call."""
        return timed(lambda: self.train(updates)) / updates


class Runs:
    """So many runs that go on and on, put on devices as `runs.side_by_side` does by itself.

    That is one device for each core at Small and one for all cores above; each device works its
    share off one after another. `backend.select_backend` has to have made the devices.
    """

    def __init__(self, shapes: TrainConfig, runs: int) -> None:
        devices = side_by_side.devices(backend.host_devices("auto", shapes.tier))[:runs]
        count = len(devices)
        self.trainings = [Training(shapes, devices[index % count]) for index in range(runs)]
        self._by_device = [self.trainings[first::count] for first in range(count)]
        self._pool = ThreadPoolExecutor(count)

    def train(self, updates: int) -> None:
        """Run updates of every run and wait for them."""

        def work(trainings: list[Training]) -> None:
            for training in trainings:
                training.train(updates)

        list(self._pool.map(work, self._by_device))
