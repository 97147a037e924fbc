"""Evaluating a checkpoint: on request, or a finished run's on further seed sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pathb_jax.config import TIERS, RunConfig
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult, evaluate_policy
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.runs import memory
from pathb_jax.runs.loading import Loaded, load, load_parent
from pathb_jax.runs.manifest import read_manifest, write_manifest
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.output import digests, write_set
from pathb_jax.store.lock import locked
from pathb_jax.store.models import to_json
from pathb_jax.store.run_files import RunFiles, evaluation_sets

EVALUATED = (
    ("task", None),
    ("train", "tier"),
    ("train", "sensor_tier"),
    ("hparams", "mixed_lambda"),
)
"""Group and setting (None: all of them) that a checkpoint's evaluation takes from its run."""


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write files of their own.

    They have the set's suffix, as the files of a training run's further sets have. Where a run of
    this name in the folder has such a set itself, `_only` stands before it: what a run evaluated
    at its end is never replaced.

    Returns:
        One summary per set.

    Raises:
        InputError: the checkpoint does not fit, is of another variant, lambda or reward than
            `config` says, or the folder is in use.
    """
    memory.check_evaluation(config.evaluation.eval_seeds, TIERS[config.train.tier].width)
    loaded = load_parent(config)
    _refuse_other_settings(config, loaded)
    files, env_steps = run_files(config), loaded.meta.env_steps
    with locked(files.out):
        own = _own_suffixed_sets(files)
        results = _play(config, loaded, config.evaluation.eval_seed_start)
        return [
            write_set(
                config,
                files.requested_set(result.seed_start)
                if result.seed_start in own
                else files.own_set(result.seed_start, first=False),
                result,
                str(loaded.path),
                env_steps,
            )
            for result in results
        ]


def _own_suffixed_sets(files: RunFiles) -> list[int]:
    if not files.manifest.exists():
        return []
    return evaluation_sets(read_manifest(files).config.evaluation.eval_seed_start)[1:]


def _refuse_other_settings(config: RunConfig, loaded: Loaded) -> None:
    saved, ours = to_json(loaded.meta.config), config.to_dict()
    for group, setting in EVALUATED:
        for name in ours[group] if setting is None else [setting]:
            theirs = saved[group].get(name, ours[group][name])
            if ours[group][name] != theirs:
                allowed = f"{loaded.path} was trained with {theirs!r}; leave it out"
                raise InputError(f"--{name.replace('_', '-')}", ours[group][name], allowed)


def evaluate_further(config: RunConfig, seed_starts: Sequence[int]) -> None:
    """Evaluate a finished run's last checkpoint on sets that it has not evaluated itself.

    Args:
        config: of the run, asking for these sets.
        seed_starts: as `outcome.missing_sets` returns them.

    Raises:
        InputError: the checkpoint is gone or damaged, or the folder is in use.
    """
    files = run_files(config)
    with locked(files.out):
        manifest = read_manifest(files)
        step = files.checkpoints / str(manifest.update)
        loaded = load(step, config.train, "--out")
        written: list[Path] = []
        for result in _play(config, loaded, seed_starts):
            where = files.further_set(result.seed_start, result.seeds)
            write_set(config, where, result, files.name(step), manifest.env_steps)
            written += where
        evidence = {**manifest.evidence, **digests(files, written)}
        write_manifest(files, manifest.model_copy(update={"evidence": evidence}))


def _play(config: RunConfig, loaded: Loaded, seed_starts: Sequence[int]) -> list[SetResult]:
    env = make_env(config.train)
    return evaluate_policy(
        config.train,
        env,
        task_params(config, env),
        loaded.state.params,
        loaded.state.normalizer,
        seed_starts,
        config.evaluation.eval_seeds,
    )
