"""`reproduce_anchors`: train the anchor rows with many training seeds, and write the page."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pathb_jax.cli import command
from pathb_jax.config import Backend, default_hint
from pathb_jax.errors import InputError

if TYPE_CHECKING:
    from pathb_jax.studies.anchors import AnchorRun

DESCRIPTION = """Train rows of the anchor table with many training seeds and compare.

Trains what is missing from DOC's data file (anchors.csv beside it), adds each finished run to it,
and writes the page anew. Stop and start it at will: a run that was stopped goes on from its last
checkpoint in --out, finished ones are never repeated.

Small rows take minutes, Medium rows 5 to 15 minutes per run on two cores."""

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
    train_seeds: Annotated[int | None, default_hint("as many as the row has")] = None
    """Train at most this many training seeds of each row: 0, 1, ..."""
    doc: Path = Path("docs/ANCHORS.md")
    """The page; its data file is anchors.csv beside it."""
    out: Path = Path("results/anchors")
    """Folder for the runs."""
    page_only: bool = False
    """Train nothing, only write the page from the data file."""
    progress: bool = True
    """Show progress of the runs."""
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
    command.check_writable("--out", flags.out)
    command.check_writable("--doc", flags.doc.parent)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax import backend

    backend.select_backend(flags.backend)
    from pathb_jax.cli.progress import ProgressBar
    from pathb_jax.studies.anchors import ANCHORS, missing_runs, train_one

    data = flags.doc.parent / "anchors.csv"
    done = _read(data)
    if not flags.page_only:
        chosen = [anchor for anchor in ANCHORS if anchor.name in flags.anchors]
        with ProgressBar(quiet=not flags.progress) as bar:
            for anchor, seed in missing_runs(chosen, done, flags.train_seeds):
                done.append(train_one(anchor, seed, flags.out, bar))
                _write(data, done)
    _write_page(flags.doc, data, done)
    print(f"page: {flags.doc}")
    return 0


def _read(data: Path) -> "list[AnchorRun]":
    from pathb_jax.store.tables import read_table
    from pathb_jax.studies.anchors import AnchorRun

    if not data.exists():
        return []
    columns = read_table(data, AnchorRun._fields)
    rows = zip(*(columns[name].tolist() for name in AnchorRun._fields), strict=True)
    return [AnchorRun(*row) for row in rows]


def _write(data: Path, done: "list[AnchorRun]") -> None:
    from pathb_jax.store.tables import write_table
    from pathb_jax.studies.anchors import AnchorRun

    write_table(data, {name: [getattr(run, name) for run in done] for name in AnchorRun._fields})


def _write_page(doc: Path, data: Path, done: "list[AnchorRun]") -> None:
    from pathb_jax.report.anchors_page import write_anchors_page
    from pathb_jax.report.remarks import kept_remarks
    from pathb_jax.studies.anchors import ANCHORS, compare

    comparisons = [compare(anchor, done) for anchor in ANCHORS]
    write_anchors_page(doc, comparisons, data.name, kept_remarks(doc))


if __name__ == "__main__":
    raise SystemExit(main())
