"""The reproducibility check: what is compared, the reference runs, and what a comparison says.

Holds no JAX. The reference runs are real commands in processes of their own, each with one device;
they have to end before this process computes, since a GPU's memory goes to who comes first. What
is held against them is in `reproducibility_checks`.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

from pathb_jax.config import Backend, RunConfig, Tier, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.system import signals

VARIANT: VariantName = "mixed_ppo_phase3_lambda_0_9"
BIT_EQUAL = "bit-equal"

Verdict = Literal["kept", "broken", "no promise", "not tried"]
Parts = Mapping[str, str]
"""Digests of a run by part, as `studies.digest.digest` returns them."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One tier's check: what is trained, and where."""

    folder: Path
    """For the runs; empty."""
    tier: Tier = "Small"
    updates: int = 10
    """Of every run that is compared bit for bit; at least 4: all are evaluated at half of them, so
    that with fewer another cadence would not evaluate at other times."""
    vmapped_updates: tuple[int, ...] = (1, 10, 100)
    """After how many updates a run alone is compared with one of several vmapped; ascending."""
    vmapped_runs: int = 4
    backend: Backend = "auto"
    devices: tuple[int, ...] = (1, 2, 4, 8)
    """How many runs are trained side by side, each on a device of its own."""
    eval_seeds: int = 64
    shapes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Flags that tests use for smaller shapes than the tier's real ones."""

    def words(self, out: str, seed: int = 0, eval_every: int | None = None) -> list[str]:
        """Return the command line of one run; `out` is a folder below this setting's."""
        flags: dict[str, Any] = {
            "variant": VARIANT,
            "tier": self.tier,
            "seed": seed,
            "updates": self.updates,
            "eval-seeds": self.eval_seeds,
            "eval-every": eval_every or self.updates,
            "success-floor": 0.0,
            "out": self.folder / out,
            "backend": self.backend,
            **self.shapes,
        }
        return [word for name, value in flags.items() for word in (f"--{name}", str(value))]

    def run(self, out: str, seed: int = 0, eval_every: int | None = None) -> RunConfig:
        """Return the configuration that `words` stands for."""
        words = self.words(out, seed, eval_every)
        config: RunConfig = tyro.cli(RunConfig, args=words, config=(tyro.conf.OmitArgPrefixes,))
        return validated(config)


class Finding(NamedTuple):
    """One row of the table."""

    check: str
    compared: str
    promise: str
    found: str
    verdict: Verdict
    reason: str = ""
    """Why it was not tried."""


class CommandFailed(Exception):  # noqa: N818  # says what happened to a command
    """A reference run's command ended with a failure."""


def train_references(setting: Setting) -> None:
    """Train the runs that all others are held against, in two processes one after the other.

    `command` holds the run of training seed 0, compiled anew; `alone/SEED` holds one run per
    device, trained one after another on one device with whatever compiled programs are cached.

    Raises:
        InputError: the backend that was asked for is not there.
        CommandFailed: a command ended with a failure.
    """
    run_commands([setting.words("command")], cached=False)
    run_commands(
        [setting.words(f"alone/{seed}", seed) for seed in range(max(setting.devices))], cached=True
    )


_COMMANDS = """
import json, sys
from pathb_jax.cli.train import main
for words in json.loads(sys.argv[1]):
    if code := main(words):
        sys.exit(code)
"""


def run_commands(commands: Sequence[Sequence[str]], *, cached: bool) -> None:
    """Run `train_ppo` commands in one new process with one device.

    Args:
        commands: the words of each.
        cached: whether it may use compiled programs that were kept.

    Raises:
        InputError: a command called its input bad.
        CommandFailed: a command ended with a failure.
    """
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    if not cached:
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    code, printed, complained = _run(
        [sys.executable, "-P", "-c", _COMMANDS, json.dumps(commands)], environment
    )
    if code == 0:
        return
    last = (complained.strip() or printed.strip()).splitlines()[-1:] or ["it said nothing"]
    if code == 2:
        raise CommandInputError(last[0].removeprefix("error: "))
    raise CommandFailed(f"a reference run ended with exit code {code}: {last[0]}")


def _run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command that ends with this process; return its code, output and errors."""
    with contextlib.ExitStack() as cleanup:
        with signals.deferred():
            child = subprocess.Popen(
                words,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            cleanup.enter_context(child)
            cleanup.callback(child.kill)
        printed, complained = child.communicate()
    return child.returncode, printed, complained


class CommandInputError(InputError):
    """A command called its input bad; the message is the command's own."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)


def bit_equality(
    check: str,
    compared: str,
    runs: Mapping[str, tuple[Parts, Parts]],
    ignoring: Collection[str] = (),
) -> Finding:
    """Hold runs against their references, part by part.

    Args:
        check: the row's name.
        compared: what with what.
        runs: name -> digests of the reference and of the run.
        ignoring: parts that may differ.
    """
    differences, parts = [], 0
    for name, (reference, other) in runs.items():
        differing, equal = _compared(reference, other, ignoring)
        parts += equal
        if differing:
            differences.append(f"{name}: {', '.join(differing)}")
    outcome = f"{parts} parts of {len(runs)} run{'s' * (len(runs) > 1)} equal"
    if differences:
        outcome = f"differ: {'; '.join(differences)}"
    # Nothing compared is nothing shown.
    return Finding(
        check, compared, BIT_EQUAL, outcome, "kept" if parts and not differences else "broken"
    )


def _compared(reference: Parts, other: Parts, ignoring: Collection[str]) -> tuple[list[str], int]:
    """Return the names of the parts that differ, and how many are equal."""
    names = [name for name in {**reference, **other} if name != "all"]
    short = {name: name.rpartition(": ")[2] for name in names}
    names = [name for name in names if short[name] not in ignoring]
    differing = [short[name] for name in names if reference.get(name) != other.get(name)]
    return differing, len(names) - len(differing)


def within(
    check: str, compared: str, deviation: float, tolerance: float | None, outcomes: str
) -> Finding:
    """Hold the largest deviation of parameters against a tolerance.

    Args:
        check: the row's name.
        compared: what with what.
        deviation: largest absolute deviation.
        tolerance: what is promised, None if nothing is.
        outcomes: evaluation outcomes, in words.
    """
    outcome = f"{deviation:.1e}; {outcomes}"
    if tolerance is None:
        return Finding(check, compared, "none: rounding grows", outcome, "no promise")
    verdict: Verdict = "kept" if deviation <= tolerance else "broken"  # NaN is broken
    return Finding(check, compared, f"deviation <= {tolerance:.0e}", outcome, verdict)
