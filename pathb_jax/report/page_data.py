"""What the page's charts draw: curves thinned to bins, evaluations, ends of episodes.

Everything here becomes JSON in the page, so that it stays small: see `BINS` and `MOST_EPISODES`.
"""

import base64
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import EnvParams
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.figures import PANELS, colours_of
from pathb_jax.report.played_paths import PlayedPaths, play_paths
from pathb_jax.report.run_evidence import Evidence, read_ends, read_evidence
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import CandidateRecord, RunRecord

BINS = 240
"""Points of a curve, at most."""
ALL_BINS = 6_000
"""Points of a metric over all runs; with many runs each has fewer, but `FEWEST_BINS` at least."""
FEWEST_BINS = 20
MOST_EPISODES = 120_000
"""Ends of episodes in a page; beyond them each set shows its first seeds only."""
MOST_ENDS = 100
"""Runs of which the judged rows are in the page one by one."""
BLACK = "#000000"
"""The colour that no dark page can show: the page's ink stands for it."""


class PageRun(NamedTuple):
    """A run of the ladder as the page shows it."""

    name: str
    """Its own, "lr1e4, seed 1"."""
    group: str
    """What is chosen in one go: a candidate with its seeds, a run of the batch, the default run."""
    kind: str
    seed: int | None
    """Training seed, if the record says it."""
    first: bool
    """Whether it is its group's first run."""
    colour: str
    """As a style says it."""
    run: RunRecord
    evidence: Evidence


def read_runs(record: LadderRecord, folder: Path) -> list[PageRun]:
    """Read every run of a record; a candidate has the colour that it has in the note's figures.

    Args:
        record: the ladder's.
        folder: where it lies.
    """
    own = record.plan.seed if record.plan else None
    tags = [candidate.tag for candidate in record.candidates]
    colours = colours_of([*tags, *(run.label for run in record.batch)])
    colours = {
        name: "var(--ink)" if colour == BLACK else colour for name, colour in colours.items()
    }
    found: list[tuple[str, str, int | None, RunRecord]] = []
    for candidate in record.candidates:
        found.append((candidate.tag, "candidate", own, candidate))
        found += [(candidate.tag, "candidate", s.seed, s) for s in candidate.other_seeds]
    found += [(run.label, "batch", own, run) for run in record.batch]
    if baseline := record.own_baseline:
        found.append((baseline.label, "default run", own, baseline))
    runs = []
    for group, kind, seed, run in found:
        first = isinstance(run, CandidateRecord) or kind != "candidate"
        several = kind == "candidate" and seed is not None
        name = f"{group}, seed {seed}" if several else group
        evidence = read_evidence(folder, run)
        runs.append(
            PageRun(
                name, group, kind, seed, first, colours.get(group, "var(--muted)"), run, evidence
            )
        )
    return runs


def curves(runs: Sequence[PageRun], window: int) -> dict[str, Any]:
    """Return histories in equal bins of updates, and their last rows as they are.

    Args:
        runs: those without a history are left out.
        window: rows that stage 2 judges; 0: none. As many before them are kept too.

    Returns:
        `bins`: last update of each bin. `whole` and `judged`: place of the run -> metric ->
        lists with one entry per bin, or row (`update` says which). In `judged`, log_std is its
        rise since the first judged row.
    """
    histories = {place: run.evidence.history for place, run in enumerate(runs)}
    histories = {place: columns for place, columns in histories.items() if len(columns)}
    longest = max((int(h["update"][-1]) for h in histories.values() if len(h["update"])), default=0)
    points = min(BINS, max(FEWEST_BINS, ALL_BINS // max(1, len(histories))))
    edges = np.unique(np.linspace(0, longest, points + 1).round().astype(int))
    judged = {
        str(place): _last_rows(columns, window)
        for place, columns in [*histories.items()][: MOST_ENDS if window else 0]
    }
    return {
        "bins": edges[1:].tolist(),
        "whole": {str(place): binned(columns, edges) for place, columns in histories.items()},
        "judged": judged,
    }


def _last_rows(history: Mapping[str, np.ndarray], window: int) -> dict[str, list[Any]]:
    """Return the rows that stage 2 judges and as many before; log_std from the first judged."""
    rows = {name: history[name][-2 * window :] for name in ("update", *PANELS)}
    rows["log_std"] = rows["log_std"] - rows["log_std"][-window:][:1]
    return {name: [_short(float(value), 6) for value in values] for name, values in rows.items()}


def binned(history: Mapping[str, np.ndarray], edges: np.ndarray) -> dict[str, Any]:
    """Return mean, smallest and largest figure of each metric in bins of updates.

    Args:
        history: its columns; updates rise.
        edges: `[bins + 1]`, a bin holds the updates above one edge up to the next.

    Returns:
        Metric -> `mean`, `low`, `high`, four digits each; None where a bin has no row.
    """
    where = np.searchsorted(history["update"], edges, side="right")
    slices = [slice(a, b) for a, b in itertools.pairwise(where)]
    found: dict[str, Any] = {}
    for name in PANELS:
        rows = [history[name][part] for part in slices]
        found[name] = {
            kind: [_short(float(of(values)), 4) if len(values) else None for values in rows]
            for kind, of in (("mean", np.mean), ("low", np.min), ("high", np.max))
        }
    return found


def along(runs: Sequence[PageRun]) -> dict[str, list[dict[str, Any]]]:
    """Return in-run evaluations on the first set: place of the run -> rows with intervals."""
    found = {}
    for place, run in enumerate(runs):
        updates, counts = run.evidence.along
        rows = []
        for update, (successes, seeds) in zip(updates, counts, strict=True):
            low, high = clopper_pearson(successes, seeds)
            counted = {"update": update, "successes": successes, "seeds": seeds}
            rate = {"mean": successes / seeds, "low": low, "high": high}
            rows.append(counted | {name: _short(value, 4) for name, value in rate.items()})
        if rows:
            found[str(place)] = rows
    return found


def episodes(runs: Sequence[PageRun], folder: Path) -> dict[str, Any]:
    """Return starts, goals, ends and paths of the final evaluations, in hundredths of a length.

    Args:
        runs: of the record.
        folder: where it lies.

    Returns:
        `sets`: first seed -> `seeds`, `start_x`, `start_y`, `goal_x`, `goal_y`. `ends`: place of
        the run -> first seed -> `x`, `y`, and `outcome`, a letter per seed: s success, t time-out.
        `shown`: seeds of each set at most. `paths`: place of the run -> first seed -> what
        `_packed` returns. `played`: how many paths; `strays`: how many of them do not end as the
        files say.
    """
    ends = {place: read_ends(folder, run.run) for place, run in enumerate(runs)}
    played = play_paths([run.run for run in runs], [*ends.values()], folder)
    in_all = sum(len(of_set.seeds) for of_run in ends.values() for of_set in of_run.values())
    sets = sum(len(of_run) for of_run in ends.values())
    longest = max((len(s.seeds) for of_run in ends.values() for s in of_run.values()), default=0)
    shown = longest if in_all <= MOST_EPISODES else max(1, MOST_EPISODES // sets)
    found: dict[str, Any] = {"sets": {}, "ends": {}, "paths": {}}
    found |= {"shown": shown, "seeds": longest}
    for place, of_run in ends.items():
        for start, of_set in of_run.items():
            seeds = of_set.seeds[:shown]
            known = found["sets"].get(str(start))
            if known is None:
                try:
                    states = start_states(seeds)
                    known = {"seeds": seeds.tolist()}
                    for name, points in (("start", states.start), ("goal", states.goal)):
                        known |= _hundredths(name + "_", points)
                except ValueError:  # no seeds of episodes
                    continue
                found["sets"][str(start)] = known
            if known["seeds"] != seeds.tolist():
                continue
            outcome = "".join("s" if good else "t" for good in of_set.succeeded[:shown])
            drawn = _hundredths("", of_set.positions[:shown]) | {"outcome": outcome}
            found["ends"].setdefault(str(place), {})[str(start)] = drawn
            if paths := played[place].get(start):
                found["paths"].setdefault(str(place), {})[str(start)] = _packed(paths)
    steps = [s for of in found["paths"].values() for packed in of.values() for s in packed["steps"]]
    return found | {"played": len(steps), "strays": steps.count(0)}


def _packed(paths: PlayedPaths) -> dict[str, Any]:
    """Return paths as the page's script reads them.

    Returns:
        `points`: of each path; `every`: steps between them; `horizon`: step of the last one;
        `steps`: when each episode ended, 0 where the path is not to be shown; `xy`: `[n, points,
        2]` as little-endian int16, in base64.
    """
    hundredths = np.rint(100 * np.nan_to_num(paths.positions))
    whole = hundredths.clip(-(2**15), 2**15 - 1).astype("<i2")
    return {
        "points": whole.shape[1],
        "every": paths.every,
        "horizon": paths.horizon,
        "steps": np.where(paths.agree, paths.steps, 0).tolist(),
        "xy": base64.b64encode(whole.tobytes()).decode(),
    }


def _hundredths(prefix: str, points: np.ndarray) -> dict[str, list[int]]:
    whole = np.rint(100 * points).astype(int)
    return {f"{prefix}x": whole[:, 0].tolist(), f"{prefix}y": whole[:, 1].tolist()}


def _short(value: float, digits: int) -> float | int | None:
    """Return a figure to so many digits; None for what JSON has no number for."""
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) else short


def field_shapes() -> dict[str, Any]:
    """Return lengths of the task that the chart of episodes draws, at its default values."""
    world = EnvParams()
    return {
        "half_width": float(world.half_width),
        "basin": [float(x) for x in world.basin_center],
        "basin_sigma": float(world.basin_sigma),
        "signature_sigma": float(world.signature_sigma),
        "success_radius": float(world.success_radius),
    }
