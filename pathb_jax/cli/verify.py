"""`verify`: recompute a ladder's record from its runs' raw files, and replay its policies."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import FAILURE, OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.verification.findings import Verification

DESCRIPTION = """Recompute a ladder's record, or a run's summaries, from the raw files beside it.

Every receipt, rate, interval, failure mode, grade, count of training seeds, status and verdict is
computed again from histories and evaluation rows, by code apart from the ladder's. Histories,
in-run evaluations and policy files are compared with the last checkpoint, rows with each other by
the task's geometry, and every policy is played again in a float64 world apart from the trainer's.
Protocol hash, settings, program digests and dates are compared. What older records do not hold is
called "not recorded".

Not told by the files, and so not checked: the command, host names beyond the manifests' own, and
training itself, which only a repetition can check.

Exit status: 0 everything holds; 1 something does not, a line each; 2 bad input, such as a record
that is broken or contradicts itself."""

FORMAT = "pathb-verification-v1"


@dataclasses.dataclass(frozen=True)
class VerifyFlags:
    """What to verify."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """A ladder's folder (with ladder.json) or a run's (with manifests/)."""
    replay: bool = True
    """Play every policy again, which takes a second per run at Small, and a few at Large."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write what was found to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(VerifyFlags, arguments, DESCRIPTION)
    if not flags.folder.is_dir():
        raise InputError("DIR", str(flags.folder), "there is no such folder")
    check_json(flags.json, is_own_json(format=FORMAT), "verification", flags.folder)

    import jax  # takes a second; wrong flags are reported before

    jax.config.update("jax_platforms", "cpu")  # nothing here needs an accelerator
    from pathb_jax.verification.verify import verify

    with json_result(flags.json) as write:
        found = verify(flags.folder, flags.replay)
        _print(found)
        write({"format": FORMAT, "folder": str(flags.folder), **found._asdict()})
    return OK if found.holds else FAILURE


def _print(found: "Verification") -> None:
    for problem in found.problems:
        say(f"does not hold: {problem}")
    say(found.summary)
    say("everything holds" if found.holds else f"{len(found.problems)} things do not hold")
