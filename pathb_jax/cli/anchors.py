"""`reproduce_anchors`: train the anchor rows with many training seeds, and write the page."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pathb_jax.cli import command
from pathb_jax.cli.exit_codes import OK
from pathb_jax.cli.html_pages import check_study_html, html_line
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_distinct, check_page, check_writable, study_files
from pathb_jax.config import Backend, DefaultHint
from pathb_jax.display.terminal import notice
from pathb_jax.errors import InputError
from pathb_jax.store.own_files import is_own_json

if TYPE_CHECKING:
    from pathb_jax.studies.anchors import Comparison

DESCRIPTION = """Train rows of the anchor table with many training seeds and compare.

Trains what is missing from the table of finished runs, adds each run to it as it ends, and writes
the page anew. Stop and start it at will: a run that was stopped goes on from its last checkpoint
in --out, runs in the table are never repeated. Several processes may add to one table.

Small rows take minutes, Medium rows 5 to 15 minutes per run on two cores."""

FORMAT = "pathb-anchors-result-v1"

AnchorName = Literal[
    "small-mixed-0.90-1M",
    "small-terminal-1M",
    "small-mixed-0.90-10M",
    "medium-mixed-0.97-10M",
    "medium-phase3-10M",
    "medium-mixed-0.90-10M",
    "medium-mixed-0.95-10M",
    "medium-mixed-0.99-10M",
    "medium-terminal-10M",
    "medium-mixed-0.80-10M",
    "medium-mixed-0.70-10M",
    "medium-mixed-0.50-10M",
    "medium-signature-10M",
    "medium-dense-10M",
    "medium-terminal-10M-defaults",
    "medium-mixed-0.90-10M-defaults",
    "medium-mixed-0.97-10M-defaults",
]


@dataclasses.dataclass(frozen=True)
class AnchorFlags:
    """What to train, and where to write."""

    anchors: tuple[AnchorName, ...] = get_args(AnchorName)
    """Rows to train; the page shows all."""
    train_seeds: Annotated[int | None, DefaultHint("as many as the row has")] = None
    """Train at most this many training seeds of each row: 0, 1, ..."""
    out: Path = Path("results/anchors")
    """Folder for the runs."""
    table: Annotated[Path | None, DefaultHint("anchors.csv in --out")] = None
    """The table of finished runs, a CSV file: what is missing from it is trained."""
    doc: Annotated[Path | None, DefaultHint("beside the table")] = None
    """The page, a Markdown file; its figure goes into figures/ beside it. With the extra `page`
    there is one of HTML too, of the same name."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the page's figures to this file too; - is standard output."""
    page_only: bool = False
    """Train nothing, only write the page from the table."""
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
    flags = command.parse(AnchorFlags, arguments, DESCRIPTION)
    if not flags.anchors:
        raise InputError("--anchors", [], "give at least one row")
    if flags.train_seeds is not None and flags.train_seeds < 1:
        raise InputError("--train-seeds", flags.train_seeds, "give a whole number >= 1")
    path, doc = study_files(flags.out, flags.table, flags.doc, "anchors")
    check_json(flags.json, is_own_json(format=FORMAT), "result", flags.out)
    check_distinct({"--table": path, "--doc": doc, "--json": flags.json})
    if not flags.page_only:
        check_writable("--out", flags.out)
        check_writable("--table", path.parent)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax.system import backend

    if not flags.page_only:
        backend.select_backend(flags.backend)  # before the environment, which starts JAX
    from pathb_jax.report.anchors_html import anchors_study_page
    from pathb_jax.report.anchors_page import FIGURE, HEADING, write_anchors_page
    from pathb_jax.report.remarks import is_own_page
    from pathb_jax.report.study_html import write_study_html
    from pathb_jax.studies.anchors import ANCHORS, anchors_table, compare, train_missing

    check_page("--doc", doc, is_own_page(HEADING), [FIGURE])
    page = check_study_html("--doc", doc)
    table = anchors_table(path)
    if not flags.page_only:
        from pathb_jax.display.progress import ProgressBar

        chosen = [anchor for anchor in ANCHORS if anchor.name in flags.anchors]
        accept = flags.accept_environment_change
        with ProgressBar(quiet=not flags.progress) as bar:
            train_missing(table, chosen, flags.train_seeds, flags.out, bar, accept)
    done = table.read()  # with the runs of other processes
    comparisons = [compare(anchor, done) for anchor in ANCHORS]
    write_anchors_page(doc, comparisons, path)
    notice(f"table: {path}")
    notice(f"page:  {doc}")

    def write_page() -> None:
        write_study_html(page, anchors_study_page(comparisons), [doc, path])

    notice(f"HTML:  {html_line(page, write_page)}")
    with json_result(flags.json) as write:
        write({"format": FORMAT, "rows": [_row(comparison) for comparison in comparisons]})
    return OK


def _row(comparison: "Comparison") -> dict[str, Any]:
    anchor = comparison.anchor
    return {
        "anchor": anchor.name,
        "training_seeds": anchor.training_seeds,
        "runs": [run.model_dump() for run in comparison.runs],
        "mean_successes": comparison.mean_successes,
        "interval": comparison.interval,
        "published_run": anchor.published_run,
        "published_seeds": anchor.published_seeds,
        "p_value": comparison.p_value,
        "agrees": comparison.agrees,
    }
