"""What a run reports while it trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Progress(NamedTuple):
    """What a run tells its observer after each chunk."""

    slug: str
    update: int
    """Updates done in this run, of `updates`."""
    updates: int
    env_steps_per_second: float
    seconds_left: float
    row: Mapping[str, float]
    """The last history row."""
    success_rate: float | None
    """Of the last evaluation, on the first set."""
    folder: Path
    """The run's."""
    settings: Mapping[str, Any]
    """What decides how it trains, by its flags' names."""
    rows: Mapping[str, np.ndarray]
    """History rows since it last told, `[rows]` each; of a run that was resumed first all."""
    evaluations: Mapping[str, np.ndarray]
    """In-run evaluations since then, one per seed set, `[evaluations]` each."""


class Observer:
    """What a run reports to; this one ignores everything.

    Runs that train side by side report from several threads. What an observer raises ends the run
    as a failure; what is on the disk stays valid.
    """

    def progress(self, progress: Progress) -> None:
        """Called after each chunk."""

    def notice(self, message: str) -> None:
        """Called with one line worth knowing, such as where a run resumes."""


class Observers(Observer):
    """Passes everything on to several.

    Args:
        observers: in the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def progress(self, progress: Progress) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.progress(progress)

    def notice(self, message: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.notice(message)
