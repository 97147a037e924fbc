"""What is measured of an episode beside its success, and the columns and keys that tell it."""

from collections.abc import Collection
from typing import NamedTuple

COUNTED_SETS = ("update", "env_steps", "seed_start", "seeds")
"""Columns of the in-run evaluations that count."""


class Measure(NamedTuple):
    """How far an episode got, beside whether it was a success; and the columns that tell it."""

    column: str
    """Of an evaluation's rows."""
    mean: str
    """Its mean, in summaries and in-run evaluations."""
    further: tuple[str, ...]
    """Columns of an evaluation's rows that follow it; others may follow these."""
    outcomes: tuple[str, str]
    """What a success and anything else are called."""

    @property
    def rows(self) -> tuple[str, ...]:
        """First columns of an evaluation's rows, one row per seed."""
        return ("seed", "terminalOutcome", "steps", self.column, *self.further)

    @property
    def means(self) -> tuple[str, ...]:
        """What is told of a set beside its seeds and successes."""
        return ("success_rate", self.mean, "mean_steps")

    @property
    def evaluations(self) -> tuple[str, ...]:
        """Columns of the in-run evaluations, one row per evaluation and seed set."""
        return (*COUNTED_SETS, *self.means)

    @property
    def summary(self) -> tuple[str, ...]:
        """First keys of an evaluation's summary; others may follow."""
        counted = ("checkpoint", "sensor_tier", "seed_start", "seeds", "success_count")
        return (*counted, *self.means, "env_config")


ALIGNMENT = Measure(
    "terminalAlignment",
    "mean_terminal_alignment",
    ("terminalDistance", "pathEfficiency", "saturationCount"),
    ("success", "timeout"),
)
"""Of the shadow field: the signature at an episode's last position."""
RETURN = Measure("episodeReturn", "mean_return", (), ("success", "failure"))
"""Of any other environment: the sum of an episode's rewards."""

EVALUATION_COLUMNS, SUMMARY_KEYS = ALIGNMENT.rows, ALIGNMENT.summary
EVALUATIONS_COLUMNS = ALIGNMENT.evaluations


def measure_of(env: str | None) -> Measure:
    """Return what is measured of the episodes of an environment; None is the shadow field."""
    return ALIGNMENT if env is None else RETURN


def measure_told_by(names: Collection[str]) -> Measure:
    """Return the measure of a file that has these columns or keys."""
    return RETURN if RETURN.mean in names or RETURN.column in names else ALIGNMENT
