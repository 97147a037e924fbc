"""Environment steps per second in training, alone and side by side; evaluation apart.

    python benchmarks/train_steps.py --tiers Small Medium Large --runs 1 2 --rounds 5

A round trains every subject (a tier with so many runs at once) for about --seconds, in turn, then
evaluates three sets of 32 seeds with one run of each tier. Training uses the pinned shapes (64
environments x 128 steps, 4 epochs, minibatches of 256). Several runs at once are what
runs.side_by_side does: each on a device of its own from a thread of its own; their rate is the
total. Compile times are those of this process; start_up.py measures them from cold and cached.
"""

import dataclasses
import functools
import resource
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from harness import (
    CommonFlags,
    Figure,
    in_turn,
    machine,
    median_and_range,
    parsed,
    report,
    show,
    timed,
)
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.config import Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.system import backend

if TYPE_CHECKING:
    from subjects import Training


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to measure."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    runs: tuple[int, ...] = (1,)
    """Numbers of runs to train at once; 1 is always measured."""
    seconds: float = 3.0
    """Training per round and subject takes about this long, or one update if that is longer."""


class Subject:
    """A tier with so many runs at once."""

    def __init__(self, trainers: "list[Training]", seconds: float) -> None:
        self.trainers = trainers
        self.pool = ThreadPoolExecutor(len(trainers))
        self.updates = 1
        self.updates = max(1, round(seconds / timed(self._train)))

    def rate(self) -> float:
        """Environment steps per second of all runs together."""
        steps = len(self.trainers) * self.updates * self.trainers[0].config.train.batch_size
        return steps / timed(self._train)

    def _train(self) -> None:
        list(self.pool.map(lambda trainer: trainer.train(self.updates), self.trainers))


def main() -> int:
    flags = parsed(Flags, __doc__)
    numbers = sorted({1, *flags.runs})
    if numbers[0] < 1:
        raise InputError("--runs", numbers[0], "give whole numbers >= 1")
    backend.select_backend("auto", host_devices=numbers[-1])
    import jax
    from subjects import Training  # starts JAX

    before, devices = machine(), jax.devices()
    if len(devices) < numbers[-1]:
        raise InputError("--runs", numbers[-1], f"there are {len(devices)} devices")
    subjects, compile_seconds, first = {}, {}, {}
    for tier in flags.tiers:
        trainers = [Training(TrainConfig(tier=tier), device) for device in devices[: numbers[-1]]]
        first[tier] = trainers[0]
        compile_seconds[f"compile train {tier}"] = trainers[0].program.compile_seconds
        cold = timed(trainers[0].evaluate)
        compile_seconds[f"compile evaluation {tier}"] = cold - timed(trainers[0].evaluate)
        for number in numbers:
            subjects[f"train {tier} x{number}"] = Subject(trainers[:number], flags.seconds)
    figures = in_turn(
        {name: subject.rate for name, subject in subjects.items()}, flags.rounds, "env steps/s"
    )
    plays = {
        f"evaluate {tier} 3 x 32": functools.partial(milliseconds, trainer.evaluate)
        for tier, trainer in first.items()
    }
    evaluations = in_turn(plays, flags.rounds, "ms")
    once = {name: Figure("s", [seconds]) for name, seconds in compile_seconds.items()}
    memory = {"peak memory": Figure("MiB", [peak_memory_mib()])}
    content = report("train_steps", flags, {**figures, **evaluations, **once, **memory}, before)
    show(content, table_of(content))
    return 0


def milliseconds(work: Callable[[], Any]) -> float:
    return 1e3 * timed(work)


def peak_memory_mib() -> float:
    """Largest resident size of this process so far."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes / (2**20 if sys.platform == "darwin" else 2**10)


def table_of(content: dict[str, Any]) -> Table:
    table = Table("what", "unit", "median", "range", "of one run")
    for name, figure in content["figures"].items():
        digits = 1 if figure["unit"] == "s" else 0
        alone = content["figures"].get(f"{name.rpartition(' x')[0]} x1")
        times = ""
        if alone is not None and alone is not figure:
            ratios = [a / b for a, b in zip(figure["values"], alone["values"], strict=True)]
            times = f"{statistics.median(ratios):.2f} x"
        table.add_row(name, figure["unit"], *median_and_range(figure["values"], digits), times)
    return table


if __name__ == "__main__":
    sys.exit(command.run(main))
