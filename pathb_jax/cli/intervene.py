"""`intervene`: edit one channel in mid-episode, and see what policies steer by."""

import dataclasses
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich import box
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import FAILURE, OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_output, check_page, check_writable
from pathb_jax.config import SEED_LIMIT, Backend, DefaultHint
from pathb_jax.display.terminal import Terminal, notice, say
from pathb_jax.errors import InputError
from pathb_jax.evaluation.channels import CHANNELS, SEED_START, SEEDS
from pathb_jax.store.own_files import is_own_csv, is_own_json

if TYPE_CHECKING:
    from pathb_jax.runs.subjects import Subject
    from pathb_jax.studies.battery import PolicyFigures

DESCRIPTION = """Play the same episodes with and without an edit of one channel each, and say what
policies steer by: the field, the false basin's old place, or nothing.

Five edits from step 50 on: the reward's scale, the observed position, the samples' scale, the goal,
the false basin. Prints for every policy the response of its actions, where it ends, success and
alignment of both sides, a label, and what was published of policies like it. Writes tables, figures
and BATTERY.md, which says how to read them, into --out. Policies of one network size and sensor
tier are played in one compiled call; each further size takes a program of its own.

Exit status: 0 done, whatever the labels; 1 failure, or the harness is wrong: an edit that no policy
can see had an effect; 2 bad input."""

FORMAT = "pathb-battery-v1"


@dataclasses.dataclass(frozen=True)
class InterveneFlags:
    """Which policies to play, and where to write."""

    policy: Annotated[tuple[Path, ...], DefaultHint("none")] = ()
    """Policy files, *.policy.json."""
    run: Annotated[tuple[Path, ...], DefaultHint("none")] = ()
    """Run folders (their last checkpoints) or steps' folders."""
    references: bool = True
    """Play Oracle and HC-Signature too."""
    seeds: int = SEEDS
    """Episodes of each side: seeds from 10000 on."""
    out: Path = Path("results/battery")
    """Folder for tables, figures and page."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(InterveneFlags, arguments, DESCRIPTION)
    _check(flags)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax.system import backend

    backend.select_backend(flags.backend)  # before the environment, which starts JAX
    from pathb_jax.report.battery_page import PAGE, write_battery_page
    from pathb_jax.studies.battery import (
        check_subjects,
        figures_of,
        play_subjects,
        unseen_responses,
    )
    from pathb_jax.studies.battery_tables import write_tables

    subjects = _load(flags)
    check_subjects(list(subjects.values()), flags.seeds)
    notice(f"playing {len(subjects)} policies, 6 times {flags.seeds} episodes each")
    batteries = play_subjects(list(subjects.values()), range(SEED_START, SEED_START + flags.seeds))
    if wrong := _wrong(list(subjects), [unseen_responses(battery) for battery in batteries]):
        notice(f"error: {wrong}")
        return FAILURE
    results = [
        figures_of(subject, name, battery)
        for (name, subject), battery in zip(subjects.items(), batteries, strict=True)
    ]
    with json_result(flags.json) as write:
        _print(results)
        write(
            {
                "format": FORMAT,
                "seed_start": SEED_START,
                "seeds": flags.seeds,
                "policies": results,
            }
        )
    tables = write_tables(flags.out, results, batteries)
    words = sys.argv[1:] if arguments is None else arguments
    page = flags.out / PAGE
    write_battery_page(page, results, batteries, tables, shlex.join(["pathb", "intervene", *words]))
    notice(f"tables: {', '.join(str(table) for table in tables)}")
    notice(f"page:   {page}")
    return OK


def _check(flags: InterveneFlags) -> None:
    """Refuse flags that cannot be meant, before any work."""
    from pathb_jax.report.battery_page import FIGURES, HEADING, PAGE
    from pathb_jax.report.remarks import is_own_page
    from pathb_jax.studies.battery_tables import FIRST_COLUMNS

    if not flags.policy and not flags.run:
        raise InputError("--policy, --run", "(missing)", "give at least one policy or run")
    for flag, paths in (("--policy", flags.policy), ("--run", flags.run)):
        twice = [path for path, n in Counter(p.resolve() for p in paths).items() if n > 1]
        if twice:
            raise InputError(flag, str(twice[0]), "give each once")
    most = SEED_LIMIT - SEED_START
    if not 1 <= flags.seeds <= most:
        raise InputError("--seeds", flags.seeds, f"give a whole number from 1 to {most}")
    check_writable("--out", flags.out)
    for name, columns in FIRST_COLUMNS.items():
        check_output("--out", flags.out / name, is_own_csv(columns), "table")
    check_page("--out", flags.out / PAGE, is_own_page(HEADING), FIGURES)
    for folder in flags.run or (None,):
        check_json(flags.json, is_own_json(format=FORMAT), "result", folder)


def _load(flags: InterveneFlags) -> "dict[str, Subject]":
    """Return what is played by name: the file's or folder's own, or its path if two share one."""
    from pathb_jax.evaluation.policies import ControllerName
    from pathb_jax.runs import subjects

    given = [(path, "--policy") for path in flags.policy] + [(path, "--run") for path in flags.run]
    loaded = [
        subjects.policy_subject(path, flag)
        if flag == "--policy"
        else subjects.checkpoint_subject(path, flag)
        for path, flag in given
    ]
    controllers: tuple[ControllerName, ...] = ("oracle", "hc-signature")
    short = [path.name.removesuffix(".policy.json") for path, _ in given]
    names = [
        str(path) if short.count(name) > 1 or name in controllers else name
        for name, (path, _) in zip(short, given, strict=True)
    ]
    for controller in controllers if flags.references else ():
        loaded.append(subjects.controller_subject(controller))
        names.append(controller)
    return dict(zip(names, loaded, strict=True))


def _wrong(names: Sequence[str], unseen: Sequence[Sequence[str]]) -> str:
    """Say which edits had an effect that they cannot have; empty if none had."""
    found = [f"{name}: {', '.join(each)}" for name, each in zip(names, unseen, strict=True) if each]
    if not found:
        return ""
    return f"an edit that no policy can see changed its actions ({'; '.join(found)})"


def _print(results: "Sequence[PolicyFigures]") -> None:
    from pathb_jax.report.battery_page import LABEL_HEADINGS, label_cells, mean, statements

    labels = _table(LABEL_HEADINGS)
    responses = _table(("action response to", *CHANNELS))
    for policy in results:
        labels.add_row(*label_cells(policy, intervals=False))
        means = [mean(each.action_response, 3, intervals=False) for each in policy.channels]
        responses.add_row(policy.name, *means)
    for table in (labels, responses):
        Terminal().print(table)
    for line in statements(results):
        say(line)


def _table(headings: Sequence[str]) -> Table:
    """Return a table whose cells are shown whole: names differ in their ends."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "label")
    return table
