"""`check_reproducibility`: digests of what a run or a ladder must reproduce."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pathb_jax.cli import command
from pathb_jax.errors import InputError

DESCRIPTION = """Print the digest of a run or a ladder: over parameters, optimizer state,
normaliser, environment states, history, evaluations, policy, receipts and verdict, but not over
times.

Two runs that are equal bit for bit have equal digests, however often either was stopped and
resumed.

Exit status: 0 done; 2 bad input."""


@dataclasses.dataclass(frozen=True)
class ReproducibilityFlags:
    """What to look at."""

    digest: Path
    """A run's folder, or a ladder's."""
    parts: bool = False
    """Print the digest of each part too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(ReproducibilityFlags, arguments, DESCRIPTION)
    from pathb_jax.store.digest import digest
    from pathb_jax.store.integrity import CheckpointError

    try:
        found = digest(flags.digest)
    except CheckpointError as error:
        raise InputError("--digest", str(flags.digest), str(error)) from None
    if flags.parts:
        for part, value in found.items():
            if part != "all":
                print(f"{value}  {part}")
    print(f"{found['all']}  {flags.digest}")
    return 0
