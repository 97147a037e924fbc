"""One number for all that a run or a ladder must reproduce.

Covered: parameters, optimizer state, normaliser, environment states, history (but for the
wall-clock columns), the run's own evaluations, policy, receipts and verdict. Not covered: times,
versions, paths, evaluations made later.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.store import checkpoints
from pathb_jax.store.artifacts import WALL_CLOCK_COLUMNS, read_evaluation_summary
from pathb_jax.store.json_files import encode_json, read_json
from pathb_jax.store.models import to_json
from pathb_jax.store.record import read_record
from pathb_jax.store.record_schema import RECORD, LadderRecord
from pathb_jax.store.run_files import RunFiles, evaluation_sets
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.store.tables import read_table

_CIRCUMSTANCES = ("wall_seconds", "env_steps_per_second", "trained")


def digest(folder: Path) -> dict[str, str]:
    """Return SHA-256 digests by part, and of all parts together under "all".

    Args:
        folder: a ladder's folder (with its record), or a run's.

    Raises:
        InputError: neither, or something in it is missing or broken.
        CheckpointError: the last checkpoint is damaged.
    """
    if (folder / RECORD).exists():
        parts = _ladder_parts(folder)
    elif manifests := sorted((folder / "manifests").glob("*.json")):
        parts = {}
        for manifest in manifests:
            run = run_parts(RunFiles(folder, manifest.stem))
            parts |= {f"{manifest.stem}: {part}": value for part, value in run.items()}
    else:
        allowed = f"it holds neither {RECORD} nor manifests/*.json; give a run's or ladder's folder"
        raise InputError("--digest", str(folder), allowed)
    return parts | {"all": _json_sha(parts)}


def run_parts(files: RunFiles) -> dict[str, str]:
    """Return the digests of one run's parts."""
    manifest = read_manifest(files)
    diverged = manifest.diverged and to_json(manifest.diverged)
    parts = {"status": _json_sha([manifest.status, diverged])}
    parts["history"] = _table_sha(files.history)
    parts["in-run evaluations"] = _table_sha(files.evaluations)
    starts = evaluation_sets(manifest.config.evaluation.eval_seed_start)
    for start in starts if manifest.status == "completed" else []:
        rows, path = files.own_set(start, first=start == starts[0])
        summary = read_evaluation_summary(path)
        del summary["checkpoint"]
        parts[rows.stem.removeprefix(f"{files.slug}_")] = _json_sha([summary, _table_sha(rows)])
    if files.policy.exists():
        parts["policy"] = _json_sha(read_json(files.policy, limit=2**30))
    if complete_steps(files.checkpoints):
        parts["last checkpoint"] = checkpoints.read_newest(
            files.checkpoints, _checkpoint_sha, field="--digest"
        )
    return parts


def _ladder_parts(folder: Path) -> dict[str, str]:
    record = read_record(folder / RECORD)
    parts = {"record": _json_sha(_lasting(record))}
    for _, entry in record.runs:
        files = RunFiles(folder / entry.run_dir, entry.slug)
        if files.manifest.exists():
            run = run_parts(files)
            parts |= {f"{files.out.name}: {part}": value for part, value in run.items()}
    return parts


def _lasting(record: LadderRecord) -> dict[str, Any]:
    """Return what of a record does not depend on when and where it was made."""
    plain = to_json(record)
    names = ("deviations", "standing", "verdict", "adopted", "predictions", "seed_overlap")
    kept: dict[str, Any] = {name: plain[name] for name in names}
    kept["protocol"] = record.protocol.sha256
    for name in ("candidates", "batch"):
        kept[name] = [_without_circumstances(entry) for entry in plain[name]]
    if "training_seeds" in plain:
        kept["training_seeds"] = plain["training_seeds"]
    return kept


def _without_circumstances(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: x for name, x in value.items() if name not in _CIRCUMSTANCES}
        return {name: _without_circumstances(x) for name, x in kept.items()}
    return [_without_circumstances(x) for x in value] if isinstance(value, list) else value


def _table_sha(path: Path) -> str:
    columns = read_table(path, ())
    kept = {name: x for name, x in columns.items() if name not in WALL_CLOCK_COLUMNS}
    return _json_sha({name: _exact(values) for name, values in kept.items()})


def _exact(values: np.ndarray) -> list[str]:
    return [repr(value) for value in values.tolist()]


def _checkpoint_sha(step_folder: Path) -> str:
    """Digest the arrays of a checkpoint but for its tables.

    The history has wall-clock columns, and evaluations stand in a part of their own.
    """
    sha = hashlib.sha256()
    for name, array in sorted(checkpoints.named_arrays(step_folder).items()):
        if array.size and name not in ("history", "evaluations"):
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _json_sha(value: Mapping[str, Any] | list[Any]) -> str:
    return hashlib.sha256(encode_json(value, sort_keys=True).encode()).hexdigest()
