"""The page of a fork study: how often each change ends above the floor; words in forks.md.j2."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from pathb_jax.report.markdown import Markdown, code, escaped, rendered, table_lines
from pathb_jax.report.remarks import kept_remarks
from pathb_jax.store.atomic import write_atomically
from pathb_jax.studies.forks import ChangeResult, Forks

HEADING = "# Forks"
PAGE = "FORKS.md"
HEADINGS = (
    "change",
    "ends above the floor",
    "95 % interval",
    "only it / only none",
    "p",
    "mean success",
    "p of the mean",
)
METHOD = (
    "A fork ends above the floor if its final success rate does; one that diverged does not. "
    "Intervals are Clopper-Pearson's. Forks of all changes have the same noises, so that each is "
    "beside the fork of its noise without a change: p is of McNemar's exact test, that of the mean "
    "success rate of a sign-flip test over the pairs, both two-sided and for one change; with "
    "several, hold it to 0.05 over their number."
)


def cells(result: ChangeResult) -> list[str]:
    """Return a change's row of the table, under HEADINGS."""
    low, high = result.interval_95
    against = result.against_none
    return [
        result.name,
        f"{result.above}/{len(result.forks)}",
        f"[{low:.3f}, {high:.3f}]",
        "-" if against is None else f"{against.only_change} / {against.only_none}",
        "-" if against is None else f"{against.p_value:.4f}",
        f"{result.mean_success:.3f}",
        "-" if against is None else f"{against.mean_p_value:.4f}",
    ]


def table(forks: Forks) -> Iterator[Markdown]:
    """Yield the lines of the table of all changes."""
    return table_lines(HEADINGS, map(cells, forks.changes))


def statements(forks: Forks) -> Iterator[str]:
    """Yield what else the study says, a line each."""
    parent = {"up to the fork": forks.parent_at, "at its end": forks.parent_end}
    told = [
        f"{rate:.3f} after update {update} ({when})"
        for when, evaluation in parent.items()
        if evaluation is not None
        for update, rate in [evaluation]
    ]
    if told:
        yield f"the parent itself, with its own noise: success {', '.join(told)}"
    for result in forks.changes:
        if gone := [fork.seed for fork in result.forks if fork.diverged is not None]:
            yield f"{result.name}: diverged with noise of seeds {', '.join(map(str, gone))}"


def intro(forks: Forks) -> str:
    """Say in a sentence what was done."""
    floor, count, run = forks.floor, len(forks.changes[0].forks), Path(forks.run).name
    return (
        f"{run} gone on with from its state after update {forks.at} for {forks.updates} "
        f"updates, {count} times for each change, each time with other noise. The floor: success "
        f"of at least {floor.threshold:.2f} on {forks.eval_seeds} seeds from {floor.seed_sets[0]} "
        f"(stage 1 of {floor.protocol})."
    )


def write_forks_page(page: Path, forks: Forks, command: str) -> None:
    """Write the page, whole or not at all; people's remarks on it are kept.

    Args:
        page: the Markdown file.
        forks: what the study says.
        command: what did it.

    Raises:
        InputError: there is a page whose remarks cannot be kept.
        OSError: it cannot be written.
    """
    text = rendered(
        "forks.md.j2",
        {
            "code": code,
            "paragraph": lambda text: Markdown(textwrap.fill(escaped(text), 99)),
        },
        heading=Markdown(HEADING),
        intro=intro(forks),
        command=command,
        table=list(table(forks)),
        method=METHOD,
        statements=list(statements(forks)),
        remarks=kept_remarks(page),
    )
    write_atomically(page, text)
