"""What changed between two reports of the same benchmark, and whether that is beyond noise.

    python benchmarks/compare.py before.json after.json

Each figure's medians and the ratio after / before with a 95 % interval (Welch's t on the
logarithms: the rounds of two reports are not paired). "beyond noise" means that the interval
excludes 1. Of 20 figures that did not change, one is expected to be called so by chance; and two
reports taken at different times also differ by what else the machine did: repeat both to be sure.
"""

import dataclasses
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from harness import FORMAT, Ratio, headline
from rich.console import Console
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Flags:
    """Which reports to compare."""

    before: Annotated[Path, tyro.conf.Positional]
    """A file that a benchmark's --json wrote."""
    after: Annotated[Path, tyro.conf.Positional]
    """Another one of the same benchmark."""


def read(path: Path) -> dict[str, Any]:
    """Read a report; raise InputError if it is not one."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(str(path), "unreadable", f"it has to be a report: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(str(path), "another file", f"a report has the format {FORMAT}")
    return content


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """Geometric means, after over before, with Welch's 95 % interval on the log scale."""
    from scipy.stats import ttest_ind

    old, new = [math.log(x) for x in before], [math.log(x) for x in after]
    center = math.exp(statistics.fmean(new) - statistics.fmean(old))
    if min(len(old), len(new)) < 2:
        return Ratio(center, 0.0, math.inf)
    if statistics.pstdev(old) == statistics.pstdev(new) == 0:
        return Ratio(center, center, center)
    interval = ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    return Ratio(center, math.exp(interval.low), math.exp(interval.high))


def main() -> int:
    flags = command.parse(Flags, None, __doc__ or "")
    before, after = read(flags.before), read(flags.after)
    if before["benchmark"] != after["benchmark"]:
        allowed = f"give two reports of {before['benchmark']}"
        raise InputError(str(flags.after), after["benchmark"], allowed)
    table = Table("figure", "unit", "before", "after", "after / before", "beyond noise")
    for name in [name for name in before["figures"] if name in after["figures"]]:
        old, new = before["figures"][name], after["figures"][name]
        change = ratio(old["values"], new["values"])
        table.add_row(
            name,
            old["unit"],
            f"{statistics.median(old['values']):,.4g}",
            f"{statistics.median(new['values']):,.4g}",
            str(change),
            "no" if change.low <= 1.0 <= change.high else "yes",
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"before: {headline(before)}\nafter:  {headline(after)}")
    console.print(table)
    for which, only in (("before", before), ("after", after)):
        other = after if only is before else before
        if missing := sorted(set(only["figures"]) - set(other["figures"])):
            console.print(f"only {which}: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main))
