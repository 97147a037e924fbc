"""The table of an envelope's finished runs."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from pathb_jax.config import SEED_LIMIT
from pathb_jax.errors import InputError
from pathb_jax.store.study_table import StudyRow, StudyTable, Text
from pathb_jax.studies.provenance import PROVENANCE

FARTHEST = 10.7
"""No two points that matter here lie farther apart: the arena's corner from the false basin."""


class EnvelopeRun(StudyRow):
    """One finished run, a row of the study's table; a diverged run has no figures."""

    settings: Text
    """What all runs of a table share, as `settings` writes it."""
    mixed_lambda: Annotated[float, Field(ge=0, le=1)]
    training_seed: Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
    diverged: Annotated[int, Field(ge=0, le=1)]
    successes: NonNegativeInt | None = None
    seeds: PositiveInt
    mean_terminal_alignment: Annotated[float, Field(ge=0, le=1)] | None = None
    mean_steps: NonNegativeFloat | None = None
    mean_basin_distance: Annotated[float, Field(ge=0, le=FARTHEST)] | None = None
    """Mean distance from the last position to the false basin."""
    basin_preference: Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)] | None = None
    """Mean of `basin_preference` over the episodes."""
    env_steps: NonNegativeInt
    env_steps_per_second: NonNegativeFloat
    commit: Text
    jax: Text
    device_kind: Text

    @property
    def success_rate(self) -> float:
        """Successes over evaluation seeds, of a run that did not diverge."""
        assert self.successes is not None
        return self.successes / self.seeds

    @model_validator(mode="after")
    def _figures_unless_diverged(self) -> Self:
        if {getattr(self, name) is None for name in FIGURES} != {bool(self.diverged)}:
            allowed = f"a diverged run, and no other, has no {', '.join(FIGURES)}"
            raise InputError("diverged", self.diverged, allowed)
        if self.successes is not None and self.successes > self.seeds:
            raise InputError("successes", self.successes, f"there are {self.seeds} seeds")
        return self


FIGURES = (
    "successes",
    "mean_terminal_alignment",
    "mean_steps",
    "mean_basin_distance",
    "basin_preference",
)
"""Columns that are empty for a diverged run."""


def envelope_table(path: Path) -> StudyTable[EnvelopeRun]:
    """Return the table of an envelope's finished runs."""
    return StudyTable(
        path,
        EnvelopeRun,
        key=("mixed_lambda", "training_seed"),
        incidental=PROVENANCE,
        shared=("settings", "seeds"),
    )
