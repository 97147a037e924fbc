"""How far runs are, a ladder's or any others, told from their files alone.

Nothing is locked and nothing written, so that whoever looks is in nobody's way.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.judging.rates import Count
from pathb_jax.judging.runs import along_of
from pathb_jax.ladder.protocol import parse_protocol
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.runs.manifest import RunManifest, read_manifest
from pathb_jax.store.artifacts import read_evaluations, read_history
from pathb_jax.store.lock import seems_held
from pathb_jax.store.record_schema import RECORD, LadderRecord
from pathb_jax.store.run_files import RunFiles, runs_below
from pathb_jax.store.run_records import BatchRecord, RunRecord

RECENT = 20
"""Updates that tell how long one takes."""
FIGURES = ("entropy", "log_std", "value_loss")
"""Of the history, shown beside success."""


class RunStanding(NamedTuple):
    """How far one run is."""

    name: str
    """The candidate's tag, the batch run's label without it, or the folder's name."""
    folder: str
    """Its name, beside the record."""
    seed: int | None
    """The training seed; None: the run has not begun and nothing says it."""
    state: str
    """waiting, training, stopped, trained, or what the ladder's record says of it."""
    update: int
    updates: int | None
    seconds_per_update: float | None
    """Median of the last updates; None before there are any."""
    seconds_left: float | None
    figures: dict[str, float]
    """The last row of the history."""
    success: Count | None
    """Of the last evaluation during the run, on the first set."""
    stages: list[bool | None]
    """What each stage says; empty before it is judged."""


class Standing(NamedTuple):
    """How far a ladder or a study is."""

    folder: Path
    verdict: str | None
    """Of a ladder; None: these are runs of no ladder."""
    worth: str | None
    """canonical, registered or exploratory; likewise."""
    runs: list[RunStanding]
    at_work: bool
    """Somebody trains here, as far as this host can tell."""
    seconds_left: float | None
    """Until the last run ends, if none is spared by an adoption; None: nothing tells it yet."""


def find_latest(below: Path) -> Path | None:
    """Return the ladder's folder below one whose files changed last; None: there is none."""
    ladders = [path.parent for path in below.glob("**/" + RECORD)]
    return max(ladders, key=_changed, default=None)


def read_standing(folder: Path) -> Standing:
    """Read how far a ladder, a study or a run is.

    Args:
        folder: with a record, with the folders of runs, or a run's.

    Raises:
        InputError: there is nothing of these, or a file is broken.
    """
    record_path = folder / RECORD
    if record_path.exists():
        record = read_ladder(record_path)
        runs = [*_of_ladder(folder, record)]
        verdict: str | None = record.verdict
        worth: str | None = record.standing
    else:
        runs = [_read_run(files, files.out.name) for files in runs_below(folder, "DIR")]
        verdict = worth = None
    at_work = seems_held(folder) or any(run.state == "training" for run in runs)
    return Standing(folder, verdict, worth, runs, at_work, _seconds_left(runs))


def _changed(ladder: Path) -> float:
    files = [ladder / RECORD, *ladder.glob("*/logs/*_history.csv")]
    return max(path.stat().st_mtime for path in files)


def _of_ladder(folder: Path, record: LadderRecord) -> Iterator[RunStanding]:
    """Yield candidates with all of their training seeds, then what follows the verdict."""
    first = record.plan.seed if record.plan else None
    seeds = _planned_seeds(record)
    for candidate in record.candidates:
        others = {other.seed: other for other in candidate.other_seeds}
        yield _of_record(folder, record, candidate, candidate.tag, first)
        for seed in sorted({*seeds, *others} - {first}):
            if seed in others:
                yield _of_record(folder, record, others[seed], candidate.tag, seed)
                continue
            run_dir = f"{candidate.run_dir}_seed_{seed}"
            manifests = sorted((folder / run_dir).glob("manifests/*.json"))
            if manifests:
                yield _read_run(RunFiles(folder / run_dir, manifests[0].stem), candidate.tag)
            else:
                waits = record.verdict == "incomplete"
                yield _not_begun(record, candidate.tag, run_dir, seed, waits=waits)
    for run in record.batch:
        yield _of_record(folder, record, run, run.label.partition("_pathb_")[0], first)
    # a baseline among the candidates stands there
    default = record.baseline
    if default and default.run_dir not in {entry.run_dir for entry in record.candidates}:
        yield _of_record(folder, record, default, default.label.rpartition("_pathb_")[2], first)


def _planned_seeds(record: LadderRecord) -> Iterable[int]:
    """Return the training seeds that vote, and those that some candidate has trained."""
    trained = {other.seed for candidate in record.candidates for other in candidate.other_seeds}
    try:
        voting = parse_protocol(record.protocol.text.encode(), "").voting.training_seeds
    except InputError:
        voting = 1
    first = record.plan.seed if record.plan else 0
    return {*range(first, first + voting), *trained}


def _of_record(
    folder: Path, record: LadderRecord, run: RunRecord, name: str, seed: int | None
) -> RunStanding:
    """Return how far a run is, and what the record says of it once it is judged."""
    files = RunFiles(folder / run.run_dir, run.slug)
    if not (run.slug and files.manifest.exists()):
        follows = isinstance(run, BatchRecord) and record.ended is None
        waits = follows or record.verdict == "incomplete"
        return _not_begun(record, name, run.run_dir, seed, waits=waits)
    told = _read_run(files, name)
    if run.status not in ("not_run", "running"):
        told = told._replace(state=run.status)
    if isinstance(run, BatchRecord):
        return told
    return told._replace(stages=[receipt.passed for receipt in run.stages])


def _not_begun(
    record: LadderRecord, name: str, run_dir: str, seed: int | None, *, waits: bool
) -> RunStanding:
    state = "waiting" if waits else "not run"
    updates = record.plan.updates if record.plan else None
    return RunStanding(name, run_dir, seed, state, 0, updates, None, None, {}, None, [])


def _read_run(files: RunFiles, name: str) -> RunStanding:
    manifest = read_manifest(files)
    schedule = manifest.config.schedule
    updates, seed = int(schedule["updates"]), int(schedule["seed"])
    history = read_history(files.history) if files.history.exists() else {}
    done = len(history.get("update", ()))
    seconds = _seconds_per_update(history)
    left = None
    if manifest.is_finished:
        left = 0.0
    elif seconds is not None:
        left = seconds * (updates - done)
    return RunStanding(
        name=name,
        folder=files.out.name,
        seed=seed,
        state=_state(files, manifest),
        update=done,
        updates=updates,
        seconds_per_update=seconds,
        seconds_left=left,
        figures={figure: float(history[figure][-1]) for figure in FIGURES if done},
        success=_last_success(files, manifest),
        stages=[],
    )


def _state(files: RunFiles, manifest: RunManifest) -> str:
    if manifest.is_finished:
        return "diverged" if manifest.diverged else "trained"
    return "training" if seems_held(files.out) else "stopped"


def _seconds_per_update(history: Mapping[str, np.ndarray]) -> float | None:
    """Tell from the running sum of seconds; an earlier program's history may lack it."""
    seconds: Any = history.get("wall_seconds", ())
    took = np.diff(seconds, prepend=0.0)[-RECENT:]
    return float(statistics.median(took)) if len(took) else None


def _last_success(files: RunFiles, manifest: RunManifest) -> Count | None:
    if not files.evaluations.exists():
        return None
    evaluation = manifest.config.evaluation
    along = along_of(
        read_evaluations(files.evaluations),
        evaluation.eval_seed_start[0],
        evaluation.eval_seeds,
        manifest.first_update,
    )
    return along.counts[-1] if along.counts else None


def _seconds_left(runs: list[RunStanding]) -> float | None:
    """Add up what is left, of runs that wait by how long others take, over those at work."""
    paces = [run.seconds_per_update for run in runs if run.seconds_per_update is not None]
    if not paces:
        return None
    left = 0.0
    for run in runs:
        if run.seconds_left is not None:
            left += run.seconds_left
        elif run.state in ("waiting", "training", "stopped") and run.updates is not None:
            left += run.updates * statistics.median(paces)
    return left / max(1, sum(run.state == "training" for run in runs))
