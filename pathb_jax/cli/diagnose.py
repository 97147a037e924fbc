"""`diagnose`: a protocol's default hyper-parameters over a whole run, beside those published."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.devices import computing
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_distinct, check_page, check_writable
from pathb_jax.config import Backend, DefaultHint, Tier
from pathb_jax.display.terminal import Terminal, notice, say
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.store.diagnosis_record import DiagnosisRecord
    from pathb_jax.studies.battery import PolicyFigures

DESCRIPTION = """Train a protocol's default hyper-parameters, and say whether and when they unwind.

Trains the protocol's run without any candidate's change, evaluates it after updates 611, 815, 1018
and 1221 (of a shorter run: at the same shares, rounded up), where the published segments ended, and
prints the segment table, beside the published one where the tier is that one's. The best state is
chosen on stage 1's seed set and told of on the third; so is the fall from it to the end, with
intervals and a test. Nothing is judged, and no ladder is touched.

Stop and start it at will: runs that were stopped go on, runs that are over are only read.

Exit status: 0 done; 2 bad input; 1 failure; 130 or 143 stopped by a signal."""

FORMAT = "pathb-diagnosis-v1"


@dataclasses.dataclass(frozen=True)
class DiagnoseFlags:
    """What to train, and where to write."""

    protocol: str = "path_b"
    """A protocol that ships with the package, or the path of a TOML file."""
    tier: Annotated[Tier | None, DefaultHint("the protocol's")] = None
    """Network size: 2 x 64, 4 x 256 or 5 x 1024 (hidden layers x width)."""
    updates: Annotated[int | None, DefaultHint("the protocol's")] = None
    """PPO updates of the whole run."""
    segments: bool = False
    """Train four segments that each load the one before, as the published ones were trained,
    instead of one run."""
    batch: bool = False
    """Do the same with the variants of the protocol's batch."""
    out: Annotated[Path | None, DefaultHint("results/diagnosis-<tier>")] = None
    """Folder for the runs."""
    doc: Annotated[Path | None, DefaultHint("DIAGNOSIS.md in --out")] = None
    """The page, a Markdown file."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the page's figures to this file too; - is standard output."""
    progress: bool = True
    """Show progress of the runs."""
    accept_environment_change: bool = False
    """Take up runs although program, versions or device differ from theirs; this is recorded."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(DiagnoseFlags, arguments, DESCRIPTION)

    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import load_protocol, planned_run

    protocol = load_protocol(flags.protocol)
    run = planned_run(protocol, tier=flags.tier, updates=flags.updates)
    plan = LadderPlan(
        protocol,
        run,
        flags.out or Path(f"results/diagnosis-{run.tier.lower()}"),
        backend=flags.backend,
        accept_environment_change=flags.accept_environment_change,
    )
    doc = flags.doc or plan.out / "DIAGNOSIS.md"
    check_writable("--out", plan.out)

    from pathb_jax.ladder.diagnosis import sets_of
    from pathb_jax.report.diagnosis_page import HEADING, figure_name
    from pathb_jax.report.remarks import is_own_page

    sets_of(protocol)  # refused before anything is trained

    check_page("--doc", doc, is_own_page(HEADING), [figure_name(doc)])
    check_json(flags.json, is_own_json(format=FORMAT), "result", plan.out)
    check_distinct({"--doc": doc, "--json": flags.json})
    diagnoses, steered = _train(flags, plan)
    with json_result(flags.json) as write:
        _print(diagnoses, steered, plan)
        write({"format": FORMAT, **_result(flags, plan, diagnoses, steered)})

    from pathb_jax.report.diagnosis_page import write_diagnosis_page

    write_diagnosis_page(doc, diagnoses, steered, plan, in_segments=flags.segments)
    notice(f"page:  {doc}")
    return OK


def _train(
    flags: DiagnoseFlags, plan: "LadderPlan"
) -> "tuple[list[DiagnosisRecord], dict[str, PolicyFigures]]":
    """Return what each run did, and by its label what its best state steers by."""
    # Importing JAX takes seconds; wrong flags are reported before.
    with computing(
        flags.backend,
        plan.run.tier,
        plan.parallel_runs,
        None,
        accept_environment_change=flags.accept_environment_change,
    ):
        from pathb_jax.display.progress import ProgressBar
        from pathb_jax.ladder.diagnosis import diagnose, segment_ends
        from pathb_jax.studies import diagnosis

        runs = diagnosis.diagnosed_runs(plan, batch=flags.batch)
        chains = [diagnosis.segments_of(run) if flags.segments else [run] for run in runs]
        with ProgressBar(quiet=not flags.progress) as bar:
            trained = diagnosis.train_chains(chains, bar)
        labels = [plan.run.label, *(run.label for run in plan.protocol.batch)]
        ends = segment_ends(plan.run.updates)
        diagnoses = [
            diagnose(chain, label, plan.protocol, ends)
            for chain, label in zip(trained, labels, strict=False)
        ]
        return diagnoses, diagnosis.steered_by(diagnoses, plan.out)


def _result(
    flags: DiagnoseFlags,
    plan: "LadderPlan",
    diagnoses: "Sequence[DiagnosisRecord]",
    steered: "Mapping[str, PolicyFigures]",
) -> dict[str, Any]:
    from pathb_jax.report.diagnosis_page import published_segments
    from pathb_jax.store.models import to_json

    return {
        "protocol": {"name": plan.protocol.name, "sha256": plan.protocol.sha256},
        "tier": plan.run.tier,
        "updates": plan.run.updates,
        "in_segments": flags.segments,
        "published": [to_json(segment) for segment in published_segments(plan)],
        "runs": [
            {
                **to_json(item),
                "unwound": item.fall.unwound if item.fall else None,
                "battery": steered.get(item.label),
            }
            for item in diagnoses
        ],
    }


def _print(
    diagnoses: "Sequence[DiagnosisRecord]",
    steered: "Mapping[str, PolicyFigures]",
    plan: "LadderPlan",
) -> None:
    from pathb_jax.report.diagnosis_page import (
        HEADINGS,
        cells,
        published_cells,
        published_segments,
        statements,
        steering,
    )

    for index, item in enumerate(diagnoses):
        say(f"{item.label}: defaults, tier {plan.run.tier}")
        table = Table(*HEADINGS, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, segment in enumerate(item.segments, start=1):
            table.add_row(*cells(segment, number))
        for published in published_segments(plan) if index == 0 else ():
            table.add_row(*published_cells(published))
        Terminal().print(table)
        for line in (*statements(item), *steering(steered.get(item.label))):
            say(line)
