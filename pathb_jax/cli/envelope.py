"""`envelope`: train every lambda with several training seeds, and say where training breaks."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.cli.devices import check_parallel_runs, check_ray, computing
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.html_pages import check_study_html, html_line
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_distinct, check_page, check_writable, study_files
from pathb_jax.config import (
    Backend,
    DefaultHint,
    Hparams,
    OutputConfig,
    ParallelRuns,
    Tier,
)
from pathb_jax.display.terminal import Terminal, notice
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.store.study_table import StudyTable
    from pathb_jax.studies.envelope import Envelope, Study
    from pathb_jax.studies.envelope_table import EnvelopeRun

DESCRIPTION = """Train one policy per lambda and training seed, and say where training breaks.

Lambda is the weight of the reward channel: 0 trains signature_ppo_dense, 1 reward_ppo_phase3,
anything between mixed_ppo_phase3 at that lambda. Tells success, alignment, mean steps and distance
to the false basin against lambda, from where on policies go for that basin, and whether that is a
single cliff or a trough with recovery.

Adds each finished run to the table, and at the end writes the page anew, with everything in that
table. Stop and start it at will: a run that was stopped goes on from its last checkpoint in --out,
runs in the table are never repeated. More lambdas or seeds may be asked for later; other settings
need another --out. Several processes may add to one table.

Ten lambdas with four seeds take 400 M environment steps: at Small 7 to 40 minutes on two cores.

Exit status: 0 done; 2 bad input; 1 failure; 130 or 143 stopped by a signal."""

FORMAT = "pathb-envelope-result-v1"


@dataclasses.dataclass(frozen=True)
class EnvelopeFlags:
    """What to train, and where to write."""

    tier: Tier = "Small"
    """Network size: 2 x 64, 4 x 256 or 5 x 1024 (hidden layers x width)."""
    lambdas: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)
    """Weights of the reward channel, each from 0 to 1, each once."""
    train_seeds: int = 4
    """Training seeds per lambda: 0, 1, ... From two on there are intervals."""
    updates: int = 1221
    """PPO updates per run, each 8 192 environment steps; 1221 are 10 M."""
    eval_seeds: int = 64
    """Seeds, from 10000 on, that each trained policy is evaluated on."""
    hparams: Hparams = dataclasses.field(default_factory=Hparams)
    """Hyper-parameters of every run."""
    parallel_runs: ParallelRuns = "auto"
    """Runs trained side by side, each on a device of its own; on a CPU auto is one per core at
    Small and one at a time at Medium and Large. No figure depends on it."""
    ray: Annotated[str | None, DefaultHint("this machine alone")] = None
    """Train on the machines of a Ray cluster, one run per core or accelerator: host:port of its
    head, or auto, the cluster this machine belongs to. Needs the extra `cluster`, and a folder that
    all machines share. No figure depends on it."""
    out: Path = Path("results/envelope")
    """Folder for the runs."""
    table: Annotated[Path | None, DefaultHint("envelope.csv in --out")] = None
    """The table of finished runs, a CSV file: what is missing from it is trained."""
    doc: Annotated[Path | None, DefaultHint("beside the table")] = None
    """The page, a Markdown file; its figure goes into figures/ beside it. With the extra `page`
    there is one of HTML too, of the same name."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the page's figures to this file too; - is standard output."""
    page_only: bool = False
    """Train nothing, only write the page from the table; flags of the runs say nothing."""
    accept_environment_change: bool = False
    """Take up runs although program, versions or device differ from theirs; this is recorded."""
    progress: bool = True
    """Show progress of the runs."""
    backend: Backend = "auto"
    """Where to compute. Anything but auto must be there: there is no silent fallback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    flags = command.parse(EnvelopeFlags, arguments, DESCRIPTION)
    lambdas = _checked(flags)

    from pathb_jax.report.envelope_html import envelope_study_page
    from pathb_jax.report.envelope_page import HEADING, figure_name, write_envelope_page
    from pathb_jax.report.remarks import is_own_page
    from pathb_jax.report.study_html import write_study_html
    from pathb_jax.studies.envelope import Study, envelope, finished_runs
    from pathb_jax.studies.envelope_table import envelope_table

    study = Study(flags.tier, flags.updates, flags.eval_seeds, flags.hparams)
    _check_runs(flags, study, lambdas)
    path, doc = study_files(flags.out, flags.table, flags.doc, "envelope")
    check_page("--doc", doc, is_own_page(HEADING), [figure_name(doc)])
    page = check_study_html("--doc", doc)
    check_json(flags.json, is_own_json(format=FORMAT), "result", flags.out)
    check_distinct({"--table": path, "--doc": doc, "--json": flags.json})
    table = envelope_table(path)
    if not flags.page_only:
        check_writable("--table", path.parent)
        _train(flags, study, lambdas, table, finished_runs(table, study))
    done = table.read()  # with the runs of other processes
    if not done:
        raise InputError("--page-only", True, f"{path} holds no run yet")
    result = envelope(done)
    with json_result(flags.json) as write:
        _print(result)
        write({"format": FORMAT, **_result(result)})
    write_envelope_page(doc, result, path)
    notice(f"table: {path}")
    notice(f"page:  {doc}")

    def write_page() -> None:
        write_study_html(page, envelope_study_page(result, done), [doc, path])

    notice(f"HTML:  {html_line(page, write_page)}")
    return OK


def _checked(flags: EnvelopeFlags) -> list[float]:
    """Refuse wrong flags; return the lambdas in increasing order."""
    lambdas = [value + 0.0 for value in flags.lambdas]  # no negative zero
    if not lambdas or not all(0 <= value <= 1 for value in lambdas):
        raise InputError("--lambdas", lambdas, "give at least one, each 0 <= lambda <= 1")
    if len(set(lambdas)) != len(lambdas):
        raise InputError("--lambdas", lambdas, "give each lambda once")
    counts = {"--train-seeds": flags.train_seeds, "--updates": flags.updates}
    for flag, count in counts.items():
        if count < 1:
            raise InputError(flag, count, "give a whole number >= 1")
    check_parallel_runs(flags.parallel_runs, flags.tier)
    check_ray(flags.ray, flags.parallel_runs)
    if flags.hparams.mixed_lambda is not None:
        raise InputError("--mixed-lambda", flags.hparams.mixed_lambda, "give it in --lambdas")
    if not flags.page_only:
        check_writable("--out", flags.out)
    return sorted(lambdas)


def _output(flags: EnvelopeFlags) -> OutputConfig:
    return OutputConfig(
        out=flags.out,
        backend=flags.backend,
        accept_environment_change=flags.accept_environment_change,
    )


def _check_runs(flags: EnvelopeFlags, study: "Study", lambdas: Sequence[float]) -> None:
    """Refuse settings that no run can have before any work."""
    from pathb_jax.studies.envelope import run_config

    run_config(study, lambdas[0], flags.train_seeds - 1, _output(flags))


def _train(
    flags: EnvelopeFlags,
    study: "Study",
    lambdas: Sequence[float],
    table: "StudyTable[EnvelopeRun]",
    done: "Sequence[EnvelopeRun]",
) -> None:
    """Train what is missing from `done`; add each run to the table as it ends."""
    from pathb_jax.studies.envelope import missing_runs, train_missing

    missing = list(missing_runs(lambdas, flags.train_seeds, done))
    if not missing:
        notice(f"{table.path}: all runs are there; nothing to train")
        return
    # Importing JAX takes seconds; wrong flags are reported before.
    with computing(
        flags.backend,
        flags.tier,
        flags.parallel_runs,
        flags.ray,
        accept_environment_change=flags.accept_environment_change,
    ) as cluster:
        from pathb_jax.display.progress import ProgressBar

        with ProgressBar(quiet=not flags.progress) as bar:
            output = _output(flags)
            train_missing(table, study, missing, output, bar, flags.parallel_runs, cluster)


def _result(result: "Envelope") -> dict[str, Any]:
    from pathb_jax.report.envelope_page import statements

    names = ("settings", "training_seeds", "eval_seeds", "env_steps", "points", "breach", "shape")
    figures = {name: getattr(result, name) for name in names}
    return {**figures, "statements": list(statements(result))}


def _print(result: "Envelope") -> None:
    from pathb_jax.report.envelope_page import HEADINGS, cells, statements
    from pathb_jax.studies.envelope_statistics import LURED, RULE

    console = Terminal()
    table = Table(*HEADINGS, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for point in result.points:
        table.add_row(*cells(point))
    console.print(table)
    for line in statements(result):
        console.print(line)
    console.print(f"lured: {LURED}")
    console.print(f"rule for the shape: {RULE}")
