"""What a run reports while it trains."""

from collections.abc import Mapping
from typing import NamedTuple


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


class Observer:
    """What a run reports to; this one ignores everything."""

    def progress(self, progress: Progress) -> None:
        """Called after each chunk."""

    def notice(self, message: str) -> None:
        """Called with one line worth knowing, such as where a run resumes."""
