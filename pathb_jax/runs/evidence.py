"""Whether a finished run's files agree with its last checkpoint and with each other.

A verdict rests on these files long after the run. The checkpoint, verified by its own digests,
holds the true history, the true in-run evaluations and the policy; the manifest holds a digest of
every file (runs of earlier programs lack these). Nothing is replayed here: it takes milliseconds.
"""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np

from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.learn.training import MAY_BE_MISSING
from pathb_jax.runs.evidence_sets import Saved, policy_problems, set_problems
from pathb_jax.runs.identity import config_differences
from pathb_jax.runs.manifest import CheckpointMeta, RunManifest, read_manifest
from pathb_jax.runs.output import sha256
from pathb_jax.runs.tables import (
    EARLIER_COLUMNS,
    EVALUATIONS,
    HISTORY,
    Table,
    length,
    saved_tables,
    table,
)
from pathb_jax.store import checkpoints
from pathb_jax.store.models import parse
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.step_folders import list_steps
from pathb_jax.store.tables import read_table

MOST_TOLD = 3
_POLICY = ("state.params.actor", "state.params.log_std", "state.normalizer")


def check_evidence(files: RunFiles) -> None:
    """Raise InputError, in one line that names files, if a finished run contradicts itself."""
    problems = evidence_problems(files)
    if problems:
        first = "; ".join(problems[:MOST_TOLD])
        more = len(problems) - MOST_TOLD
        first += f"; and {more} more" if more > 0 else ""
        allowed = f"run {files.slug} is not as it was written: {first}; restore it, or --fresh"
        raise InputError("--out", str(files.out), allowed)


def evidence_problems(files: RunFiles) -> list[str]:
    """Say what of a finished run's files disagrees, one line each, naming the file.

    Args:
        files: of a run that completed or diverged.

    Returns:
        Nothing, if all is as the run wrote it.
    """
    try:
        manifest = read_manifest(files)
    except InputError as error:
        return [str(error)]
    if manifest.status not in ("completed", "diverged"):
        return [f"{files.name(files.manifest)}: status {manifest.status[:60]!r}"]
    try:
        saved = _saved(files, manifest)
    except (CheckpointError, LookupError, TypeError, ValueError) as error:
        return [f"the last checkpoint: {' '.join(str(error).split())[:300]}"]
    problems: list[str] = []
    for check in (
        _manifest_problems,
        _history_problems,
        _evaluations_problems,
        set_problems,
        policy_problems,
    ):
        try:
            problems += check(files, manifest, saved)
        except InputError as error:
            problems.append(str(error))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            problems.append(f"{files.name(files.manifest)}: {str(error)[:200]}")
    return [*problems, *_digest_problems(files, manifest, problems)]


def _saved(files: RunFiles, manifest: RunManifest) -> Saved:
    steps = list_steps(files.checkpoints)
    if manifest.status == "diverged" and not steps:
        return Saved(None, table(EARLIER_COLUMNS[HISTORY]), table(EARLIER_COLUMNS[EVALUATIONS]), {})
    last = manifest.update if manifest.status == "completed" else steps[-1]
    if not steps or steps[-1] != last:
        present = ", ".join(map(str, steps)) or "none"
        raise ValueError(f"the run ended after update {last}, checkpoints are of {present}")
    step = files.checkpoints / str(last)
    content = checkpoints.read_meta(step)
    by_digest = files.name(files.policy) in manifest.evidence
    names = [
        name
        for name in checkpoints.read_leaves(step)
        if name in (HISTORY, EVALUATIONS) or (name.startswith(_POLICY) and not by_digest)
    ]
    arrays = checkpoints.named_arrays(step, names)
    policy = {name: array for name, array in arrays.items() if name.startswith(_POLICY)}
    return Saved(parse(CheckpointMeta, content, ""), *saved_tables(content, arrays), policy)


def _manifest_problems(files: RunFiles, manifest: RunManifest, saved: Saved) -> Iterator[str]:
    """Compare the manifest with the checkpoint it names."""
    name = files.name(files.manifest)
    if saved.meta is None:
        return
    for difference in config_differences(saved.meta.config, manifest.config):
        yield f"{name}: {difference}"
    figures: dict[str, float] = {"first_update": saved.meta.update - length(saved.history)}
    if manifest.status == "completed":
        figures["env_steps"] = saved.meta.env_steps
        figures["train_seconds"] = saved.history["wall_seconds"][-1].item()
    for key, true in figures.items():
        if getattr(manifest, key) != true:
            yield f"{name}: {key} {getattr(manifest, key)} instead of {true}"
    if manifest.diverged is not None:
        after = manifest.diverged.update - manifest.update
        if after not in (0, 1):  # an evaluation's figure, or an update's
            yield f"{name}: diverged at {manifest.diverged.update} after {manifest.update}"


def _history_problems(files: RunFiles, manifest: RunManifest, saved: Saved) -> Iterator[str]:
    """Compare the history with the checkpoint's; a diverged run has rows after it."""
    rows = manifest.update - manifest.first_update
    name = files.name(files.history)
    history = yield from _same_table(files.history, saved.history, rows, name)
    if history is None:
        return
    updates = manifest.first_update + 1 + np.arange(rows)
    train = manifest.config.train
    batch = train["batch_envs"] * train["rollout_length"]
    steps = manifest.env_steps - batch * np.arange(rows)[::-1]
    if not (
        np.array_equal(history["update"], updates) and np.array_equal(history["env_steps"], steps)
    ):
        yield f"{name}: update and env_steps do not count up"
    given = {
        column: figures[~np.isnan(figures)] if column in MAY_BE_MISSING else figures
        for column, figures in history.items()
    }
    if not all(np.isfinite(figures).all() for figures in given.values()):
        yield f"{name}: a figure is not finite"


def _evaluations_problems(files: RunFiles, _: RunManifest, saved: Saved) -> Iterator[str]:
    rows, name = length(saved.evaluations), files.name(files.evaluations)
    yield from _same_table(files.evaluations, saved.evaluations, rows, name)


def _same_table(
    path: Path, true: Table, rows: int, name: str
) -> Generator[str, None, Table | None]:
    """Compare a table's first rows with the true ones; return it if they agree."""
    content = read_table(path, tuple(true))
    if path.read_bytes()[-1:] != b"\n":
        yield f"{name}: its last line is cut"
        return None
    if any(content[column].dtype.kind not in "if" for column in true):
        yield f"{name}: a cell is not a number"
        return None
    read = {column: content[column].astype(np.float64) for column in true}
    if length(read) != rows or rows < length(true):
        yield f"{name}: {length(read)} rows instead of {rows}"
        return None
    for column, expected in true.items():
        found = read[column][: len(expected)]
        differ = np.flatnonzero((found != expected) & ~(np.isnan(found) & np.isnan(expected)))
        if len(differ):
            at = differ[0]
            yield (
                f"{name}: row {at + 1}, {column} {read[column][at]:.17g} instead of "
                f"{expected[at]:.17g}"
            )
            return None
    return read


def _digest_problems(
    files: RunFiles, manifest: RunManifest, problems: Sequence[str]
) -> Iterator[str]:
    """Name the files that are not the bytes the run wrote, unless it is said of them already."""
    for name, true in manifest.evidence.items():
        path = files.out / name
        if any(name in problem for problem in problems):
            continue
        if not path.is_file():
            yield f"{name}: it is missing"
        elif sha256(path) != true:
            yield f"{name}: it differs from what the run wrote (SHA-256)"
