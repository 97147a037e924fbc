"""How cost grows with environments, evaluation seeds, updates per call, runs, and network.

    python benchmarks/scaling.py --rounds 5 --json scaling.json
    python benchmarks/scaling.py --parts seeds updates

Each part varies one thing and leaves the rest as it is pinned:

    envs      one update with 16 to 256 environments, Small; samples grow with them, and so does
              the number of minibatches
    seeds     an evaluation of one set of 256 to 4 096 seeds, Small, from the policy's first
              parameters, so that every episode lasts to its horizon; goal: 4 096 in under a second
    updates   one call of 1 to 64 updates, Small, and the highest memory the process had meanwhile
              (Linux only)
    runs      one update of each of 1 to 8 runs at once, Small, put where runs.side_by_side would
              put them
    network   one update of each tier, against its FLOPs (benchmarks/work.py)

The exponent is the slope of log cost against log size, fitted by least squares to every round's
value, with its standard error: 1 is proportional, less means that some of the cost is fixed.
Compilation is never timed. The exponent of memory ought to be 0: a run may be as long as it likes.
"""

import dataclasses
import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
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

# What starts JAX is imported where it is used: the devices of a CPU are chosen before.

Part = Literal["envs", "seeds", "updates", "runs", "network"]
ENVS = (16, 32, 64, 128, 256)
SEEDS = (256, 512, 1024, 2048, 4096)
UPDATES = (1, 4, 16, 64)
RUNS = (1, 2, 4, 8)
CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to measure."""

    parts: tuple[Part, ...] = get_args(Part)
    """What to vary."""
    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Networks of the part network."""
    seconds: float = 1.0
    """Seconds each size is measured for per round, or once if that is longer."""

    def check(self) -> None:
        """Raise InputError for values nothing can be fitted to."""
        super().check()
        if "network" in self.parts and len(set(self.tiers)) < 2:
            raise InputError("--tiers", self.tiers, "name at least two: an exponent is fitted")


class Sweep(NamedTuple):
    """One part: what is measured at which size."""

    sizes: dict[str, float]
    """By the name of the measurement, ascending."""
    measurements: dict[str, Callable[[], float]]
    unit: str


class Exponent(NamedTuple):
    """Slope of log cost against log size."""

    value: float
    error: float | None
    """Standard error of the least-squares fit; None if two values leave nothing to estimate it."""

    def __str__(self) -> str:
        return f"{self.value:.2f}" + ("" if self.error is None else f" ± {self.error:.2f}")


def exponent(sizes: Sequence[float], costs: Sequence[Sequence[float]]) -> Exponent:
    """Fit cost = constant x size^exponent.

    Args:
        sizes: at least two different ones.
        costs: every round's cost at each size.
    """
    pairs = [(s, c) for s, values in zip(sizes, costs, strict=True) for c in values]
    x, y = np.log(np.asarray(pairs, float)).T
    if len(pairs) < 3:
        return Exponent(float(np.polyfit(x, y, 1)[0]), None)
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    return Exponent(float(slope), float(np.sqrt(covariance[0, 0])))


def repeated(work: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Measure the seconds of one call, repeated for about as long as `seconds`."""
    work()
    calls = max(1, int(seconds / timed(work)))

    def again() -> None:
        for _ in range(calls):
            work()

    return lambda: timed(again) / calls


def envs_sweep(flags: Flags) -> Sweep:
    """One update of several numbers of environments."""
    return _trainings({f"{n} envs": (TrainConfig(batch_envs=n), n) for n in ENVS}, flags)


def network_sweep(flags: Flags) -> Sweep:
    """One update of several networks."""
    from work import update_work

    shapes = {tier: TrainConfig(tier=tier) for tier in flags.tiers}
    flops = {tier: update_work(each).flops for tier, each in shapes.items()}
    ordered = sorted(flops, key=lambda tier: flops[tier])
    return _trainings({f"network {t}": (shapes[t], flops[t]) for t in ordered}, flags)


def _trainings(named: Mapping[str, tuple[TrainConfig, float]], flags: Flags) -> Sweep:
    measurements: dict[str, Callable[[], float]] = {}
    for name, (shapes, _) in named.items():
        training = _training(shapes)
        updates = training.updates_in(flags.seconds)
        measurements[name] = functools.partial(training.seconds_per_update, updates)
    return Sweep({name: size for name, (_, size) in named.items()}, measurements, "s")


def _sweep(
    sizes: Sequence[int], what: str, measure: Callable[[int], Callable[[], float]], unit: str = "s"
) -> Sweep:
    named = {f"{size} {what}": size for size in sizes}
    return Sweep(dict(named), {name: measure(size) for name, size in named.items()}, unit)


def _training(shapes: TrainConfig) -> "Training":
    from subjects import Training

    return Training(shapes)


def seeds_sweep(flags: Flags) -> Sweep:
    """One evaluation of several numbers of seeds."""
    training = _training(TrainConfig())

    def evaluation(seeds: int) -> Callable[[], float]:
        return repeated(lambda: training.evaluate((10000,), seeds), flags.seconds)

    return _sweep(SEEDS, "seeds", evaluation)


def updates_sweep(flags: Flags) -> Sweep:
    """One call of several numbers of updates."""
    training = _training(TrainConfig())

    def call(updates: int) -> Callable[[], float]:
        return repeated(lambda: training.train(updates), flags.seconds)

    return _sweep(UPDATES, "updates", call)


def runs_sweep(flags: Flags) -> Sweep:
    """One update of each of several numbers of runs."""
    from subjects import Runs

    training = _training(TrainConfig())
    updates = training.updates_in(flags.seconds)

    def all_of(number: int) -> Callable[[], float]:
        runs = Runs(TrainConfig(), number)
        return lambda: timed(lambda: runs.train(updates)) / updates

    return _sweep(RUNS, "runs", all_of)


def memory_sweep(flags: Flags) -> Sweep:
    """The highest memory of the process during one call of several numbers of updates."""
    del flags
    training = _training(TrainConfig())

    def peak(updates: int) -> Callable[[], float]:
        def measure() -> float:
            reset_peak_memory()
            training.train(updates)
            return peak_memory()

        return measure

    return _sweep(UPDATES, "updates, memory", peak, "MiB")


def reset_peak_memory() -> None:
    """Make the highest resident memory count from now on (Linux)."""
    CLEAR_REFS.write_text("5")


def peak_memory() -> float:
    """Return the highest resident memory of this process since the last reset, in MiB (Linux)."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None, "this kernel does not tell the peak"
    return int(peak[1]) / 1024


SWEEPS: dict[str, Callable[[Flags], Sweep]] = {
    "envs: one update": envs_sweep,
    "seeds: one evaluation": seeds_sweep,
    "updates: one call": updates_sweep,
    "updates: peak memory": memory_sweep,
    "runs: one update of each": runs_sweep,
    "network FLOPs: one update": network_sweep,
}


def main() -> int:
    flags = parsed(Flags, __doc__)
    backend.select_backend("auto", host_devices=backend.available_cores())
    before = machine()
    sweeps = {
        name: build(flags)
        for name, build in SWEEPS.items()
        if name.split()[0].rstrip(":") in flags.parts
        and (build is not memory_sweep or CLEAR_REFS.exists())
    }
    units = {name: sweep.unit for sweep in sweeps.values() for name in sweep.measurements}
    measurements = {
        name: measure for sweep in sweeps.values() for name, measure in sweep.measurements.items()
    }
    figures = in_turn(measurements, flags.rounds, units)
    fits = {
        name: exponent(
            list(sweep.sizes.values()), [figures[each].values for each in sweep.measurements]
        )
        for name, sweep in sweeps.items()
    }
    content = report(
        "scaling", flags, figures, before, exponents={n: f._asdict() for n, f in fits.items()}
    )
    show(content, table(sweeps, figures, fits))
    return 0


def table(
    sweeps: Mapping[str, Sweep], figures: Mapping[str, Figure], fits: Mapping[str, Exponent]
) -> Table:
    """Return the table: a row per size, the exponent beside the last one."""
    shown = Table("cost against", "size", "median", "range", "exponent")
    for name, sweep in sweeps.items():
        scale, unit, digits = (1e3, "ms", 1) if sweep.unit == "s" else (1.0, sweep.unit, 0)
        for each, size in sweep.sizes.items():
            values = [scale * value for value in figures[each].values]
            median, spread = median_and_range(values, digits)
            fitted = str(fits[name]) if each == list(sweep.sizes)[-1] else ""
            shown.add_row(
                name,
                f"{size:,.4g}" if size > 1e6 else f"{size:,}",
                f"{median} {unit}",
                spread,
                fitted,
            )
        shown.add_section()
    return shown


if __name__ == "__main__":
    sys.exit(command.run(main))
