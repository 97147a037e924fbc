"""`ladder`: run the pre-registered ladder, or print its plan."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pathb_jax.cli import command
from pathb_jax.cli.devices import MOST_RUNS_PER_DEVICE, check_parallel_runs, check_ray, computing
from pathb_jax.cli.exit_codes import FAILURE, OK, REJECTED
from pathb_jax.cli.html_pages import html_line
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.ladder_output import (
    judged_line,
    names_of_runs,
    plan_result,
    planned_runs,
    print_plan,
    print_record,
    print_verification,
)
from pathb_jax.cli.output_files import check_distinct, check_output, check_page, check_writable
from pathb_jax.config import SEED_LIMIT, Backend, DefaultHint, MatmulPrecision, ParallelRuns, Tier
from pathb_jax.display.tensorboard import check_tensorboard, observed
from pathb_jax.display.terminal import notice, say
from pathb_jax.errors import InputError
from pathb_jax.ladder.protocol import default_folder, load_protocol, planned_run
from pathb_jax.report import page_files
from pathb_jax.report.note_files import FIGURES, NOTE_NAME, is_own_note
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

FORMAT = "pathb-ladder-result-v1"
MOST_TRAIN_SEEDS = 1000


@dataclasses.dataclass(frozen=True)
class LadderFlags:
    """What to run, and where."""

    protocol: str = "path_b"
    """A protocol that ships with the package, or the path of a TOML file."""
    tier: Annotated[Tier | None, DefaultHint("the protocol's")] = None
    """Network size."""
    updates: Annotated[int | None, DefaultHint("the protocol's")] = None
    """PPO updates per run (8 192 environment steps each)."""
    seed: Annotated[int | None, DefaultHint("the protocol's")] = None
    """Training seed."""
    out: Annotated[Path | None, DefaultHint("results/mesa/phase7v2-<tier>-cliff-subset")] = None
    """Folder for all files."""
    note: Annotated[Path | None, DefaultHint("beside the record only")] = None
    """Write the result note here too."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the record, or with --plan the plan, to this file too; - is standard output."""
    train_seeds: int = 1
    """Training seeds per candidate, if more than vote (one, or as many as the protocol says): the
    others show how much the verdict owes to those."""
    speculative: bool = False
    """Train all candidates at once and judge them in order as if one after another. A departure
    from the protocol; it pays where several runs fit side by side."""
    parallel_runs: ParallelRuns = "auto"
    """Runs side by side, each on a device of its own; a CPU is divided for them. auto: as many as
    there are devices; on a CPU its cores at Small, 1 otherwise. Changes no bit of any run."""
    runs_per_device: int = 1
    """Runs that share a device as one vmapped program: for an accelerator that one run does not
    fill. Changes low-order bits, so it is a departure from the protocol."""
    ray: Annotated[str | None, DefaultHint("this machine alone")] = None
    """Train on the machines of a Ray cluster, one run per core or accelerator: host:port of its
    head, or auto, the cluster this machine belongs to. Needs the extra `cluster`, and a folder that
    all machines share. Changes no bit of any run."""
    adopt: Annotated[str | None, DefaultHint("none")] = None
    """After a rejection: adopt this candidate (its tag) by judgement, then train the batch with it.
    The verdict stays, and is exploratory from then on."""
    because: Annotated[str | None, DefaultHint("none")] = None
    """Why, with --adopt: a line of text for the record."""
    skip_batch: bool = False
    """Stop after the verdict; the rest of the batch can be trained later without this flag."""
    with_baseline: bool = False
    """After the verdict, and on a ladder that is over, train the protocol's default run too and
    say when it peaks, whether it unwinds and what its best state is. It does not vote."""
    plan: bool = False
    """Only print candidates, budget, departures from the protocol and a time estimate from a
    short measured probe; train nothing, write nothing."""
    check: bool = False
    """Only say whether the protocol is valid and what it would run: sets, seeds, runs and steps.
    Measure nothing, write nothing."""
    fresh: bool = False
    """Start over: move what is in --out aside (to <out>.superseded-1, -2, ...), delete nothing."""
    accept_environment_change: bool = False
    """Go on, and take up runs, although program, versions or device differ from what trained them;
    this becomes a recorded departure from the protocol."""
    tensorboard: bool = False
    """Write event files for TensorBoard into the folder of every run as it trains."""
    progress: bool = True
    """Show progress of the runs."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""
    matmul_precision: MatmulPrecision = "float32"
    """Inputs of matrix products in training; anything but float32 is a departure from the
    protocol."""
    deterministic: bool = True
    """Keep a GPU to operations that repeat bit for bit (a CPU always does)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(LadderFlags, arguments, DESCRIPTION)
    protocol = load_protocol(flags.protocol)
    planned = planned_run(protocol, tier=flags.tier, updates=flags.updates, seed=flags.seed)
    out = flags.out or default_folder(planned)
    most = min(MOST_TRAIN_SEEDS, SEED_LIMIT - planned.seed)
    if not 1 <= flags.train_seeds <= most:
        allowed = f"give a whole number from 1 to {most}"
        raise InputError("--train-seeds", flags.train_seeds, allowed)
    check_parallel_runs(flags.parallel_runs, planned.tier)
    if not 1 <= flags.runs_per_device <= MOST_RUNS_PER_DEVICE:
        allowed = f"give a whole number from 1 to {MOST_RUNS_PER_DEVICE}"
        raise InputError("--runs-per-device", flags.runs_per_device, allowed)
    _check_together(flags)
    check_ray(flags.ray, flags.parallel_runs, flags.runs_per_device)
    words = sys.argv[1:] if arguments is None else arguments
    if flags.check:
        return _check(flags, _plan(flags, protocol, planned, out, words, None))
    check_tensorboard(flags.tensorboard)
    check_writable("--out", out)
    _check_notes(flags, out)
    check_json(flags.json, is_own_json(format=FORMAT), "result", out)
    check_distinct({"--note": flags.note, "--json": flags.json})

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


def _check_together(flags: LadderFlags) -> None:
    """Refuse flags that do not go with each other."""
    if flags.adopt is None and flags.because is not None:
        raise InputError("--because", flags.because, "it needs --adopt")
    if flags.adopt is not None and flags.because is None:
        raise InputError("--adopt", flags.adopt, "it needs --because")
    apart = {
        "--adopt": flags.adopt is not None,
        "--check": flags.check,
        "--plan": flags.plan,
        "--fresh": flags.fresh,
    }
    given = [flag for flag, is_given in apart.items() if is_given]
    if len(given) > 1 and given != ["--plan", "--fresh"]:
        value = flags.adopt if given[0] == "--adopt" else True
        raise InputError(given[0], value, f"it does not go with {given[1]}")


def _check(flags: LadderFlags, plan: "LadderPlan") -> int:
    """Tell what a plan would run; neither JAX nor the folder is looked at."""
    from pathb_jax.cli.ladder_check import check_result, print_check

    check_json(flags.json, is_own_json(format=FORMAT), "result", plan.out)
    told = check_result(plan)
    with json_result(flags.json) as write:
        print_check(plan, told)
        write({"format": FORMAT, "check": told})
    return OK


def _check_notes(flags: LadderFlags, out: Path) -> None:
    """Refuse to replace what is no note of this command."""
    if flags.note is not None:
        check_page("--note", flags.note, is_own_note, [*FIGURES.values()])
    if not flags.fresh:  # which moves what is there
        check_page("--out", out / NOTE_NAME, is_own_note, [*FIGURES.values()])
        if page_files.can_draw():
            check_output("--out", out / page_files.PAGE_NAME, page_files.is_own_page, "page")


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
