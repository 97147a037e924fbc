"""How fast an update could be on this machine at best, and what fraction of that training reaches.

    python benchmarks/roofline.py --tiers Small Medium Large --rounds 5 --json roofline.json

For each tier the three matrix products of a hidden layer (minibatch 256 x width by width x width
forward, and the two of its backward pass) are timed in float32 through XLA and through NumPy, and
so is moving arrays as long as the tier's parameter vector: scale and triad through XLA, copy and
add through NumPy, and Adam's update. A small network's parameters fit in a cache, so the bandwidth
is the cache's there and the memory's at Large; what is used is always the tier's own.

The limit of one update (64 environments x 128 steps, 4 epochs, minibatches of 256) is

    seconds = matrix FLOPs / best matmul rate + Adam's bytes / best bandwidth

with both bests taken from the same round: no program made of these parts is faster unless it
overlaps them. FLOPs and bytes are counted from the shapes (benchmarks/work.py): the actor on each
of the rollout's observations, the critic on all of them, and forward and backward passes of both
on every minibatch; Adam reads gradient, parameters and two moments and writes the latter three.
Then the same process trains, in turn with the rest: fraction reached = limit / measured, round by
round.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence

from harness import CommonFlags, Figure, in_turn, machine, median_and_range, parsed, report, show
from rates import GIGA, bandwidths, matmul_rates
from rich.table import Table
from subjects import Training
from work import UpdateWork, update_work

from pathb_jax.cli import command
from pathb_jax.config import TIERS, Tier, TrainConfig
from pathb_jax.system import backend

MATMUL, MEMORY, SECONDS, FRACTION = "GFLOP/s", "GB/s", "s", "limit / measured"
DIGITS = {MATMUL: 1, MEMORY: 1, SECONDS: 4, FRACTION: 2}


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to measure."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    seconds: float = 0.5
    """Seconds each rate is measured for per round; training takes six times as long, or one update
    if that is longer."""
    train: bool = True
    """Whether to measure training too."""


class Subject:
    """One tier: what is measured of it, and what follows from that."""

    def __init__(self, tier: Tier, flags: Flags) -> None:
        shapes = TrainConfig(tier=tier)
        self.tier = tier
        self.work: UpdateWork = update_work(shapes)
        self.units: dict[str, str] = {}
        self.measurements: dict[str, Callable[[], float]] = {}
        rows, width = shapes.minibatch_size, TIERS[tier].width
        self._add(matmul_rates(rows, width, flags.seconds), MATMUL)
        self._add(bandwidths(self.work.parameters, flags.seconds), MEMORY)
        if flags.train:
            training = Training(shapes)
            updates = training.updates_in(6 * flags.seconds)
            self._add({"update": lambda: training.seconds_per_update(updates)}, SECONDS)

    def _add(self, measurements: dict[str, Callable[[], float]], unit: str) -> None:
        for name, measure in measurements.items():
            self.measurements[f"{self.tier}: {name}"] = measure
            self.units[f"{self.tier}: {name}"] = unit

    def derived(self, measured: Mapping[str, Figure]) -> dict[str, Figure]:
        """Return the limit and the fraction reached, one value per round."""
        update = measured.get(f"{self.tier}: update")
        figures = limits(
            self.work,
            self._best(measured, MATMUL),
            self._best(measured, MEMORY),
            None if update is None else update.values,
        )
        return {f"{self.tier}: {name}": figure for name, figure in figures.items()}

    def _best(self, measured: Mapping[str, Figure], unit: str) -> list[float]:
        """Return every round's highest rate."""
        names = [name for name in self.measurements if self.units[name] == unit]
        rounds = zip(*(measured[name].values for name in names), strict=True)
        return [max(values) for values in rounds]


def limits(
    work: UpdateWork, matmul: list[float], memory: list[float], update: list[float] | None
) -> dict[str, Figure]:
    """Return what follows from the best rates, one value per round each.

    Args:
        work: of one update.
        matmul: GFLOP/s.
        memory: GB/s.
        update: seconds measured, if they were.
    """
    products = [work.flops / rate / GIGA for rate in matmul]
    adam = [work.adam_bytes / rate / GIGA for rate in memory]
    limit = [a + b for a, b in zip(products, adam, strict=True)]
    figures = {
        "best matmul rate": Figure(MATMUL, matmul),
        "best bandwidth": Figure(MEMORY, memory),
        "limit: products": Figure(SECONDS, products),
        "limit: Adam": Figure(SECONDS, adam),
        "limit of an update": Figure(SECONDS, limit),
    }
    if update is not None:
        reached = [a / b for a, b in zip(limit, update, strict=True)]
        figures["fraction reached"] = Figure(FRACTION, reached)
    return figures


def main() -> int:
    flags = parsed(Flags, __doc__)
    backend.select_backend("auto", deterministic=False)  # JAX has started by now
    before = machine()
    subjects = [Subject(tier, flags) for tier in flags.tiers]
    units = {name: unit for subject in subjects for name, unit in subject.units.items()}
    measurements = {
        name: measure for subject in subjects for name, measure in subject.measurements.items()
    }
    measured = in_turn(measurements, flags.rounds, units)
    figures = dict(measured)
    for subject in subjects:
        figures |= subject.derived(measured)
    work = {subject.tier: subject.work._asdict() for subject in subjects}
    show(report("roofline", flags, figures, before, work=work), rows(flags.tiers, figures))
    return 0


def rows(tiers: Sequence[Tier], figures: Mapping[str, Figure]) -> Table:
    """Return the table: every figure of one tier after the other."""
    table = Table("tier", "figure", "unit", "median", "range")
    for tier in tiers:
        for name, (unit, values) in figures.items():
            if name.startswith(f"{tier}: "):
                shown = median_and_range(values, DIGITS[unit])
                table.add_row(tier, name.removeprefix(f"{tier}: "), unit, *shown)
        table.add_section()
    return table


if __name__ == "__main__":
    sys.exit(command.run(main))
