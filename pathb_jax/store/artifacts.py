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
from pathb_jax.store.tables import append_table, read_numbers, write_table

__all__ = [
    "EVALUATIONS_COLUMNS",
    "EVALUATION_COLUMNS",
    "INFORMATIVE_SETS",
    "PINNED_HISTORY_COLUMNS",
    "SUMMARY_KEYS",
    "WALL_CLOCK_COLUMNS",
    "PolicyFile",
    "RunFiles",
    "append_history",
    "evaluation_sets",
    "files_of_run",
    "in_order",
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

EVALUATIONS_COLUMNS = (
    "update",
    "env_steps",
    "seed_start",
    "seeds",
    "success_rate",
    "mean_terminal_alignment",
    "mean_steps",
)
"""One row per in-run evaluation and seed set."""

_COUNTED = ("update", "env_steps")
_COUNTED_SETS = (*_COUNTED, "seed_start", "seeds")

EVALUATION_COLUMNS = (
    "seed",
    "terminalOutcome",
    "steps",
    "terminalAlignment",
    "terminalDistance",
    "pathEfficiency",
    "saturationCount",
)
"""The first columns of an evaluation's rows, one row per seed; others may follow."""

SUMMARY_KEYS = (
    "checkpoint",
    "sensor_tier",
    "seed_start",
    "seeds",
    "success_count",
    "success_rate",
    "mean_terminal_alignment",
    "mean_steps",
    "env_config",
)
"""The first keys of an evaluation's summary; others may follow."""

INFORMATIVE_SETS = (20000, 30000)
"""Sets every training run evaluates beside its own first set."""

_SUMMARY_COUNTS = ("seed_start", "seeds", "success_count")
_SUMMARY_MEANS = ("success_rate", "mean_terminal_alignment", "mean_steps")


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
    """Write the in-run evaluations, EVALUATIONS_COLUMNS; errors as ``write_table``."""
    write_table(path, _whole(in_order("column", EVALUATIONS_COLUMNS, columns), _COUNTED_SETS))


def read_evaluations(path: Path) -> dict[str, np.ndarray]:
    """Read the in-run evaluations; InputError as ``read_numbers``."""
    rows = read_numbers(path, EVALUATIONS_COLUMNS, whole=_COUNTED_SETS)
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
        rows: EVALUATION_COLUMNS and any others, which follow in the order given.
        summary: SUMMARY_KEYS and any others, likewise.

    Raises:
        ValueError: a column or key is missing, or a figure is not finite; nothing is written.
        OSError: as ``write_atomically``.
    """
    ordered_rows = in_order("column", EVALUATION_COLUMNS, rows)
    ordered_summary = in_order("key", SUMMARY_KEYS, summary)
    encode_json(ordered_summary)  # refused before the rows are written, not after
    write_table(files.rows, ordered_rows)
    write_json(files.summary, ordered_summary)


def read_evaluation_summary(path: Path) -> dict[str, Any]:
    """Read a summary that has at least SUMMARY_KEYS.

    Raises:
        InputError: no such file, not JSON, a key is missing, or a figure is not one.
    """
    summary = read_json(path)
    if not isinstance(summary, dict) or not set(SUMMARY_KEYS) <= summary.keys():
        allowed = f"an evaluation summary has the keys {', '.join(SUMMARY_KEYS)}"
        raise InputError(str(path), "another file", allowed)
    for name in (*_SUMMARY_COUNTS, *_SUMMARY_MEANS):
        value = summary[name]
        is_figure = isinstance(value, int) or (name in _SUMMARY_MEANS and isinstance(value, float))
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
