"""`fork`: go on from a kept state of a run with one change each, many times."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pathb_jax.cli import command
from pathb_jax.cli.devices import MOST_RUNS_PER_DEVICE, check_parallel_runs, computing
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_page, check_writable
from pathb_jax.config import SEED_LIMIT, Backend, DefaultHint, OutputConfig, ParallelRuns
from pathb_jax.display.terminal import notice, say
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.ladder.protocol import Protocol
    from pathb_jax.studies.fork_plans import Change, ForkStudy
    from pathb_jax.studies.forks import Forks

DESCRIPTION = """Go on from an exact state of a run, many times for each change: what a change does,
told apart from what noise does.

The state is one that RUN has after update --at: --keep-every of train keeps such. Every fork goes
on from all of it (parameters, optimizer, normaliser, environments in mid-episode) to the end that
RUN planned, with noise of its own; the same noises are drawn for every change, and for no change,
which is always there beside them. Prints how often each ends above the floor of a protocol's first
stage, with exact intervals and McNemar's test against no change, and writes that into FORKS.md in
--out too. Every fork is a run's folder below --out, whose manifest says where it comes from.
Started again with the same flags it goes on where it stopped; more changes may be asked for later.

Exit status: 0 done; 2 bad input; 1 failure; 130 or 143 stopped by a signal."""

FORMAT = "pathb-forks-v1"
MOST_SEEDS = 10_000


@dataclasses.dataclass(frozen=True)
class ForkFlags:
    """What to fork, and what to change."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run to fork; it may still be at work."""
    at: int
    """Update of RUN after whose state the forks go on, by its index."""
    change: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], DefaultHint("none")] = ()
    """A change, name=number of a hyper-parameter (off switches critic_lr or value_clip off); commas
    join several into one change. Give the flag once per change."""
    seeds: int = 16
    """Forks of each change: seeds of their noise, those that follow RUN's own."""
    updates: Annotated[int | None, DefaultHint("to RUN's planned end")] = None
    """Updates that each fork trains."""
    protocol: str = "path_b"
    """The protocol whose first stage says the floor: shipped with the package, or a TOML file."""
    eval_seeds: Annotated[int | None, DefaultHint("RUN's")] = None
    """Seeds of each evaluation set."""
    parallel_runs: ParallelRuns = "auto"
    """Runs side by side, each on a device of its own; a CPU is divided for them. auto: as many as
    there are devices; on a CPU its cores at Small, 1 otherwise. Changes no bit of any run."""
    runs_per_device: int = 1
    """Runs that share a device as one vmapped program: for an accelerator that one run does not
    fill. Changes low-order bits, so that a fork without a change is RUN only to rounding."""
    out: Annotated[Path | None, DefaultHint("beside RUN, its name with _fork_<at>")] = None
    """Folder for the forks' folders and the page."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures to this file too; - is standard output."""
    accept_environment_change: bool = False
    """Take up forks although program, versions or device differ from theirs; this is recorded."""
    progress: bool = True
    """Show progress of the runs."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(ForkFlags, arguments, DESCRIPTION)

    from pathb_jax.ladder.protocol import load_protocol
    from pathb_jax.report.forks_page import HEADING, PAGE, write_forks_page
    from pathb_jax.report.remarks import is_own_page
    from pathb_jax.runs.manifest import read_manifest
    from pathb_jax.store.run_files import files_of_run
    from pathb_jax.studies.fork_plans import parse_change

    _check_numbers(flags)
    changes = [parse_change(text) for text in flags.change]
    protocol = load_protocol(flags.protocol)
    manifest = read_manifest(files_of_run(flags.run, "RUN"))
    tier = manifest.config.train["tier"]
    check_parallel_runs(flags.parallel_runs, tier)
    run = flags.run.absolute()
    out = flags.out or run.with_name(f"{run.name}_fork_{flags.at}")
    check_writable("--out", out)
    check_page("--out", out / PAGE, is_own_page(HEADING), [])
    for folder in (flags.run, out):
        check_json(flags.json, is_own_json(format=FORMAT), "result", folder)

    # Importing JAX takes seconds; wrong flags are reported before.
    with (
        computing(
            flags.backend,
            tier,
            flags.parallel_runs,
            None,
            accept_environment_change=flags.accept_environment_change,
        ),
        json_result(flags.json) as write,
    ):
        study = _study(flags, protocol, run, out)
        result = _train(flags, study, changes)
        _print(result)
        words = sys.argv[1:] if arguments is None else arguments
        write_forks_page(out / PAGE, result, shlex.join(["pathb", "fork", *words]))
        notice(f"page:   {out / PAGE}")
        write({"format": FORMAT, "protocol_sha256": protocol.sha256, **result._asdict()})
    return OK


def _check_numbers(flags: ForkFlags) -> None:
    counts = {"--seeds": (flags.seeds, MOST_SEEDS), "--at": (flags.at, SEED_LIMIT)}
    counts["--runs-per-device"] = flags.runs_per_device, MOST_RUNS_PER_DEVICE
    for flag, given in (("--updates", flags.updates), ("--eval-seeds", flags.eval_seeds)):
        if given is not None:
            counts[flag] = given, 10**9
    for flag, (count, most) in counts.items():
        if not 1 <= count <= most:
            raise InputError(flag, count, f"give a whole number from 1 to {most}")


def _study(flags: ForkFlags, protocol: "Protocol", run: Path, out: Path) -> "ForkStudy":
    """Read the state that is forked, and say what all forks share."""
    from pathb_jax.runs.forking import updates_left
    from pathb_jax.runs.loading import load_state, saved_config
    from pathb_jax.studies.fork_plans import Floor, ForkStudy, noise_seeds

    loaded = load_state(run, flags.at, None, "--at")
    base = saved_config(loaded.path, "--at")
    left = updates_left(loaded)
    if flags.updates is None and left < 1:
        allowed = f"{flags.run} ends there as planned: give an earlier one, or --updates"
        raise InputError("--at", flags.at, allowed)
    floor = Floor(f"{protocol.name}", protocol.seed_sets, protocol.stages.success_floor.threshold)
    return ForkStudy(
        run=run,
        at=flags.at,
        base=base,
        updates=left if flags.updates is None else flags.updates,
        seeds=noise_seeds(base.schedule.seed, flags.seeds),
        eval_seeds=flags.eval_seeds or loaded.meta.config.evaluation.eval_seeds,
        floor=floor,
        out=out,
    )


def _train(flags: ForkFlags, study: "ForkStudy", changes: "Sequence[Change]") -> "Forks":
    from pathb_jax.display.progress import ProgressBar
    from pathb_jax.studies.forks import train_forks

    output = OutputConfig(
        backend=flags.backend, accept_environment_change=flags.accept_environment_change
    )
    with ProgressBar(quiet=not flags.progress) as bar:
        return train_forks(study, changes, output, bar, flags.parallel_runs, flags.runs_per_device)


def _print(result: "Forks") -> None:
    from pathb_jax.report.forks_page import METHOD, intro, statements, table

    for line in (intro(result), "", *table(result), "", *statements(result), METHOD):
        say(line)
