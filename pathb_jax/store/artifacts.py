"""A run's history, evaluations and summaries, written and read (docs/spec/ladder.md, "Files")."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import encode_json, read_json, write_json
from pathb_jax.store.measures import ALIGNMENT, COUNTED_SETS, measure_told_by
from pathb_jax.store.run_files import EvaluationFiles
from pathb_jax.store.tables import append_table, read_numbers, read_table, write_table

PINNED_HISTORY_COLUMNS = (
    "update",
    "env_steps",
    "mean_reward",
    "episode_done_rate",
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_frac",
    "explained_variance",
    "log_std",
)
"""The columns that any history has (docs/spec/trainer.md, "The history")."""

WALL_CLOCK_COLUMNS = ("wall_seconds", "env_steps_per_second")
"""The only columns of the history that differ when a run is repeated."""

_COUNTED = ("update", "env_steps")
_SUMMARY_COUNTS = ("seed_start", "seeds", "success_count")


def write_history(
    path: Path, columns: Mapping[str, np.ndarray], may_lack: Collection[str] = ()
) -> None:
    """Write a history of at least the pinned columns, those first; the rest as ``write_table``."""
    ordered = in_order("column", PINNED_HISTORY_COLUMNS, columns)
    write_table(path, _whole(ordered, _COUNTED), may_lack)


def append_history(
    path: Path, columns: Mapping[str, np.ndarray], may_lack: Collection[str] = ()
) -> None:
    """Append such rows to a history that is there; the rest as ``append_table``."""
    ordered = in_order("column", PINNED_HISTORY_COLUMNS, columns)
    append_table(path, _whole(ordered, _COUNTED), may_lack)


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Read a history, ours or another implementation's: at least the pinned columns.

    A figure may be missing or not finite: a stage that needs it fails, and says so.

    Raises:
        InputError: as ``read_numbers``.
    """
    return read_numbers(path, PINNED_HISTORY_COLUMNS, whole=_COUNTED, finite=False)


def write_evaluations(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write the in-run evaluations, a measure's columns; errors as ``write_table``."""
    pinned = measure_told_by(columns).evaluations
    write_table(path, _whole(in_order("column", pinned, columns), COUNTED_SETS))


def read_evaluations(path: Path) -> dict[str, np.ndarray]:
    """Read the in-run evaluations; InputError as ``read_numbers``."""
    pinned = measure_told_by(read_table(path, COUNTED_SETS)).evaluations
    rows = read_numbers(path, pinned, whole=COUNTED_SETS)
    rates, seeds = rows["success_rate"], rows["seeds"]
    good = (seeds > 0) & (rates >= 0) & (rates <= 1)
    if not good.all():
        row = int(np.argmin(good))
        found, allowed = f"{rates[row]} of {seeds[row]} seeds", "it has to be a rate of seeds"
        raise InputError(f"{path}, line {row + 2}: success_rate", found, allowed)
    return rows


def write_evaluation(
    files: EvaluationFiles, rows: Mapping[str, ArrayLike], summary: Mapping[str, Any]
) -> None:
    """Write one seed set's evaluation: rows (CSV), then summary (JSON), each whole or not at all.

    Args:
        files: where.
        rows: a measure's columns and any others, which follow in the order given.
        summary: its keys and any others, likewise.

    Raises:
        ValueError: a column or key is missing, or a figure is not finite; nothing is written.
        OSError: as ``write_atomically``.
    """
    measure = measure_told_by(rows)
    ordered_rows = in_order("column", measure.rows, rows)
    ordered_summary = in_order("key", measure.summary, summary)
    encode_json(ordered_summary)  # refused before the rows are written, not after
    write_table(files.rows, ordered_rows)
    write_json(files.summary, ordered_summary)


def read_evaluation_summary(path: Path) -> dict[str, Any]:
    """Read a summary that has at least a measure's keys.

    Raises:
        InputError: no such file, not JSON, a key is missing, or a figure is not one.
    """
    summary = read_json(path)
    measure = measure_told_by(summary) if isinstance(summary, dict) else ALIGNMENT
    if not isinstance(summary, dict) or not set(measure.summary) <= summary.keys():
        allowed = f"an evaluation summary has the keys {', '.join(measure.summary)}"
        raise InputError(str(path), "another file", allowed)
    for name in (*_SUMMARY_COUNTS, *measure.means):
        value = summary[name]
        is_figure = isinstance(value, int) or (name in measure.means and isinstance(value, float))
        if isinstance(value, bool) or not is_figure or not abs(value) < 2**53:
            raise InputError(f"{path}: {name}", str(value)[:60], "it has to be a figure")
    count, seeds = summary["success_count"], summary["seeds"]
    if not 0 <= count <= seeds or seeds == 0:
        raise InputError(f"{path}: success_count", f"{count} of {seeds}", "it has to be a count")
    return summary


def in_order(kind: str, pinned: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, the pinned names first.

    Raises:
        ValueError: one of them is missing.
    """
    missing = [name for name in pinned if name not in given]
    if missing:
        raise ValueError(f"missing {kind}: {', '.join(missing)}")
    return {name: given[name] for name in (*pinned, *given)}


def _whole(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return columns of which some hold whole numbers, those as integers."""
    for name in names:
        if not all(float(figure).is_integer() for figure in columns[name]):
            raise ValueError(f"column {name} has a figure that is not an integer")
    return {name: x.astype(np.int64) if name in names else x for name, x in columns.items()}
