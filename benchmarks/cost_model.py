"""Predicted time of an update on GPUs nobody has measured, and of one here beside the measurement.

    python benchmarks/cost_model.py --tiers Small Medium Large --json cost_model.json

NO GPU WAS MEASURED: the GPU rows are predictions from published rates. The program is the one
compiled for this machine, its kernels read from the optimised text with their loops' trip counts
(benchmarks/kernels.py). They run one after another, and each takes the longest of three times:

    launch      --launch-microseconds for every kernel: an assumption, the usual few microseconds
    products    FLOPs of its matrix products / the device's rate in that precision
    memory      bytes it reads and writes / the device's memory bandwidth

so an update is their sum; "mostly" is the time that the longest share of the float32 update is.
A GPU's compiler fuses more than a CPU's (fewer launches than counted here), products of 256 rows do
not fill a large device (slower than published), and its caches move bytes faster than its memory:
read the figures as orders of magnitude, and the shares as what to work on. float32 is what this
project computes in; TF32 and bfloat16 stand for products rounded that way, all else left as it is.

The row "here" is the same formula with this machine's rates (measured in the same process, float32
through XLA, arrays as long as the tier's parameters; a kernel's cost from a loop of small ones),
beside the training that is measured in turn. What the formula leaves out (tanh, random numbers,
sorting, two cores that wait for each other) shows in the ratio of the two.
"""

import dataclasses
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from harness import CommonFlags, Figure, in_turn, machine, paired_ratio, parsed, report, show
from kernels import Kernel, kernels, launches, total_bytes, total_flops
from rates import GIGA, bandwidths, kernel_seconds, matmul_rates
from rich.table import Table
from subjects import Training
from work import update_work

from pathb_jax.cli import command
from pathb_jax.config import TIERS, Tier, TrainConfig
from pathb_jax.system import backend

PRECISIONS = ("float32", "TF32", "bfloat16")
RUN_STEPS = 10_000_000
"""Environment steps of one candidate."""


class Device(NamedTuple):
    """What a kernel's time follows from."""

    launch: float
    """Seconds a kernel takes at least."""
    flops: float
    """Of matrix products, per second."""
    bandwidth: float
    """Bytes per second."""


class Published(NamedTuple):
    """Rates from NVIDIA's data sheets of the SXM devices, dense (without sparsity)."""

    tera_flops: dict[str, float]
    """Per second, by the precision of products; float32 is that outside tensor cores."""
    tera_bytes: float
    """Memory bandwidth per second."""


GPUS = {
    "H200 SXM": Published({"float32": 67.0, "TF32": 494.7, "bfloat16": 989.4}, 4.8),
    "H100 SXM": Published({"float32": 67.0, "TF32": 494.7, "bfloat16": 989.4}, 3.35),
    "A100 SXM": Published({"float32": 19.5, "TF32": 156.0, "bfloat16": 312.0}, 2.039),
}


class Prediction(NamedTuple):
    """Seconds of one update, by what the kernels' time is."""

    launch: float
    products: float
    memory: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(self)

    @property
    def dominant(self) -> str:
        """The largest part and its share."""
        name, value = max(self._asdict().items(), key=lambda part: part[1])
        return f"{name} {value / self.seconds:.0%}"


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to predict."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    launch_microseconds: float = 3.0
    """Assumed least time of one GPU kernel in a compiled loop, in microseconds."""
    seconds: float = 0.5
    """Seconds each of this machine's rates is measured for per round; training takes six times as
    long, or one update if that is longer."""


def predict(program: Iterable[Kernel], device: Device) -> Prediction:
    """Return how long one update's kernels take, each counted under the longest of its times."""
    parts = [0.0, 0.0, 0.0]
    for kernel in program:
        times = (device.launch, kernel.flops / device.flops, kernel.bytes / device.bandwidth)
        longest = max(times)
        parts[times.index(longest)] += kernel.times * longest
    return Prediction(*parts)


class Subject:
    """One tier: its kernels, its training here, and the rates it would have here."""

    def __init__(self, tier: Tier, seconds: float) -> None:
        shapes = TrainConfig(tier=tier)
        self.tier = tier
        self.batch_size = shapes.batch_size
        training = Training(shapes)
        self.kernels = kernels(training.program.compiled.as_text())
        updates = training.updates_in(6 * seconds)
        products = matmul_rates(shapes.minibatch_size, TIERS[tier].width, seconds)
        memory = bandwidths(update_work(shapes).parameters, seconds)
        self.measurements: dict[str, Callable[[], float]] = {
            "measured update": lambda: training.seconds_per_update(updates),
            "products": _through_xla(products),
            "bandwidth": _through_xla(memory),
            "kernel": kernel_seconds(seconds),
        }

    def here(self, measured: dict[str, Figure], index: int) -> Prediction:
        """Predict an update here from one round's rates."""
        launch, products, memory = (
            measured[f"{self.tier}: {name}"].values[index]
            for name in ("kernel", "products", "bandwidth")
        )
        return predict(self.kernels, Device(launch, GIGA * products, GIGA * memory))


UNITS = {"measured update": "s", "products": "GFLOP/s", "bandwidth": "GB/s", "kernel": "s"}


def _through_xla(measurements: dict[str, Callable[[], float]]) -> Callable[[], float]:
    """Return the rate of all of XLA's measurements one after another."""
    chosen = [measure for name, measure in measurements.items() if name.endswith("XLA")]
    return lambda: statistics.harmonic_mean([measure() for measure in chosen])


def main() -> int:
    flags = parsed(Flags, __doc__)
    backend.select_backend("auto", deterministic=False)  # JAX has started by now
    before = machine()
    subjects = [Subject(tier, flags.seconds) for tier in flags.tiers]
    measurements = {
        f"{subject.tier}: {name}": measure
        for subject in subjects
        for name, measure in subject.measurements.items()
    }
    units = {name: UNITS[name.split(": ")[1]] for name in measurements}
    measured = in_turn(measurements, flags.rounds, units)
    figures = dict(measured)
    precisions = [f"{precision}, ms" for precision in PRECISIONS]
    outcome = ("10 M steps, min", "mostly", "measured, ms", "measured / predicted")
    table = Table("tier", "device", *precisions, *outcome)
    for subject in subjects:
        add_gpus(subject, flags.launch_microseconds, figures, table)
        add_here(subject, measured, figures, table)
        table.add_section()
    counted = {subject.tier: counts(subject) for subject in subjects}
    show(report("cost_model", flags, figures, before, counted=counted), table)
    for tier, count in counted.items():
        print(f"{tier}, one update: " + ", ".join(f"{v:,.0f} {k}" for k, v in count.items()))
    print("GPU rows are predictions from published rates; no GPU was measured.")
    return 0


def counts(subject: Subject) -> dict[str, Any]:
    """Return what the compiled update amounts to."""
    return {
        "kernels": launches(subject.kernels),
        "GFLOP in products": total_flops(subject.kernels) / GIGA,
        "MB moved": total_bytes(subject.kernels) / 1e6,
    }


def add_gpus(
    subject: Subject, launch_microseconds: float, figures: dict[str, Figure], table: Table
) -> None:
    """Add the rows and figures of devices that nobody measured."""
    for device, published in GPUS.items():
        predicted = []
        for precision in PRECISIONS:
            flops, bandwidth = 1e12 * published.tera_flops[precision], 1e12 * published.tera_bytes
            rates = Device(1e-6 * launch_microseconds, flops, bandwidth)
            predicted.append(predict(subject.kernels, rates))
            name = f"{subject.tier}: predicted update, {device}, {precision}"
            figures[name] = Figure("s", [predicted[-1].seconds])
        shown = [_milliseconds(each.seconds) for each in predicted]
        candidate = _minutes(predicted[0].seconds, subject.batch_size)
        table.add_row(
            subject.tier, device, *shown, candidate, predicted[0].dominant, "not measured", ""
        )


def add_here(
    subject: Subject, measured: dict[str, Figure], figures: dict[str, Figure], table: Table
) -> None:
    """Add this machine's row: predicted beside measured, round by round."""
    update = measured[f"{subject.tier}: measured update"].values
    predicted = [subject.here(measured, index) for index in range(len(update))]
    seconds = [each.seconds for each in predicted]
    figures[f"{subject.tier}: predicted update, here"] = Figure("s", seconds)
    typical = statistics.median(seconds)
    table.add_row(
        subject.tier,
        "here",
        _milliseconds(typical),
        "",
        "",
        _minutes(typical, subject.batch_size),
        predicted[0].dominant,
        _milliseconds(statistics.median(update)),
        str(paired_ratio(update, seconds)),
    )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f}"


def _minutes(seconds: float, batch_size: int) -> str:
    """Return the minutes of a candidate's updates."""
    return f"{math.ceil(RUN_STEPS / batch_size) * seconds / 60:,.1f}"


if __name__ == "__main__":
    sys.exit(command.run(main))
