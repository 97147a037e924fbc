"""Where a run keeps what: the names of its files and folders (docs/spec/ladder.md, "Files")."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pathb_jax.errors import InputError

INFORMATIVE_SETS = (20000, 30000)
"""Sets every training run evaluates beside its own first set."""

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
