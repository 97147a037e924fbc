"""`timeline`: what moves first when runs unwind."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich import box
from rich.table import Column, Table

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import Terminal, say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.studies.jumps import Around, Jump
    from pathb_jax.studies.timeline import Timeline

DESCRIPTION = """Say which figure of training turns first when runs unwind: value_loss, the gradient
norms of critic and actor, entropy, log_std, reward or success.

Give finished runs that differ in their training seeds. A run unwinds if its reward falls after its
peak. Around that peak each figure's turn for the worse is the join of two straight lines fitted to
it. Printed are the updates by which each turns before the reward (median over runs, 95 % bootstrap
interval), the sign test of that with Holm's correction, and whether critic, policy or behaviour
goes first, at 5 % over all of them; else it cannot be told, as with fewer than 7 runs it never can.
Then of each run the update that moved its policy furthest (approx_kl), and value_loss and success
around it: a fall that begins within one update is no turn.

Exit status: 0 done, whatever goes first; 2 bad input, such as a run that is not over."""

FORMAT = "pathb-timeline-v1"


@dataclasses.dataclass(frozen=True)
class TimelineFlags:
    """Which runs to look at."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    """Folders of one finished run each (with manifests/)."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(TimelineFlags, arguments, DESCRIPTION)
    if not flags.runs:
        raise InputError("RUN...", "(missing)", "give the folder of at least one run")
    for folder in flags.runs:
        check_json(flags.json, is_own_json(format=FORMAT), "timeline", folder)

    from pathb_jax.studies.jumps import largest_jump
    from pathb_jax.studies.timeline import timeline

    histories = _histories(flags.runs)
    result = timeline(histories)
    jumps = [largest_jump(history) for history in histories]
    with json_result(flags.json) as write:
        _print(result)
        _print_jumps([folder.resolve().name for folder in flags.runs], jumps)
        runs = [
            {"folder": str(folder), "turns": turns, "largest_jump": jump}
            for folder, turns, jump in zip(flags.runs, result.runs, jumps, strict=True)
        ]
        write({"format": FORMAT, **result._asdict(), "runs": runs})
    return OK


def _histories(folders: Sequence[Path]) -> list[Mapping[str, np.ndarray]]:
    from pathb_jax.judging.runs import judge_run
    from pathb_jax.ladder.protocol import load_protocol

    # Any protocol will do: what is wanted of it is a run's files, checked.
    protocol = load_protocol("path_b")
    judged = [judge_run(folder, protocol) for folder in folders]
    slugs = [(run.folder.resolve(), run.slug) for run in judged]
    if len(set(slugs)) != len(slugs):
        raise InputError("RUN...", list(map(str, folders)), "give each run once")
    return [run.history for run in judged]


def _print(result: "Timeline") -> None:
    say(f"{result.unwound} of {len(result.runs)} runs unwind: their reward falls after its peak")
    headings = ("figure", "runs", "before", "after", "median lead", "95 % interval", "p")
    table = Table(*headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for lead in result.leads:
        low, high = lead.interval or (None, None)
        table.add_row(
            lead.name,
            f"{lead.runs}",
            f"{lead.before}",
            f"{lead.after}",
            "-" if lead.median is None else f"{lead.median:+.0f}",
            "-" if low is None else f"[{low:+.0f}, {high:+.0f}]",
            f"{lead.p_value:.3f}",
        )
    Terminal().print(table)
    say("lead: updates by which a figure turns before the reward")
    for first in result.firsts:
        say(f"{first.part} before the other parts, by {first.figure}: p = {first.p_value:.3f}")
    verdict = "cannot be told" if result.goes_first is None else f"the {result.goes_first}"
    say(f"what goes first: {verdict}")


def _print_jumps(names: Sequence[str], jumps: "Sequence[Jump]") -> None:
    say("the update that moved each policy furthest; value_loss and success before, at, after it:")
    headings = ("update", "approx_kl", "x median", "value_loss", "success")
    run = Column("run", overflow="fold")
    table = Table(run, *headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, jump in zip(names, jumps, strict=True):
        table.add_row(
            name,
            f"{jump.update}",
            f"{jump.approx_kl:.3f}",
            f"{jump.times_median:.0f}",
            _around(jump.value_loss, "{:.0f}"),
            "-" if jump.episode_success is None else _around(jump.episode_success, "{:.2f}"),
        )
    Terminal().print(table)


def _around(figure: "Around", shown: str) -> str:
    return " ".join("-" if np.isnan(value) else shown.format(value) for value in figure)
