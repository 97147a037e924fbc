"""`ladder`: run the pre-registered ladder, or print its plan."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathb_jax.cli import command
from pathb_jax.cli.devices import computing
from pathb_jax.cli.exit_codes import FAILURE, OK, REJECTED
from pathb_jax.cli.html_pages import html_line
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.ladder_flags import FORMAT, LadderFlags, check_files, check_runs
from pathb_jax.cli.ladder_output import (
    judged_line,
    names_of_runs,
    plan_result,
    planned_runs,
    print_plan,
    print_record,
    print_verification,
)
from pathb_jax.display.tensorboard import check_tensorboard, observed
from pathb_jax.display.terminal import notice, say
from pathb_jax.ladder.protocol import default_folder, load_protocol, planned_run
from pathb_jax.report import page_files
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import Protocol
    from pathb_jax.ladder.schema import PlannedRun
    from pathb_jax.runs.cluster import Cluster
    from pathb_jax.store.record_schema import LadderRecord

DESCRIPTION = """Run the pre-registered stability ladder: train hyper-parameter candidates one after
another, judge each in stages fixed in advance, adopt the first that passes, then train the
rest of the batch with it.

Writes ladder.json and a result note under --out, and each run's files in a folder of its own.
Started again with the same flags it goes on where it stopped; a finished ladder only reports.
Flags that depart from the protocol make the verdict exploratory.

At its end every figure is recomputed from the raw files and every policy replayed, as
`verify` does.

Exit status: 0 a candidate was adopted, by the stages or by judgement; 3 all were rejected (a
finding); 2 bad input; 1 failure, or something of the record does not hold."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(LadderFlags, arguments, DESCRIPTION)
    protocol = load_protocol(flags.protocol)
    planned = planned_run(protocol, tier=flags.tier, updates=flags.updates, seed=flags.seed)
    out = flags.out or default_folder(planned)
    check_runs(flags, planned)
    words = sys.argv[1:] if arguments is None else arguments
    if flags.check:
        return _check(flags, _plan(flags, protocol, planned, out, words, None))
    check_tensorboard(flags.tensorboard)
    check_files(flags, out)

    # Importing JAX takes seconds; wrong flags are reported before.
    with (
        computing(
            flags.backend,
            planned.tier,
            flags.parallel_runs,
            flags.ray,
            deterministic=flags.deterministic,
            accept_environment_change=flags.accept_environment_change,
        ) as cluster,
        json_result(flags.json) as write,
    ):
        plan = _plan(flags, protocol, planned, out, words, cluster)
        if cluster is None:
            _check_memory(plan)
        result, code = _run(plan, flags)
        write({"format": FORMAT, "folder": str(out), **result})
    return code


def _check(flags: LadderFlags, plan: "LadderPlan") -> int:
    """Tell what a plan would run; neither JAX nor the folder is looked at."""
    from pathb_jax.cli.ladder_check import check_result, print_check

    check_json(flags.json, is_own_json(format=FORMAT), "result", plan.out)
    told = check_result(plan)
    with json_result(flags.json) as write:
        print_check(plan, told)
        write({"format": FORMAT, "check": told})
    return OK


def _plan(
    flags: LadderFlags,
    protocol: "Protocol",
    planned: "PlannedRun",
    out: Path,
    words: Sequence[str],
    cluster: "Cluster | None",
) -> "LadderPlan":
    from pathb_jax.ladder.plan import LadderPlan

    return LadderPlan(
        protocol=protocol,
        run=planned,
        out=out,
        backend=flags.backend,
        skip_batch=flags.skip_batch,
        accept_environment_change=flags.accept_environment_change,
        matmul_precision=flags.matmul_precision,
        deterministic=flags.deterministic,
        train_seeds=flags.train_seeds,
        speculative=flags.speculative,
        parallel_runs=flags.parallel_runs,
        runs_per_device=flags.runs_per_device,
        cluster=cluster,
        with_baseline=flags.with_baseline,
        command=shlex.join(["python", "scripts/ladder.py", *words]),
    )


def _check_memory(plan: "LadderPlan") -> None:
    from pathb_jax.runs import side_by_side

    runs = [
        plan.candidate_run(candidate, seed)
        for candidate in plan.protocol.candidates
        for seed in plan.seeds
    ]
    side_by_side.check_memory(runs, plan.parallel_runs, plan.runs_per_device)


def _run(plan: "LadderPlan", flags: LadderFlags) -> tuple[dict[str, Any], int]:
    """Go through with a plan, or only print it; return what `--json` says of it, and the code."""
    from pathb_jax.ladder import estimate
    from pathb_jax.ladder.judgement import adopt_by_judgement
    from pathb_jax.ladder.opening import is_finished, open_record
    from pathb_jax.runs.identity import set_aside
    from pathb_jax.store.lock import refuse_if_held
    from pathb_jax.system import signals

    out = plan.out
    if flags.fresh and not flags.plan and (moved := set_aside(out)) is not None:
        notice(f"{out}: what was there is now in {moved}")
    if flags.adopt is not None and flags.because is not None:
        adopt_by_judgement(plan, flags.adopt, flags.because)
    record = open_record(plan)
    finished = is_finished(plan, record)
    if not flags.plan and not finished:
        refuse_if_held(out)  # before minutes of compiling
    if flags.plan or not finished:
        notice("measuring how fast this machine trains ...")
        with signals.ending_at_once():  # nothing is written before
            measured = estimate.measure(plan)
        print_plan(plan, record, measured)
    if flags.plan:
        return {"plan": plan_result(plan, record, measured)}, OK
    if finished:
        notice(f"{out}: this ladder has finished; nothing to train")
    return _climb(plan, flags, record)


def _page(plan: "LadderPlan") -> str:
    """Write the page; return its path, or why there is none, which fails no ladder."""

    def write() -> None:
        from pathb_jax.report.page import write_page

        write_page(plan.record_path)

    line = html_line(plan.out / page_files.PAGE_NAME, write)
    again = shlex.join(["pathb", "report", str(plan.out)])
    return line if page_files.can_draw() else f"{line}, then {again}"


def _climb(
    plan: "LadderPlan", flags: LadderFlags, record: "LadderRecord"
) -> tuple[dict[str, Any], int]:
    from pathb_jax.display.progress import ProgressBar
    from pathb_jax.ladder.ladder import run_ladder
    from pathb_jax.report.best_state import best_state
    from pathb_jax.report.note import write_note
    from pathb_jax.store.models import to_json
    from pathb_jax.store.record import read_record

    def note() -> Path:
        if flags.note is not None:
            write_note(plan.record_path, flags.note)
        return write_note(plan.record_path)

    names, planned = names_of_runs(plan), planned_runs(plan, record)
    judged = {entry.tag for entry in record.candidates if entry.stages}
    bar = ProgressBar(quiet=not flags.progress, names=names, planned=planned)
    with bar, observed(bar, flags.tensorboard) as observer:

        def tell() -> None:
            for entry in read_record(plan.record_path).candidates:
                if entry.stages and entry.tag not in judged:
                    judged.add(entry.tag)
                    bar.notice(judged_line(entry))
            note()

        record = run_ladder(plan, observer, tell)
    written = note()
    print_record(record)
    if record.verdict == "rejected" or record.baseline is not None:
        say(best_state(record, plan.protocol, str(plan.out)))
    notice(f"record: {plan.record_path}")
    notice(f"note:   {written}")
    notice(f"page:   {_page(plan)}")
    result = {"record": to_json(record)}
    if not print_verification(record):
        return result, FAILURE
    return result, REJECTED if record.chosen is None else OK
