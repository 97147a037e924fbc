"""Event files of runs for TensorBoard, one folder in each run's."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.runs.observer import Observer, Observers, Progress

FOLDER = "tensorboard"
"""In a run's folder."""
_COUNTS = ("update", "env_steps")


def check_tensorboard(asked: bool) -> None:
    """Raise InputError if event files are asked for and what writes them is not installed."""
    if asked and importlib.util.find_spec("tensorboardX") is None:
        allowed = "it needs tensorboardX; install pathb-jax[tensorboard]"
        raise InputError("--tensorboard", True, allowed)


@contextlib.contextmanager
def observed(bar: Observer, asked: bool) -> Iterator[Observer]:
    """Yield the observer of a command: its progress bar, and event files if they are asked for."""
    if not asked:
        yield bar
        return
    with TensorBoard() as events:
        yield Observers([bar, events])


class TensorBoard(Observer):
    """Writes history, evaluations and hyper-parameters as they come; steps are environment steps.

    A resumed run has all of its rows written again, which TensorBoard shows once.
    """

    def __init__(self) -> None:
        import tensorboardX  # an extra

        self._library = tensorboardX
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> "TensorBoard":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is still in memory."""
        for writer in self._writers.values():
            writer.close()

    def progress(self, progress: Progress) -> None:
        """Write what is new of a run."""
        writer = self._writers.get(progress.slug)
        if writer is None:
            writer = self._begin(progress)
        rows, evaluations = progress.rows, progress.evaluations
        names = [name for name in rows if name not in _COUNTS]
        for index, step in enumerate(rows["env_steps"]):
            figures = {f"history/{name}": rows[name][index] for name in names}
            self._write(writer, int(step), figures)
        measured = [name for name in evaluations if name not in (*_COUNTS, "seed_start", "seeds")]
        for index, step in enumerate(evaluations["env_steps"]):
            seeds = f"seeds_{int(evaluations['seed_start'][index])}"
            figures = {f"{seeds}/{name}": evaluations[name][index] for name in measured}
            self._write(writer, int(step), figures)
        if progress.update == progress.updates:
            writer.close()
            del self._writers[progress.slug]

    def _begin(self, progress: Progress) -> Any:
        writer = self._library.FileWriter(str(progress.folder / FOLDER))
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in progress.settings.items()
        }
        metrics = {"history/mean_reward": 0.0}
        for summary in self._library.summary.hparams(plain, metrics):
            writer.add_summary(summary)
        self._writers[progress.slug] = writer
        return writer

    def _write(self, writer: Any, step: int, figures: Mapping[str, Any]) -> None:
        """Write figures of one step as one event; one that is missing is left out."""
        proto = self._library.proto.summary_pb2.Summary
        values = [
            proto.Value(tag=tag, simple_value=float(figure))
            for tag, figure in figures.items()
            if np.isfinite(figure)
        ]
        writer.add_summary(proto(value=values), step)
