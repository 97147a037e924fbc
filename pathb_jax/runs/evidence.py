"""Whether a finished run's files agree with its last checkpoint and with each other.

A verdict rests on these files long after the run. The checkpoint, verified by its own digests,
holds the true history, the true in-run evaluations and the policy; the manifest holds a digest of
every file (runs of earlier programs lack these). Nothing is replayed here: it takes milliseconds.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.runs.evidence_sets import Saved, file_name, policy_problems, set_problems
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.runs.outcome import config_differences
from pathb_jax.store import checkpoints
from pathb_jax.store.artifacts import EVALUATIONS_COLUMNS, HISTORY_COLUMNS, RunFiles
from pathb_jax.store.run_tables import EVALUATIONS, HISTORY, evaluations_array, saved_evaluations
from pathb_jax.store.step_folders import list_steps
from pathb_jax.store.tables import read_table

MOST_TOLD = 3
_POLICY = ("state.params.actor", "state.params.log_std", "state.normalizer")


def digests(files: RunFiles, paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their path within the run's folder."""
    return {path.relative_to(files.out).as_posix(): _sha(path) for path in paths}


def check_evidence(files: RunFiles) -> None:
    """Raise InputError, in one line that names files, if a finished run contradicts itself."""
    problems = evidence_problems(files)
    if problems:
        told = "; ".join(problems[:MOST_TOLD])
        more = len(problems) - MOST_TOLD
        told += f"; and {more} more" if more > 0 else ""
        allowed = f"run {files.slug} is not as it was written: {told}; restore it, or --fresh"
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
    if manifest["status"] not in ("completed", "diverged"):
        return [f"{file_name(files, files.manifest)}: status {manifest['status'][:60]!r}"]
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
            problems.append(f"{file_name(files, files.manifest)}: {str(error)[:200]}")
    return [*problems, *_digest_problems(files, manifest, problems)]


def _saved(files: RunFiles, manifest: Mapping[str, Any]) -> Saved:
    steps = list_steps(files.checkpoints)
    if manifest["status"] == "diverged" and not steps:
        return Saved(None, _empty(HISTORY_COLUMNS), _empty(EVALUATIONS_COLUMNS), {})
    last = manifest["update"] if manifest["status"] == "completed" else steps[-1]
    if not steps or steps[-1] != last:
        there = ", ".join(map(str, steps)) or "none"
        raise ValueError(f"the run ended after update {last}, checkpoints are of {there}")
    step = files.checkpoints / str(last)
    meta = checkpoints.read_meta(step)
    by_digest = file_name(files, files.policy) in _recorded(manifest)
    names = [
        name
        for name in checkpoints.read_leaves(step)
        if name in (HISTORY, EVALUATIONS) or (name.startswith(_POLICY) and not by_digest)
    ]
    arrays = checkpoints.named_arrays(step, names)
    history = arrays.pop(HISTORY)
    if history.shape[1:] != (len(HISTORY_COLUMNS),):
        raise ValueError(f"its history has shape {list(history.shape)}")
    evaluations = evaluations_array(saved_evaluations(meta, arrays))
    policy = {name: array for name, array in arrays.items() if name.startswith(_POLICY)}
    return Saved(meta, history, evaluations, policy)


def _empty(columns: Sequence[str]) -> np.ndarray:
    return np.zeros((0, len(columns)))


def _manifest_problems(files: RunFiles, manifest: Mapping[str, Any], saved: Saved) -> Iterator[str]:
    """Compare the manifest with the checkpoint it names."""
    name = file_name(files, files.manifest)
    if saved.meta is None:
        return
    config = {**saved.meta["config"], "output": {**saved.meta["config"]["output"]}}
    config["output"]["out"] = manifest["config"]["output"].get("out")
    for difference in config_differences(config, manifest["config"]):
        yield f"{name}: {difference}"
    figures = {"first_update": saved.meta["update"] - len(saved.history)}
    if manifest["status"] == "completed":
        figures["env_steps"] = saved.meta["env_steps"]
        figures["train_seconds"] = saved.history[-1, HISTORY_COLUMNS.index("wall_seconds")].item()
    for key, true in figures.items():
        if manifest[key] != true:
            yield f"{name}: {key} {manifest[key]} instead of {true}"
    if manifest["diverged"] is not None:
        after = manifest["diverged"]["update"] - manifest["update"]
        if after not in (0, 1):  # an evaluation's figure, or an update's
            yield f"{name}: diverged at {manifest['diverged']['update']} after {manifest['update']}"


def _history_problems(files: RunFiles, manifest: Mapping[str, Any], saved: Saved) -> Iterator[str]:
    """Compare the history with the checkpoint's; a diverged run has rows after it."""
    rows = manifest["update"] - manifest["first_update"]
    name = file_name(files, files.history)
    found = yield from _same_table(files.history, HISTORY_COLUMNS, saved.history, rows, name)
    if found is None:
        return
    updates = manifest["first_update"] + 1 + np.arange(rows)
    batch = (
        manifest["config"]["train"]["batch_envs"] * manifest["config"]["train"]["rollout_length"]
    )
    steps = manifest["env_steps"] - batch * np.arange(rows)[::-1]
    if not (np.array_equal(found[:, 0], updates) and np.array_equal(found[:, 1], steps)):
        yield f"{name}: update and env_steps do not count up"
    if not np.isfinite(found).all():
        yield f"{name}: a figure is not finite"


def _evaluations_problems(
    files: RunFiles, manifest: Mapping[str, Any], saved: Saved
) -> Iterator[str]:
    rows = len(saved.evaluations)
    name = file_name(files, files.evaluations)
    yield from _same_table(files.evaluations, EVALUATIONS_COLUMNS, saved.evaluations, rows, name)


def _same_table(
    path: Path, columns: Sequence[str], true: np.ndarray, rows: int, name: str
) -> Generator[str, None, np.ndarray | None]:
    """Compare a table's first rows with the true ones; return it as an array if they agree."""
    table = read_table(path, tuple(columns))
    if path.read_bytes()[-1:] != b"\n":
        yield f"{name}: its last line is cut"
        return None
    if any(table[column].dtype.kind not in "if" for column in columns):
        yield f"{name}: a cell is not a number"
        return None
    found = np.column_stack([table[column].astype(np.float64) for column in columns])
    if len(found) != rows or rows < len(true):
        yield f"{name}: {len(found)} rows instead of {rows}"
        return None
    differ = np.argwhere(found[: len(true)] != true)
    if len(differ):
        row, column = differ[0]
        yield (
            f"{name}: row {row + 1}, {columns[column]} {found[row, column]:.17g} instead of "
            f"{true[row, column]:.17g}"
        )
        return None
    return found


def _digest_problems(
    files: RunFiles, manifest: Mapping[str, Any], problems: Sequence[str]
) -> Iterator[str]:
    """Name the files that are not the bytes the run wrote, unless it is said of them already."""
    for name, true in _recorded(manifest).items():
        path = files.out / name
        if any(name in problem for problem in problems):
            continue
        if not path.is_file():
            yield f"{name}: it is missing"
        elif _sha(path) != true:
            yield f"{name}: it differs from what the run wrote (SHA-256)"


def _recorded(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    recorded = manifest.get("evidence", {})
    return recorded if isinstance(recorded, dict) else {}


def _sha(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
