"""The files of a run: their names, columns and keys (docs/spec/ladder.md, "Files")."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import encode_json, read_json, write_json
from pathb_jax.store.policy_file import PolicyFile, read_policy, write_policy
from pathb_jax.store.tables import append_table, read_numbers, read_table, write_table

__all__ = [
    "ALIGNMENT",
    "EVALUATIONS_COLUMNS",
    "EVALUATION_COLUMNS",
    "INFORMATIVE_SETS",
    "PINNED_HISTORY_COLUMNS",
    "RETURN",
    "SUMMARY_KEYS",
    "WALL_CLOCK_COLUMNS",
    "Measure",
    "PolicyFile",
    "RunFiles",
    "append_history",
    "evaluation_sets",
    "files_of_run",
    "in_order",
    "measure_of",
    "read_evaluation_summary",
    "read_evaluations",
    "read_history",
    "read_json",
    "read_policy",
    "runs_below",
    "slug",
    "write_evaluation",
    "write_evaluations",
    "write_history",
    "write_json",
    "write_policy",
]

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
_COUNTED_SETS = (*_COUNTED, "seed_start", "seeds")


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
        return (*_COUNTED_SETS, *self.means)

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


def _told(names: Collection[str]) -> Measure:
    """Return the measure of a file that has these columns or keys."""
    return RETURN if RETURN.mean in names or RETURN.column in names else ALIGNMENT


INFORMATIVE_SETS = (20000, 30000)
"""Sets every training run evaluates beside its own first set."""

_SUMMARY_COUNTS = ("seed_start", "seeds", "success_count")


LONGEST_LABEL = 120
"""Of a run's label: file names end at 255 bytes on the common systems, and it is not alone in them.
"""


def slug(variant: str, tier: str, seed: int, run_label: str) -> str:
    """Return the name that a run's files share.

    >>> slug("reward_ppo_phase3", "Large", 0, "reward_phase3_pathb_lr1e4")
    'reward_ppo_phase3_large_seed_0_reward_phase3_pathb_lr1e4'
    >>> slug("reward_ppo_phase3", "Small", 3, "")
    'reward_ppo_phase3_small_seed_3'

    Raises:
        InputError: the label would not do as part of a file name.
    """
    if len(run_label) > LONGEST_LABEL or not re.fullmatch(r"[A-Za-z0-9._-]*", run_label):
        allowed = f"use at most {LONGEST_LABEL} of A-Z a-z 0-9 . _ -"
        raise InputError("--run-label", run_label, allowed)
    return f"{variant}_{tier.lower()}_seed_{seed}" + (f"_{run_label}" if run_label else "")


class EvaluationFiles(NamedTuple):
    """Where one set's evaluation lies."""

    rows: Path
    """One row per seed (CSV)."""
    summary: Path


def evaluation_sets(seed_starts: Sequence[int]) -> list[int]:
    """First seeds of the sets a training run evaluates: its own, then the informative ones."""
    return [*seed_starts, *(start for start in INFORMATIVE_SETS if start not in seed_starts)]


@dataclass(frozen=True)
class RunFiles:
    """Where one run keeps what.

    Args:
        out: the run's folder.
        slug: as ``slug`` makes it.
    """

    out: Path
    slug: str

    def name(self, path: Path) -> str:
        """Name a file as messages and the manifest do: by its path within the run's folder."""
        return path.relative_to(self.out).as_posix()

    @property
    def checkpoints(self) -> Path:
        """The folder that a CheckpointStore is given."""
        return self.out / "checkpoints" / self.slug

    @property
    def history(self) -> Path:
        """One row per update."""
        return self.out / "logs" / f"{self.slug}_history.csv"

    @property
    def evaluations(self) -> Path:
        """One row per in-run evaluation and seed set."""
        return self.out / "logs" / f"{self.slug}_evaluations.csv"

    @property
    def battery(self) -> Path:
        """One row per episode of the intervention battery, of a ladder's chosen runs."""
        return self.out / "logs" / f"{self.slug}_battery.csv"

    @property
    def policy(self) -> Path:
        """The actor, portable."""
        return self.out / "policies" / f"{self.slug}.policy.json"

    @property
    def manifest(self) -> Path:
        """Everything needed to repeat the run."""
        return self.out / "manifests" / f"{self.slug}.json"

    def evaluation_csv(self, seed_start: int, first: bool) -> Path:
        """One row per seed; ``first``: the training run's own first set, which has no suffix."""
        return self.own_set(seed_start, first).rows

    def evaluation_summary(self, seed_start: int, first: bool) -> Path:
        """The summary of the same set."""
        return self.own_set(seed_start, first).summary

    def own_set(self, seed_start: int, first: bool) -> EvaluationFiles:
        """A set that the run evaluates at its end."""
        return self._evaluation("" if first else f"_seed_{seed_start}")

    def further_set(self, seed_start: int, seeds: int) -> EvaluationFiles:
        """A set of which a finished run's last checkpoint was evaluated later, when taken up."""
        return self._evaluation(f"_seed_{seed_start}_seeds_{seeds}")

    def requested_set(self, seed_start: int) -> EvaluationFiles:
        """An evaluation on request whose plain name is the training run's own."""
        return self._evaluation(f"_only_seed_{seed_start}")

    def _evaluation(self, suffix: str) -> EvaluationFiles:
        stem = f"{self.slug}_evaluation{suffix}"
        logs = self.out / "logs"
        return EvaluationFiles(logs / f"{stem}.csv", logs / f"{stem}_summary.json")


def runs_below(folder: Path, flag: str) -> list[RunFiles]:
    """Return the files of every run in a folder: a run's own, a ladder's, a study's.

    Raises:
        InputError: no such folder, or no run in it; `flag` is blamed.
    """
    if not folder.is_dir():
        raise InputError(flag, str(folder), "there is no such folder")
    manifests = sorted([*folder.glob("manifests/*.json"), *folder.glob("*/manifests/*.json")])
    if not manifests:
        raise InputError(flag, str(folder), "it holds no ladder and no run")
    return [RunFiles(path.parents[1], path.stem) for path in manifests]


def files_of_run(folder: Path, flag: str) -> RunFiles:
    """Return the files of the one run that a folder holds.

    Raises:
        InputError: no such folder, no run in it, or several; `flag` is blamed.
    """
    if not folder.is_dir():
        raise InputError(flag, str(folder), "there is no such folder")
    slugs = sorted(path.stem for path in (folder / "manifests").glob("*.json"))
    if len(slugs) != 1:
        runs = f"the runs {', '.join(slugs)}" if slugs else "no run"
        raise InputError(flag, str(folder), f"it holds {runs}; give a folder of one run")
    return RunFiles(folder, slugs[0])


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
    pinned = _told(columns).evaluations
    write_table(path, _whole(in_order("column", pinned, columns), _COUNTED_SETS))


def read_evaluations(path: Path) -> dict[str, np.ndarray]:
    """Read the in-run evaluations; InputError as ``read_numbers``."""
    pinned = _told(read_table(path, _COUNTED_SETS)).evaluations
    rows = read_numbers(path, pinned, whole=_COUNTED_SETS)
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
    measure = _told(rows)
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
    measure = _told(summary) if isinstance(summary, dict) else ALIGNMENT
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
