"""What all benchmarks share: rounds in turn, paired ratios, the machine, one table, one JSON file.

Timings on a shared machine are noisy and drift, so subjects are measured in turn (A B A B), their
medians are reported with the range, and two subjects are compared round by round.
"""

import dataclasses
import json
import math
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.errors import InputError
from pathb_jax.system import backend, provenance, source

FORMAT = "pathb-benchmark-v1"


@dataclasses.dataclass(frozen=True)
class CommonFlags:
    """Options of every benchmark."""

    rounds: int = 5
    """Rounds; each measures every subject once, in turn. Figures are medians over them."""
    json: Path | None = None
    """Write all figures here too, for benchmarks/compare.py."""

    def check(self) -> None:
        """Raise InputError for values nothing can be measured with: no rounds, tiers or seconds."""
        if self.rounds < 1:
            raise InputError("--rounds", self.rounds, "give 1 or more")
        for name, value in vars(self).items():
            flag = f"--{name.replace('_', '-')}"
            if name in ("tiers", "parts") and not value:
                raise InputError(flag, "", "name at least one")
            if isinstance(value, float) and not 0 < value < math.inf:
                raise InputError(flag, value, "give a positive number")


Flags = TypeVar("Flags", bound=CommonFlags)


def parsed(flags_type: type[Flags], doc: str | None) -> Flags:
    """Return what the command line says, checked."""
    flags = command.parse(flags_type, None, doc or "")
    flags.check()
    return flags


class Figure(NamedTuple):
    """One measured quantity."""

    unit: str
    values: list[float]
    """One per round, in the order of the rounds."""


def in_turn(
    subjects: Mapping[str, Callable[[], float]], rounds: int, unit: str | Mapping[str, str]
) -> dict[str, Figure]:
    """Call every subject once a round; each call returns one value in `unit`, or its own unit."""
    figures = {name: Figure(unit if isinstance(unit, str) else unit[name], []) for name in subjects}
    for index in range(rounds):
        for name, measure in subjects.items():
            figures[name].values.append(measure())
        print(f"round {index + 1}/{rounds}", file=sys.stderr)
    return figures


def timed(work: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call; what it returns is waited for."""
    import jax

    started = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - started


class Ratio(NamedTuple):
    """How many times higher one subject's values are than another's."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Geometric mean of the rounds' ratios with its 95 % t interval on the log scale.

    Args:
        ours: one value a round.
        theirs: the same rounds' values.
    """
    from scipy.stats import t

    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(mean), 0.0, math.inf)
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def machine() -> dict[str, Any]:
    """Describe what is measured on, and how busy it is now."""
    return provenance.device_report() | {
        "processor": backend.processor()["model name"],
        "cores": os.cpu_count(),
        "load_per_minute": round(os.getloadavg()[0], 2),
    }


def report(
    benchmark: str,
    flags: CommonFlags,
    figures: Mapping[str, Figure],
    before: Mapping[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """Assemble a report and write it if `--json` asks for it.

    Args:
        benchmark: its name.
        flags: the common options.
        figures: by name; compare.py matches names.
        before: what `machine` returned before measuring.
        more: whatever else belongs into the file.
    """
    content = {
        "format": FORMAT,
        "benchmark": benchmark,
        "command": shlex.join(["python", *sys.argv]),
        "machine": {**before, "load_per_minute_after": round(os.getloadavg()[0], 2)},
        "source": source.source_version(),
        "rounds": flags.rounds,
        "figures": {name: figure._asdict() for name, figure in figures.items()},
        **more,
    }
    if flags.json is not None:
        flags.json.write_text(json.dumps(content, indent=2) + "\n")
    return content


def headline(content: Mapping[str, Any]) -> str:
    """One line: machine, versions, load, rounds."""
    where = content["machine"]
    return (
        f"{where['processor'] or where['device_kind']} ({where['platform']}), "
        f"{where['cores']} cores, load {where['load_per_minute']:.1f} before and "
        f"{where['load_per_minute_after']:.1f} after, jax {where['versions']['jax']}, "
        f"{content['rounds']} rounds"
    )


def show(content: Mapping[str, Any], table: Table) -> None:
    """Print the headline and one table."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(headline(content))
    console.print(table)


def median_and_range(values: Sequence[float], digits: int = 0) -> tuple[str, str]:
    """Return the median and "lowest - highest" as text."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f}", f"{low:,.{digits}f} - {high:,.{digits}f}"
