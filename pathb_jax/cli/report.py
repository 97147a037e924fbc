"""`report`: a ladder's note and page, written anew from its files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.output_files import check_output, check_page
from pathb_jax.display.terminal import say
from pathb_jax.errors import InputError
from pathb_jax.report import page_files
from pathb_jax.report.note_files import FIGURES, NOTE_NAME, is_own_note

DESCRIPTION = """Write a ladder's result note and its page anew, from its record and run folders.

The page, report.html, is one file that needs no network: the verdict with every receipt, curves
and the ends of episodes to look through, a table of all runs. Nothing is trained or played, and no
other file is touched. It may be done while the ladder runs.

Exit status: 0 written; 2 bad input, such as a record that contradicts itself."""


@dataclasses.dataclass(frozen=True)
class ReportFlags:
    """Which ladder."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """A ladder's folder (with ladder.json)."""
    page: bool = True
    """Write the page too, which needs the extra `page`; else the note alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(ReportFlags, arguments, DESCRIPTION)
    folder = flags.folder
    if not folder.is_dir():
        raise InputError("DIR", str(folder), "there is no such folder")
    if flags.page and not page_files.can_draw():
        allowed = f"{page_files.MISSING}, or give --no-page for the note alone"
        raise InputError("--page", True, allowed)
    check_page("DIR", folder / NOTE_NAME, is_own_note, [*FIGURES.values()])
    if flags.page:
        check_output("DIR", folder / page_files.PAGE_NAME, page_files.is_own_page, "page")

    import jax  # takes seconds; bad input is reported before

    jax.config.update("jax_platforms", "cpu")  # a ladder beside it keeps its accelerator
    from pathb_jax.report.note import write_note
    from pathb_jax.report.page import write_page
    from pathb_jax.store.record_schema import RECORD

    say(f"note: {write_note(folder / RECORD)}")
    if flags.page:
        say(f"page: {write_page(folder / RECORD)}")
    return OK
