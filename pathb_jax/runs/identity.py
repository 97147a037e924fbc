"""Whether what lies in a folder is the same run, trained in the same environment."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.learn.task import env_config
from pathb_jax.runs.manifest import (
    CheckpointMeta,
    RecordedConfig,
    RunManifest,
    read_manifest,
    recorded,
)
from pathb_jax.store import checkpoints
from pathb_jax.store.checkpoints import CheckpointError
from pathb_jax.store.lock import locked_with_all_below
from pathb_jax.store.models import parse, to_json
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.step_folders import SAVING, complete_steps
from pathb_jax.system import provenance

NEUTRAL = (
    ("evaluation", "eval_seed_start"),
    ("evaluation", "eval_seeds"),
    ("evaluation", "eval_every"),
    ("evaluation", "eval_at"),
    ("evaluation", "success_floor"),
    ("output", "keep_every"),
    ("output", "progress"),
    ("output", "backend"),
    ("output", "deterministic"),  # stands in the XLA flags, which the manifest compares
    ("output", "fresh"),
    ("output", "accept_environment_change"),
    ("output", "out"),  # a folder may be moved, or reached by another path
)
"""Settings that may differ between a run and its resumption: they do not touch training.

A finished run that lacks evaluations which are asked for is evaluated, not refused."""


def config_differences(old: RecordedConfig, new: RecordedConfig) -> list[str]:
    """List settings that differ, as "group.name: old -> new"; neutral ones are left out.

    What only `old` has is another program's, and is left out too.
    """
    theirs, ours = to_json(old), to_json(new)
    return [
        f"{group}.{name}: {theirs[group].get(name)!r} -> {value!r}"
        for group in RecordedConfig.model_fields
        for name, value in ours[group].items()
        if theirs[group].get(name) != value and (group, name) not in NEUTRAL
    ]


def find_manifest(config: RunConfig, files: RunFiles) -> RunManifest | None:
    """Manifest of this same run if the folder holds one already.

    Raises:
        InputError: the folder holds another run of the same name, or its checkpoints alone, or the
            manifest is broken.
    """
    if not files.manifest.exists():
        _refuse_orphans(config, files)
        return None
    manifest = read_manifest(files)
    differences = config_differences(manifest.config, recorded(config))
    if config.train.env is not None:  # whose program may have changed
        now, then = env_config(config), manifest.env_config
        differences += [
            f"{name}: {then.get(name)!r} -> {value!r}"
            for name, value in now.items()
            if then.get(name) != value
        ]
    if differences:
        raise _another_run(files, f"run {files.slug} with other settings", differences)
    return manifest


def _refuse_orphans(config: RunConfig, files: RunFiles) -> None:
    """Raise InputError if there are checkpoints without the manifest of their run.

    Nothing says where they were trained; a new run of this name would go on from them after its
    first stop, whatever they are.
    """
    # A half-written one never was a checkpoint: a removed folder's writer may leave it.
    if all(path.suffix == SAVING for path in files.checkpoints.glob("[0-9]*")):
        return
    differences = []
    try:
        newest = files.checkpoints / str(complete_steps(files.checkpoints)[-1])
        meta = parse(CheckpointMeta, checkpoints.read_meta(newest), f"{newest}: ")
        differences = config_differences(meta.config, recorded(config))
    except (CheckpointError, InputError, LookupError):
        pass  # none of them can be read
    raise _another_run(
        files, f"checkpoints of a run {files.slug} without its manifest", differences
    )


def _another_run(files: RunFiles, what: str, differences: Sequence[str]) -> InputError:
    details = f" ({'; '.join(differences)})" if differences else ""
    allowed = f"it holds {what}{details}; choose another --out or --run-label, or --fresh"
    return InputError("--out", str(files.out), allowed)


def environment_changes(
    config: RunConfig,
    files: RunFiles,
    manifest: RunManifest,
    now: Mapping[str, Any] | None = None,
) -> list[str]:
    """List what changed about code, versions and devices since the run was last at work.

    Args:
        config: the run's configuration.
        files: its files.
        manifest: its manifest.
        now: what to compare with; None: this process's environment.

    Raises:
        InputError: something changed, and the configuration does not accept that.
    """
    changes = provenance.environment_differences(
        manifest.environment, now or provenance.environment()
    )
    if changes and not config.output.accept_environment_change:
        raise InputError(
            "--out",
            str(files.out),
            f"run {files.slug} began in another environment ({'; '.join(changes)}), where its "
            "bits may differ; restore that, or give --accept-environment-change or another --out",
        )
    return changes


def set_aside(folder: Path) -> Path | None:
    """Move a folder's content out of the way; return where it lies now, None if there was none.

    Raises:
        InputError: the folder or one below it is in use, or it is given without its own name.
    """
    if folder.name in ("", ".."):
        allowed = "--fresh renames the folder: give it by its own name"
        raise InputError("--out", str(folder), allowed)
    if not folder.exists() or not any(folder.iterdir()):
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}.superseded-{number}")).exists():
        number += 1
    # Windows renames no folder that holds an open file, be it ours: which guards it as well.
    early = os.name != "nt"
    with locked_with_all_below(folder):
        if early:
            folder.rename(target)
    if not early:
        folder.rename(target)
    return target
