"""Progress of runs on the terminal."""

import statistics
import sys
from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from pathb_jax.display.terminal import Terminal, duration, notice
from pathb_jax.runs.observer import Observer, Progress

WIDE = 140
"""Columns of a terminal from which on a run's line shows its figures too."""
NAME_WIDTH = 30
PLANNED, STARTING = "", "\0"
"""No run's slugs: the line of all planned runs, and the one before any run has told anything."""


class ProgressBar(Observer):
    """Shows one line per run on standard error, and one for all of them if they are known.

    On a terminal the lines are live, and fit into 80 columns; the first says that a run starts, as
    compiling takes long. Elsewhere (a log file) one plain line is printed per chunk; with `quiet`
    only notices are.

    Args:
        quiet: show notices alone.
        names: slug -> what a run's line calls it, if not by its slug.
        planned: slug -> updates, of runs that are shown together in a line of their own.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        names: Mapping[str, str] | None = None,
        planned: Mapping[str, int] | None = None,
    ) -> None:
        console = Terminal(sys.stderr, soft_wrap=False)  # live lines must not wrap
        self._quiet = quiet
        self._live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._names = names or {}
        self._planned = planned or {}
        self._seen: dict[str, Progress] = {}
        columns = [
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH),
            ),
            BarColumn(bar_width=10),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=True)),
        ]
        self._bars = Bars(*columns, console=console, disable=not self._live)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressBar":
        self._bars.start()
        if self._live:
            self._show(STARTING, "starting", 0, None, "compiling takes some seconds")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove(STARTING)
        self._bars.stop()

    def progress(self, progress: Progress) -> None:
        """Show where the run stands."""
        if self._quiet:
            return
        success = "-" if progress.success_rate is None else f"{progress.success_rate:.3f}"
        over = progress.update == progress.updates
        left = "trained" if over else f"{duration(progress.seconds_left)} left"
        figures = _figures(progress)
        if not self._live:
            line = f"{progress.slug} update {progress.update}/{progress.updates}"
            notice(f"{line}  {left}  success {success}  {figures}")
            return
        shown = f"success {success}  {left}"
        if self._bars.console.width >= WIDE:
            shown = f"{shown}  {figures}"
        name = self._names.get(progress.slug, progress.slug)
        self._show(progress.slug, name, progress.update, progress.updates, shown)
        if len(self._planned) > 1:
            self._show_planned(progress)

    def notice(self, message: str) -> None:
        """Print one line above the live ones."""
        self._bars.console.print(message)

    def _show(self, key: str, name: str, done: int, total: int | None, figures: str) -> None:
        if key not in self._tasks:
            over = {task.id for task in self._bars.tasks if task.finished}
            ended = [key for key, task in self._tasks.items() if task in over]
            self._remove(STARTING, PLANNED, *ended)  # that of all comes back last
            self._tasks[key] = self._bars.add_task(name, total=total, figures="")
        self._bars.update(self._tasks[key], completed=done, figures=figures)

    def _remove(self, *keys: str) -> None:
        """Remove those of some lines that are there."""
        for key in keys:
            if (task := self._tasks.pop(key, None)) is not None:
                self._bars.remove_task(task)

    def _show_planned(self, progress: Progress) -> None:
        """Show how far the planned runs are, until one trains that is none of them."""
        if progress.slug not in self._planned:
            self._planned = {}
            return
        self._seen[progress.slug] = progress
        at_work = [run for run in self._seen.values() if run.update < run.updates]
        done = sum(run.update for run in self._seen.values())
        total = sum(self._planned.values())
        shown = ""
        if at_work:
            paces = [run.seconds_left / (run.updates - run.update) for run in at_work]
            seconds = (total - done) * statistics.median(paces) / len(at_work)
            shown = f"{duration(seconds)} left at most"
        self._show(PLANNED, f"all {len(self._planned)} runs", done, total, shown)


def _figures(progress: Progress) -> str:
    row = progress.row
    return (
        f"{progress.env_steps_per_second:,.0f} steps/s  entropy {row['entropy']:.3f}"
        f"  log_std {row['log_std']:.3f}  value_loss {row['value_loss']:.1f}"
    )
