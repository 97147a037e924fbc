"""`check_reproducibility`: try the promises of equal bits, or digest what they are about."""

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import FAILURE, OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_writable
from pathb_jax.config import TIERS, Backend, DefaultHint, Tier
from pathb_jax.display.terminal import Terminal, notice, say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json
from pathb_jax.studies.reproducibility import (
    CommandFailed,
    Finding,
    Setting,
    Verdict,
    train_references,
)
from pathb_jax.system import provenance, signals

DESCRIPTION = """Try what is promised about equal bits, and print what was found.

Trains short runs of a tier's real shapes: twice by the same command, stopped and resumed, with
other evaluations, beside others on 1, 2, 4 and 8 devices, as one of several vmapped; and evaluates
seed sets in one pass and apart. A CPU is made into eight devices; where there are fewer GPUs the
rows say what was not tried. Takes minutes at Small; for larger tiers lower --updates and
--vmapped-updates.

With --digest it only prints the digest of a run or a ladder: over parameters, optimizer state,
normaliser, environment states, history, evaluations, policy, receipts and verdict, but not over
times. Two runs that are equal bit for bit have equal digests, however often either was stopped
and resumed.

Exit status: 0 every promise that was tried is kept, or the digest was printed; 1 a promise is
broken, or a run failed; 2 bad input."""

FORMAT = "pathb-reproducibility-v1"
PIPE_WIDTH = 200
"""Columns of the table where the output is no terminal."""


@dataclasses.dataclass(frozen=True)
class ReproducibilityFlags:
    """What to check, or to digest."""

    tier: tuple[Tier, ...] = ("Small",)
    """Network sizes to check, one after another."""
    updates: int = 10
    """Updates of every run that is compared bit for bit; at least 4."""
    vmapped_updates: tuple[int, ...] = (1, 10, 100)
    """After how many updates to compare a run alone with the same run as one of several vmapped."""
    vmapped_runs: int = 4
    """How many runs are vmapped together."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the table, or the digests, to this file too; - is standard output."""
    keep: Annotated[Path | None, DefaultHint("a temporary folder")] = None
    """Leave the runs in this new folder instead of deleting them."""
    digest: Annotated[Path | None, DefaultHint("none: check")] = None
    """Check nothing; print the digest of this run's or ladder's folder."""
    parts: bool = False
    """With --digest: print the digest of each part too."""


def main(arguments: Sequence[str] | None = None, **smaller: Any) -> int:
    """Run the command.

    Args:
        arguments: default to the process's.
        smaller: fields of `Setting` that have no flag; tests make runs smaller by them.
    """
    return command.run(lambda: _main(arguments, smaller))


def _main(arguments: Sequence[str] | None, smaller: dict[str, Any]) -> int:
    flags = command.parse(ReproducibilityFlags, arguments, DESCRIPTION)
    _refuse_bad_input(flags)
    if flags.digest is not None:
        return _digest(flags, flags.digest)
    with signals.stopping_at_once():
        if flags.keep is not None:
            return _check(flags, flags.keep, smaller)
        with tempfile.TemporaryDirectory(prefix="pathb-reproducibility-") as folder:
            return _check(flags, Path(folder), smaller)


def _refuse_bad_input(flags: ReproducibilityFlags) -> None:
    if flags.parts and flags.digest is None:
        raise InputError("--parts", True, "it says how to print --digest")
    if not flags.tier or len(set(flags.tier)) < len(flags.tier):
        raise InputError("--tier", flags.tier, "give each tier once, and at least one")
    if flags.updates < 4:
        allowed = "give at least 4, or a run cannot be stopped and evaluated at other times"
        raise InputError("--updates", flags.updates, allowed)
    counts = flags.vmapped_updates
    if not counts or not all(1 <= count <= 1024 for count in counts):
        raise InputError("--vmapped-updates", counts, "give at least one number, each 1..1024")
    if flags.vmapped_runs < 2:
        raise InputError("--vmapped-runs", flags.vmapped_runs, "one run is not vmapped; give 2..")
    check_writable("--keep", flags.keep)
    if flags.keep is not None and flags.keep.exists() and any(flags.keep.iterdir()):
        raise InputError("--keep", str(flags.keep), "it has files already; give a new folder")
    check_json(flags.json, is_own_json(format=FORMAT), "table", flags.digest)


def _digest(flags: ReproducibilityFlags, folder: Path) -> int:
    from pathb_jax.errors import CheckpointError
    from pathb_jax.studies.digest import digest
    from pathb_jax.system import backend

    backend.select_backend("auto")
    try:
        found = digest(folder)
    except CheckpointError as error:
        raise InputError("--digest", str(folder), str(error)) from None
    with json_result(flags.json) as write:
        if flags.parts:
            for part, value in found.items():
                if part != "all":
                    say(f"{value}  {part}")
        say(f"{found['all']}  {folder}")
        write({"format": FORMAT, "folder": str(folder), "digests": found})
    return OK


def _check(flags: ReproducibilityFlags, folder: Path, smaller: dict[str, Any]) -> int:
    settings = [
        Setting(
            folder=folder / tier,
            tier=tier,
            updates=flags.updates,
            vmapped_updates=tuple(sorted(set(flags.vmapped_updates))),
            vmapped_runs=flags.vmapped_runs,
            backend=flags.backend,
            **smaller,
        )
        for tier in flags.tier
    ]
    started = time.monotonic()

    def tell(setting: Setting, what: str) -> None:
        notice(f"{time.monotonic() - started:4.0f} s  {setting.tier}: {what}")

    try:
        for setting in settings:
            tell(setting, "reference runs, in processes of their own")
            train_references(setting)
    except CommandFailed as error:
        notice(f"error: {error}")
        return FAILURE

    # Only now does this process take its devices.
    from pathb_jax.system import backend

    backend.select_backend(flags.backend, host_devices=max(settings[0].devices))
    from pathb_jax.studies.reproducibility_checks import check

    findings = {
        setting.tier: list(check(setting, lambda what, s=setting: tell(s, what)))  # type: ignore[misc]
        for setting in settings
    }
    rows = [(tier, finding) for tier, found in findings.items() for finding in found]
    with json_result(flags.json) as write:
        for setting in settings:
            _print_table(setting, findings[setting.tier])
        _print_counts([finding.verdict for _, finding in rows])
        tabled = [{"tier": tier, **finding._asdict()} for tier, finding in rows]
        write({"format": FORMAT, "findings": tabled, **provenance.environment()})
    broken = [(tier, finding) for tier, finding in rows if finding.verdict == "broken"]
    for tier, finding in broken:
        notice(f"error: broken: {tier}, {finding.check}: {finding.found}")
    return FAILURE if broken else OK


def _print_table(setting: Setting, findings: Sequence[Finding]) -> None:
    size = TIERS[setting.tier]
    table = Table(
        "check",
        "what is compared",
        "promise",
        "found",
        "verdict",
        title=f"{setting.tier} ({size.depth} x {size.width}), {setting.updates} updates",
    )
    for finding in findings:
        verdict = f"{finding.verdict}: {finding.reason}" if finding.reason else finding.verdict
        table.add_row(finding.check, finding.compared, finding.promise, finding.found, verdict)
    console = Terminal()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def _print_counts(verdicts: Sequence[Verdict]) -> None:
    counted: tuple[Verdict, ...] = ("kept", "broken", "not tried")
    say("promises: " + ", ".join(f"{verdicts.count(v)} {v}" for v in counted))
