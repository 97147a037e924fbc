"""Progress of a run on the terminal."""

import sys
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pathb_jax.display.terminal import Terminal, duration, notice
from pathb_jax.runs.observer import Observer, Progress


class ProgressBar(Observer):
    """Shows one line per run on standard error.

    On a terminal the line is live; elsewhere (a log file) one plain line is printed per chunk;
    with `quiet` only notices are.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        console = Terminal(sys.stderr, soft_wrap=False)  # live lines must not wrap
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressBar":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def progress(self, progress: Progress) -> None:
        """Show where the run stands."""
        if self._quiet:
            return
        row = progress.row
        success = "-" if progress.success_rate is None else f"{progress.success_rate:.3f}"
        figures = (
            f"{progress.env_steps_per_second:,.0f} steps/s  {duration(progress.seconds_left)} left"
            f"  entropy {row['entropy']:.3f}  log_std {row['log_std']:.3f}"
            f"  value_loss {row['value_loss']:.1f}  success {success}"
        )
        if not self._live:
            line = f"{progress.slug} update {progress.update}/{progress.updates}  {figures}"
            notice(line)
            return
        if progress.slug not in self._tasks:
            self._tasks[progress.slug] = self._bars.add_task(
                progress.slug, total=progress.updates, figures=""
            )
        self._bars.update(self._tasks[progress.slug], completed=progress.update, figures=figures)

    def notice(self, message: str) -> None:
        """Print one line above the live ones."""
        self._bars.console.print(message)
