"""Environment steps per second in training; compile, training and evaluation timed apart.

    python benchmarks/train_steps.py --tiers Small Medium Large --rounds 5 --json steps.json

A round trains the same number of updates at each tier in turn, then evaluates three sets of 32
seeds. Medians over rounds, with the range. Training uses the pinned shapes (64 environments x 128
steps, 4 epochs, minibatches of 256).
"""

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from pathb_jax import backend
from pathb_jax.cli import command
from pathb_jax.config import RunConfig, TaskConfig, Tier, TrainConfig
from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.learn.program import Program, traced
from pathb_jax.learn.task import task_params


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    rounds: int = 5
    """Rounds; figures are medians over them."""
    seconds: float = 3.0
    """Training per round and tier takes about this long, or one update if that is longer."""
    json: Path | None = None
    """Write all figures here too."""


class Subject:
    """One tier, compiled and warmed up."""

    def __init__(self, tier: Tier, seconds: float) -> None:
        self.tier = tier
        config = RunConfig(
            TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=TrainConfig(tier=tier)
        ).validated()
        self.config = config.train
        self.program = Program(config.train, config.hparams)
        self.env_params = task_params(config, self.program.env)
        self.hparams = traced(config.hparams)
        self.state = self.program.init(config, self.env_params)
        self.train_compile_seconds = self.program.compile_seconds
        self._train(1)
        self.updates = max(1, int(seconds / timed(lambda: self._train(1))))
        first = timed(self._evaluate)
        self.evaluation_compile_seconds = first - timed(self._evaluate)
        self.steps_per_second: list[float] = []
        self.evaluation_seconds: list[float] = []

    def round(self) -> None:
        """Measure once."""
        seconds = timed(lambda: self._train(self.updates))
        self.steps_per_second.append(self.updates * self.config.batch_size / seconds)
        self.evaluation_seconds.append(timed(self._evaluate))

    def _train(self, updates: int) -> None:
        self.state, chunk = self.program.train(self.state, self.hparams, self.env_params, updates)
        jax.block_until_ready(chunk)

    def _evaluate(self) -> None:
        evaluate_policy(
            self.config,
            self.program.env,
            self.env_params,
            self.state.params,
            self.state.normalizer,
            (10000, 20000, 30000),
            32,
        )


def timed(work: Callable[[], None]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    flags = command.parse(Flags, None, __doc__ or "")
    backend.select_backend("auto")
    subjects = [Subject(tier, flags.seconds) for tier in flags.tiers]
    for _ in range(flags.rounds):
        for subject in subjects:
            subject.round()
    report = {
        "machine": backend.device_report() | {"cores": os.cpu_count(), "load": os.getloadavg()},
        "source": backend.source_version(),
        "rounds": flags.rounds,
        "tiers": {subject.tier: figures(subject) for subject in subjects},
    }
    print_table(subjects, report)
    if flags.json is not None:
        flags.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def figures(subject: Subject) -> dict[str, Any]:
    return {
        "train_compile_seconds": subject.train_compile_seconds,
        "evaluation_compile_seconds": subject.evaluation_compile_seconds,
        "updates_per_round": subject.updates,
        "env_steps_per_second": subject.steps_per_second,
        "evaluation_seconds": subject.evaluation_seconds,
    }


def print_table(subjects: list[Subject], report: dict[str, Any]) -> None:
    machine = report["machine"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{machine['device_kind']} ({machine['platform']}), {machine['cores']} cores, load "
        f"{machine['load'][0]:.1f}, jax {machine['versions']['jax']}, {report['rounds']} rounds"
    )
    table = Table(
        "tier",
        "train: env steps/s",
        "range",
        "evaluation of 3 x 32, ms",
        "compile train, s",
        "compile evaluation, s",
    )
    for subject in subjects:
        rates = subject.steps_per_second
        table.add_row(
            subject.tier,
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f} - {max(rates):,.0f}",
            f"{1e3 * statistics.median(subject.evaluation_seconds):.0f}",
            f"{subject.train_compile_seconds:.1f}",
            f"{subject.evaluation_compile_seconds:.1f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(command.run(main))
