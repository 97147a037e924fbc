"""`status`: how far a ladder or any runs are, beside whoever trains them."""

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich import box
from rich.console import Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import Terminal, duration, notice
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.studies.standing import RunStanding, Standing

DESCRIPTION = """Show how far a ladder or any runs are: updates, time left, the last figures, and
what the stages have said so far.

It reads files only: beside a ladder that trains it changes and locks nothing. Time left is at the
speed of the last updates, and of a ladder as long as it takes if every candidate has to be trained.
"stopped" is a run that nobody on this machine goes on with; the command that began it does.

Exit status: 0 it was shown; 2 bad input, such as a folder without runs."""

FORMAT = "pathb-status-v1"
RESULTS = Path("results")
WIDE = 100
"""Columns of a terminal from which on the last figures of training are shown too."""


OTHERS = 62
"""What the columns beside a run's name take at most on a narrow one."""


@dataclasses.dataclass(frozen=True)
class StatusFlags:
    """What to look at, and how often."""

    folder: Annotated[
        tyro.conf.Positional[Path | None],
        tyro.conf.arg(metavar="DIR"),
        DefaultHint("the ladder below results/ that changed last"),
    ] = None
    """A ladder's folder, a folder of runs, or a run's."""
    follow: bool = False
    """Show it anew until nobody trains there any more; Ctrl-C ends looking, not training."""
    every: float = 5.0
    """Seconds between two looks, with --follow."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(StatusFlags, arguments, DESCRIPTION)
    if not flags.every >= 0.1:
        raise InputError("--every", flags.every, "give 0.1 s or more")
    if flags.follow and flags.json is not None:
        raise InputError("--json", str(flags.json), "it does not go with --follow")

    from pathb_jax.studies.standing import find_latest, read_standing

    folder = flags.folder or find_latest(RESULTS)
    if folder is None:
        raise InputError("DIR", "(missing)", f"there is no ladder below {RESULTS}/; give a folder")
    check_json(flags.json, is_own_json(format=FORMAT), "status", folder)
    standing = read_standing(folder)
    if flags.follow:
        with contextlib.suppress(KeyboardInterrupt):  # a look is over, nothing else
            _follow(standing, flags.every)
        return OK
    with json_result(flags.json) as write:
        console = Terminal(soft_wrap=False)
        console.print(*_shown(standing, console.width), sep="\n")
        write({"format": FORMAT, **standing._asdict(), "folder": str(folder)})
    return OK


def _follow(standing: "Standing", every: float) -> None:
    """Show how far it is until nobody is at work; where nothing can be redrawn, what changed."""
    from pathb_jax.studies.standing import read_standing

    console = Terminal(soft_wrap=False)
    live = console.is_terminal and not console.is_dumb_terminal
    with Live(console=console, auto_refresh=False) if live else contextlib.nullcontext() as view:
        shown = None
        while True:
            if view is not None:
                view.update(Group(*_shown(standing, console.width)), refresh=True)
            elif standing != shown:
                console.print(*_shown(standing, console.width), sep="\n")
            shown = standing
            if not standing.at_work:
                return
            time.sleep(every)
            try:
                standing = read_standing(standing.folder)
            except InputError as error:  # moved away by --fresh, say
                notice(f"{error}")
                return


def _shown(standing: "Standing", width: int) -> list[Any]:
    wide = width >= WIDE
    figures = ("entropy", "log_std", "value_loss") if wide else ()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("run", "seed", "state", "update", "", "left", "success", *figures, "stages"):
        right = heading in ("seed", "update", "", "left", "success", *figures)
        narrow = width - OTHERS if heading == "run" and not wide else None
        align: JustifyMethod = "right" if right else "left"
        table.add_column(heading, justify=align, no_wrap=True, max_width=narrow)
    for run in standing.runs:
        table.add_row(*_cells(run, figures))
    return [table, Text(_whole(standing), overflow="fold")]


def _cells(run: "RunStanding", figures: Sequence[str]) -> list[str]:
    share = f"{100 * run.update // run.updates} %" if run.updates else "-"
    left = "-" if not run.seconds_left else duration(run.seconds_left)
    return [
        run.name,
        "-" if run.seed is None else str(run.seed),
        run.state.replace("_", " "),
        f"{run.update}/{run.updates or '-'}",
        share,
        left,
        f"{run.success[0]}/{run.success[1]}" if run.success else "-",
        *(f"{run.figures[name]:.3f}" if name in run.figures else "-" for name in figures),
        _said(run.stages),
    ]


def _said(stages: Sequence[bool | None]) -> str:
    """Say which stage rejects a run; those after it were not judged."""
    if False in stages:
        return f"fails {stages.index(False) + 1}"
    return "passes" if stages else "-"


def _whole(standing: "Standing") -> str:
    """Say in a line how far all of it is."""
    planned = sum(run.updates or 0 for run in standing.runs if run.state != "not run")
    done = sum(run.update for run in standing.runs)
    parts = [str(standing.folder)]
    if standing.verdict is not None:
        parts.append(f"verdict: {standing.verdict} ({standing.worth})")
    if planned:
        parts.append(f"{100 * done // planned} % of {planned:,} updates")
    if standing.seconds_left:
        parts.append(f"at most {duration(standing.seconds_left)} left at this speed")
    parts.append("at work" if standing.at_work else "nobody is at work")
    return "; ".join(parts)
