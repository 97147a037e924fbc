"""The tables that a run's checkpoints carry beside its state: history and in-run evaluations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pathb_jax.store.artifacts import EVALUATIONS_COLUMNS, HISTORY_COLUMNS

HISTORY, EVALUATIONS = "history", "evaluations"
_COUNTS = ("update", "env_steps", "seed_start", "seeds")


def evaluations_array(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """In-run evaluations as `[rows, len(EVALUATIONS_COLUMNS)]`: float64 holds them exactly.

    As JSON beside the state they would outgrow what is read of it.
    """
    table = [[row[name] for name in EVALUATIONS_COLUMNS] for row in rows]
    return np.array(table, np.float64).reshape(-1, len(EVALUATIONS_COLUMNS))


def saved_evaluations(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """In-run evaluations of a checkpoint, by this program or one before it.

    Raises:
        KeyError, TypeError: it has none.
    """
    if EVALUATIONS in meta:  # earlier programs kept them there
        return [{name: row[name] for name in EVALUATIONS_COLUMNS} for row in meta[EVALUATIONS]]
    return [
        {
            name: int(x) if name in _COUNTS else x
            for name, x in zip(EVALUATIONS_COLUMNS, row, strict=True)
        }
        for row in arrays[EVALUATIONS].tolist()
    ]


def table_shapes(meta: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Shapes of the tables that a checkpoint of this meta has as arrays.

    Raises:
        KeyError: the meta is not of a run's checkpoint.
    """
    shapes = {HISTORY: (meta["history_rows"], len(HISTORY_COLUMNS))}
    if EVALUATIONS not in meta:
        shapes[EVALUATIONS] = (meta["evaluation_rows"], len(EVALUATIONS_COLUMNS))
    return shapes
