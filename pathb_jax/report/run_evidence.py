"""What note and page read in run folders: histories, evaluations, outcomes per seed, ends."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.judging.certainty import HowSure, how_sure
from pathb_jax.judging.rates import Paired, paired
from pathb_jax.judging.runs import Evaluations, along_of
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.store.artifacts import read_evaluations, read_history
from pathb_jax.store.measures import RETURN
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import CandidateRecord, RunRecord, SeedRecord
from pathb_jax.store.tables import read_numbers, read_table

NOTHING = Evaluations([], [])


class Evidence(NamedTuple):
    """What a run's folder shows; empty where it has none yet, or none that can be read."""

    history: Mapping[str, np.ndarray]
    along: Evaluations
    """On the first evaluation set."""
    succeeded: np.ndarray
    """Of each seed of the first set, bool."""
    returns: Mapping[int, np.ndarray] = {}
    """First seed of a set -> the return of each episode, where the files tell it."""

    def sure(self, run: CandidateRecord | SeedRecord, protocol: Protocol) -> HowSure | None:
        """Say how sure the judgement of a run is; None where it is not judged."""
        if not run.stages:
            return None
        counts = {
            int(start): (summary.success_count, summary.seeds)
            for start, summary in run.summaries.items()
            if start.isdecimal()
        }
        return how_sure(protocol, counts, self.history, self.along, self.returns)


def read_evidence(folder: Path, run: RunRecord) -> Evidence:
    """Read a run's folder.

    Args:
        folder: the record's.
        run: its entry in the record.
    """
    files = RunFiles(folder / run.run_dir, run.slug)
    history: Mapping[str, np.ndarray] = {}
    along, succeeded = NOTHING, np.zeros(0, bool)
    try:
        history = read_history(files.history)
        start, summary = next(iter(run.summaries.items()))
        along = along_of(read_evaluations(files.evaluations), int(start), summary.seeds)
        rows = files.own_set(int(start), first=True).rows
        succeeded = read_table(rows, ("terminalOutcome",))["terminalOutcome"] == "success"
    except (InputError, OSError, StopIteration, KeyError, ValueError):
        pass
    return Evidence(history, along, succeeded, returns_of(files, list(map(int, run.summaries))))


def returns_of(files: RunFiles, starts: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the returns that a run's own evaluation sets tell, by their first seeds.

    Args:
        files: the run's.
        starts: its sets, the first one first.
    """
    found = {}
    for place, start in enumerate(starts):
        rows = files.own_set(start, first=place == 0).rows
        with contextlib.suppress(InputError, OSError):
            found[start] = read_numbers(rows, (RETURN.column,))[RETURN.column]
    return found


class Ends(NamedTuple):
    """How the episodes of an evaluation set ended, one per seed."""

    seeds: np.ndarray
    """int64 `[n]`"""
    succeeded: np.ndarray
    """bool `[n]`"""
    positions: np.ndarray
    """float64 `[n, 2]`, the last ones."""


def read_ends(folder: Path, run: RunRecord) -> dict[int, Ends]:
    """Read how the episodes of a run's evaluation sets ended.

    Args:
        folder: the record's.
        run: its entry in the record.

    Returns:
        First seed of the set -> ends; sets whose files do not tell them are left out.
    """
    files, found = RunFiles(folder / run.run_dir, run.slug), {}
    for place, start in enumerate(run.summaries):
        try:
            rows = files.own_set(int(start), first=place == 0).rows
            table = read_numbers(rows, ("seed", "terminalX", "terminalY"), whole=("seed",))
            outcomes = table["terminalOutcome"]
        except (InputError, OSError, KeyError, ValueError):
            continue
        positions = np.stack([table["terminalX"], table["terminalY"]], axis=-1)
        found[int(start)] = Ends(table["seed"], outcomes == "success", positions)
    return found


def against_the_best(evidence: Mapping[str, Evidence]) -> tuple[str, dict[str, Paired]]:
    """Compare the run with most successes on the first set with the others, seed by seed.

    Args:
        evidence: name of a run -> what its folder shows.

    Returns:
        Its name, and name -> comparison with the other first; empty where there are not two.
    """
    rows = {tag: found.succeeded for tag, found in evidence.items() if len(found.succeeded)}
    if len(rows) < 2:
        return "", {}
    best = max(rows, key=lambda tag: int(rows[tag].sum()))
    return best, {
        tag: paired(seeds, rows[best])
        for tag, seeds in rows.items()
        if tag != best and len(seeds) == len(rows[best])
    }
