"""Flags of `ladder`, and what they may say. Holds no JAX."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pathb_jax.cli.devices import MOST_RUNS_PER_DEVICE, check_parallel_runs, check_ray
from pathb_jax.cli.json_result import check_json
from pathb_jax.cli.output_files import check_distinct, check_output, check_page, check_writable
from pathb_jax.config import SEED_LIMIT, Backend, DefaultHint, MatmulPrecision, ParallelRuns, Tier
from pathb_jax.errors import InputError
from pathb_jax.report import page_files
from pathb_jax.report.note_files import FIGURES, NOTE_NAME, is_own_note
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.ladder.schema import PlannedRun

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
    """PPO updates per run (with path_b 8 192 environment steps each)."""
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


def check_runs(flags: LadderFlags, planned: "PlannedRun") -> None:
    """Refuse what cannot be run, and flags that do not go with each other."""
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


def check_files(flags: LadderFlags, out: Path) -> None:
    """Refuse files that cannot be written, or that something else would be lost to."""
    check_writable("--out", out)
    _check_notes(flags, out)
    check_json(flags.json, is_own_json(format=FORMAT), "result", out)
    check_distinct({"--note": flags.note, "--json": flags.json})


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


def _check_notes(flags: LadderFlags, out: Path) -> None:
    """Refuse to replace what is no note of this command."""
    if flags.note is not None:
        check_page("--note", flags.note, is_own_note, [*FIGURES.values()])
    if not flags.fresh:  # which moves what is there
        check_page("--out", out / NOTE_NAME, is_own_note, [*FIGURES.values()])
        if page_files.can_draw():
            check_output("--out", out / page_files.PAGE_NAME, page_files.is_own_page, "page")
