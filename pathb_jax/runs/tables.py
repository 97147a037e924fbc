"""The tables of a run, history and in-run evaluations, in memory and in its checkpoints.

In memory a table is its columns by name, float64 `[rows]`. A checkpoint holds it as one array whose
columns its meta names: as JSON beside the state it would outgrow what is read of that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pathb_jax.learn import training
from pathb_jax.store.artifacts import PINNED_HISTORY_COLUMNS, WALL_CLOCK_COLUMNS
from pathb_jax.store.measures import ALIGNMENT, EVALUATIONS_COLUMNS, Measure

Table = dict[str, np.ndarray]

HISTORY, EVALUATIONS = "history", "evaluations"
EARLIER_COLUMNS: Mapping[str, Sequence[str]] = {
    HISTORY: (*PINNED_HISTORY_COLUMNS, "grad_norm", *WALL_CLOCK_COLUMNS),
    EVALUATIONS: EVALUATIONS_COLUMNS,
}
"""Of checkpoints whose meta does not name them."""


def columns(kind: str, measure: Measure = ALIGNMENT) -> tuple[str, ...]:
    """Return the columns of a run's history or evaluations, from left to right."""
    if kind == EVALUATIONS:
        return measure.evaluations
    return tuple(dict.fromkeys((*EARLIER_COLUMNS[HISTORY], *training.METRICS)))


def table(columns: Sequence[str], rows: Sequence[Mapping[str, float]] = ()) -> Table:
    """Return rows as a table."""
    return {name: np.array([row[name] for row in rows], np.float64) for name in columns}


def length(table: Table) -> int:
    """Return the number of rows."""
    return len(next(iter(table.values())))


def row(table: Table, index: int) -> dict[str, float]:
    """Return one row by name."""
    return {name: column[index].item() for name, column in table.items()}


def extended(table: Table, more: Mapping[str, np.ndarray]) -> Table:
    """Return a table with further rows, matched by the columns' names."""
    return {name: np.concatenate([column, more[name]]) for name, column in table.items()}


def as_array(table: Table) -> np.ndarray:
    """Return a table as `[rows, columns]`, from left to right in its order."""
    return np.stack(list(table.values()), axis=1)


def saved_tables(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[Table, Table]:
    """Return history and in-run evaluations of a checkpoint, by this program or one before it.

    Raises:
        KeyError, TypeError, ValueError: it lacks them, or has other columns than its meta names.
    """
    names = {**EARLIER_COLUMNS, **meta.get("columns", {})}
    tables = {}
    for kind in (HISTORY, EVALUATIONS):
        if kind in arrays:
            rows, width = arrays[kind].shape
            if width != len(names[kind]):
                raise ValueError(f"its {kind} has shape {[rows, width]}")
            tables[kind] = dict(zip(names[kind], arrays[kind].T, strict=True))
    if EVALUATIONS in meta:  # earlier programs kept them there
        tables[EVALUATIONS] = table(EVALUATIONS_COLUMNS, meta[EVALUATIONS])
    return tables[HISTORY], tables[EVALUATIONS]
