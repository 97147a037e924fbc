"""`judge`: a protocol's stages on any finished runs, and how sure they are."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.ladder_output import MARKS, stages_cell, success_cells
from pathb_jax.config import DefaultHint
from pathb_jax.display.terminal import Terminal, say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json
from pathb_jax.text import percent

if TYPE_CHECKING:
    from pathb_jax.judging.certainty import HowSure, Shift
    from pathb_jax.judging.runs import JudgedRun
    from pathb_jax.ladder.protocol import Protocol
    from pathb_jax.ladder.stages import Stage, Stages

DESCRIPTION = """Judge finished runs by a protocol's stages, whoever trained them: by hand, for a
study, in a ladder.

Prints per run its success, what each stage says, its failure mode and how sure all that is: the
odds that fresh seeds say the opposite (beta-binomial, Jeffreys' prior), stage 2 on every window of
the run's last third, how often stage 3 fails an equal policy, whether two one-sided tests call both
rates equivalent, and success along the run. Nothing is adopted and nothing is written: runs judged
afterwards are no pre-registered test.

Exit status: 0 the runs were judged, whatever the stages say; 2 bad input, such as a run that is not
over or whose files contradict each other."""

FORMAT = "pathb-judgement-v1"


@dataclasses.dataclass(frozen=True)
class JudgeFlags:
    """What to judge, and by what."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    """Folders of one finished run each (with manifests/)."""
    protocol: str = "path_b"
    """A protocol that ships with the package, or the path of a TOML file."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(JudgeFlags, arguments, DESCRIPTION)
    if not flags.runs:
        raise InputError("RUN...", "(missing)", "give the folder of at least one run")
    for folder in flags.runs:
        check_json(flags.json, is_own_json(format=FORMAT), "judgement", folder)

    from pathb_jax.judging.certainty import how_sure
    from pathb_jax.judging.runs import judge_run
    from pathb_jax.ladder.protocol import load_protocol

    protocol = load_protocol(flags.protocol)
    judged = [judge_run(folder, protocol) for folder in flags.runs]
    certainties = [
        how_sure(protocol, run.counts, run.history, run.along, run.returns) for run in judged
    ]
    with json_result(flags.json) as write:
        _print(judged, certainties, protocol)
        write(
            {
                "format": FORMAT,
                "protocol": {"name": protocol.name, "sha256": protocol.sha256},
                "runs": [_result(*both) for both in zip(judged, certainties, strict=True)],
            }
        )
    return OK


def _result(run: "JudgedRun", sure: "HowSure") -> dict[str, Any]:
    from pathb_jax.ladder.statistics import clopper_pearson
    from pathb_jax.store.models import to_json

    return {
        "folder": str(run.folder),
        "slug": run.slug,
        "differs_from_protocol": run.differs,
        "env_steps": run.env_steps,
        "diverged": run.diverged,
        "sets": {
            start: {
                "success_count": count[0],
                "seeds": count[1],
                "success_interval_95": clopper_pearson(*count),
            }
            for start, count in run.counts.items()
        },
        "stages": [to_json(receipt) for receipt in run.receipts],
        "failure_mode": {"name": run.failure_mode.name, "figures": run.failure_mode.figures},
        "how_sure": sure,
    }


def _print(
    judged: Sequence["JudgedRun"], certainties: Sequence["HowSure"], protocol: "Protocol"
) -> None:
    start = protocol.stages.success_floor.seed_start
    table = Table("run", "success", "95 % interval", "stages", "failure mode")
    for run in judged:
        success = success_cells(run.counts.get(start))
        stages = stages_cell(run.receipts)
        table.add_row(run.folder.name, *success, stages, run.failure_mode.name)
    Terminal().print(table)
    for run, sure in zip(judged, certainties, strict=True):
        say(f"{run.folder}: {'; '.join(run.differs) or 'as the protocol has it'}")
        for receipt in run.receipts:
            if receipt.passed is False:
                say(f"  {receipt.name} fails: {'; '.join(receipt.reasons)}")
        for line in _certainty(sure, protocol.stages):
            say(f"  {line}")


def _certainty(sure: "HowSure", stages: "Stages") -> list[str]:
    def number(stage: "Stage | None") -> str:
        return f"stage {stages.index(stage) + 1}" if stage else ""

    lines = []
    if sure.floor:
        floor = number(stages.success_floor)
        lines.append(f"{floor}: a fresh set says the opposite in {percent(sure.floor.flips)}")
    for stage_number, found in sure.returns.items():
        low, high = found.interval
        lines.append(
            f"stage {stage_number}: a fresh set says the opposite in {percent(found.flips)}; mean "
            f"return [{low:.4g}, {high:.4g}] at 95 %"
        )
    if dynamics := sure.dynamics:
        earlier = ", ".join(f"{by} {MARKS[passed]}" for by, passed in dynamics.earlier.items())
        stage = number(stages.training_dynamics)
        lines += [
            f"{stage}: {dynamics.passed} of {dynamics.windows} windows of the last third pass; "
            f"ended earlier by updates: {earlier}",
            f"{stage}: log_std rises as much in {percent(dynamics.rises_as_much)} of the windows; "
            f"read as monotone the judged one would {MARKS[dynamics.monotone]}",
        ]
    for stage_number, odds in sure.equivalences.items():
        lines.append(
            f"stage {stage_number}: fresh sets of {odds.seed_start} say the opposite in "
            f"{percent(odds.flips)}; it fails an equal policy in {percent(odds.fails_equal)}"
        )
    if sure.shift:
        lines.append(f"{number(stages.seed_shift)}: {_shift(sure.shift)}")
    if sure.shadow:
        shadow = f"shadow of {number(stages.seed_shift)}, which does not vote"
        lines.append(f"{shadow}: {_shift(sure.shadow)}")
    if along := sure.along:
        lines.append(
            f"along the run: last {along.last[0]}/{along.last[1]}, best {along.best[0]}/"
            f"{along.best[1]} after update {along.best_update}; {along.late_above} of {along.late} "
            "evaluations of the last third reach the floor"
        )
    return lines


def _shift(shift: "Shift") -> str:
    low, high = shift.equivalence.interval
    needed = f"{shift.seeds_needed:,}" if shift.seeds_needed else "more than 16,384"
    return (
        f"fresh sets of {shift.seed_start} say the opposite in {percent(shift.flips)}; it fails "
        f"an equal policy in {percent(shift.fails_equal)} ({needed} seeds for 5 %); two one-sided "
        f"tests: {'equivalent' if shift.equivalence.equivalent else 'not shown equivalent'}, "
        f"difference [{low:.3f}, {high:.3f}] at 90 %"
    )
