"""What a fresh process costs: import, --help, compiling from cold and cached, memory.

    python benchmarks/start_up.py --rounds 3

Every figure is of processes of their own. "cold" has an empty cache of compiled programs, "cached"
the one that the cold process left. Compiling is tracing, lowering and compiling the training chunk
and the evaluator, and a run's initial state, as at the beginning of a run; imports and the start of
JAX come before. Memory is the largest resident size after a few
updates and after four times as many: it must not grow with them.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import CommonFlags, Figure, machine, median_and_range, parsed, report, show, timed
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.config import Tier, TrainConfig
from pathb_jax.system import backend

CHILD = "--child"
UPDATES: dict[Tier, int] = {"Small": 50, "Medium": 4, "Large": 1}
"""Updates before memory is read the first time; three times as many follow."""


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to measure."""

    tiers: tuple[Tier, ...] = ("Small", "Medium", "Large")
    """Network sizes."""
    rounds: int = 3
    """Rounds; each starts every process once."""


def child(tier: Tier) -> None:
    """In a process of its own: compile, train, and print seconds and sizes as JSON."""
    backend.select_backend("auto")
    from subjects import Training  # imports all that compiling needs
    from train_steps import peak_memory_mib

    backend.current_device()  # JAX starts
    made: list[Training] = []
    compile_seconds = timed(lambda: made.append(Training(TrainConfig(tier=tier))))
    compile_seconds -= timed(lambda: made[0].train(1))
    first = timed(made[0].evaluate)
    compile_seconds += first - timed(made[0].evaluate)
    made[0].train(UPDATES[tier])
    early = peak_memory_mib()
    made[0].train(3 * UPDATES[tier])
    print(json.dumps({"compile": compile_seconds, "early": early, "late": peak_memory_mib()}))


def process(words: list[str], **environment: str) -> tuple[float, str]:
    """Run Python; return the seconds it took and what it printed."""
    printed: list[str] = []

    def run() -> None:
        ended = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(ended.stdout)

    return timed(run), printed[0]


def main() -> int:
    if sys.argv[1:2] == [CHILD]:
        child(sys.argv[2])  # type: ignore[arg-type]
        return 0
    flags = parsed(Flags, __doc__)
    before = machine()
    root = Path(__file__).parents[1]
    figures: dict[str, Figure] = {}

    def add(name: str, unit: str, value: float) -> None:
        figures.setdefault(name, Figure(unit, [])).values.append(value)

    for index in range(flags.rounds):
        add("import pathb_jax", "s", process(["-c", "import pathb_jax"])[0])
        for script in ("train_ppo.py", "ladder.py"):
            seconds, _ = process([str(root / "scripts" / script), "--help"])
            add(f"{script} --help", "s", seconds)
        for tier in flags.tiers:
            with tempfile.TemporaryDirectory() as cache:
                for kind in ("cold", "cached"):
                    _, printed = process([__file__, CHILD, tier], JAX_COMPILATION_CACHE_DIR=cache)
                    measured = json.loads(printed.splitlines()[-1])
                    add(f"compile {tier}, {kind}", "s", measured["compile"])
                updates = UPDATES[tier]
                add(f"memory {tier} after {updates} updates", "MiB", measured["early"])
                add(f"memory {tier} after {4 * updates} updates", "MiB", measured["late"])
        print(f"round {index + 1}/{flags.rounds}", file=sys.stderr)
    content = report("start_up", flags, figures, before)
    table = Table("what", "unit", "median", "range")
    for name, figure in figures.items():
        digits = 2 if figure.unit == "s" else 0
        table.add_row(name, figure.unit, *median_and_range(figure.values, digits))
    show(content, table)
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main))
