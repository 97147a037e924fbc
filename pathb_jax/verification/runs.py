"""One run's files against its last checkpoint, its policy and each other."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.errors import CheckpointError
from pathb_jax.runs.tables import saved_tables
from pathb_jax.store import checkpoints
from pathb_jax.store.measures import measure_of
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.verification.findings import Findings
from pathb_jax.verification.histories import (
    Evaluations,
    History,
    check_history,
    compare_evaluations,
    compare_history,
    evaluations_of,
    seconds_of,
)
from pathb_jax.verification.policies import check_policy
from pathb_jax.verification.raw_files import UnreadableError, json_of
from pathb_jax.verification.rules import Facts
from pathb_jax.verification.sets import MEANS, SetFacts, check_set
from pathb_jax.verification.told_run import ToldRun

OWN_SETS = (20000, 30000)
"""Sets that every run evaluates beside those it was told to."""
TRAINED = ("task", "train", "hparams", "schedule")
"""Groups of settings that a checkpoint and the manifest have to agree in."""


class RunEvidence(NamedTuple):
    """A finished run: its manifest, and what its raw files say."""

    manifest: Mapping[str, Any]
    facts: Facts
    seconds: float
    env_steps: int
    evaluations: Evaluations
    """Rows of the in-run evaluations."""


def check_run(
    files: RunFiles, findings: Findings, replay: bool, wanted: tuple[list[int], int] | None = None
) -> RunEvidence | None:
    """Check one run's files.

    Args:
        files: the run's.
        findings: takes what is found.
        replay: whether to play its policy too.
        wanted: first seeds of the sets that facts are wanted of, and how many seeds each has; None:
            those that the run was told to evaluate.

    Returns:
        What the run says; None if it is not over, or too broken to say.
    """
    try:
        manifest = json_of(files.manifest)
        if manifest["status"] not in ("completed", "diverged"):
            return None
        return _check(ToldRun(files, manifest, findings), replay, wanted)
    except UnreadableError as error:
        findings.problem(f"{files.out.name}/{error.where}", error.what)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        findings.problem(f"{files.out.name}/{files.manifest.name}", f"cannot be followed ({what})")
    return None


def _check(run: ToldRun, replay: bool, wanted: tuple[list[int], int] | None) -> RunEvidence:
    manifest = run.manifest
    run.findings.same(run.at(run.files.manifest, "slug"), manifest["slug"], run.files.slug)
    history = check_history(run)
    evaluations = evaluations_of(run)
    arrays = _check_checkpoint(run, history, evaluations)
    sets: list[SetFacts] = []
    if run.completed:
        policy = check_policy(run, arrays)
        sets = _check_sets(run, policy if replay else None, evaluations)
    _check_digests(run)
    own = run.config["evaluation"]
    starts, seeds = wanted or (own["eval_seed_start"], own["eval_seeds"])
    wanted_sets = {s.start: s for s in sets if s.seeds == seeds and s.start in [*starts, *OWN_SETS]}
    return RunEvidence(
        manifest,
        _facts(run, history, evaluations, wanted_sets, seeds),
        seconds_of(history),
        len(history["update"]) * run.batch_size,
        evaluations,
    )


def _check_checkpoint(
    run: ToldRun, history: History, evaluations: Evaluations
) -> Mapping[str, np.ndarray] | None:
    """Compare history, evaluations and settings with the last checkpoint; return its arrays."""
    folder, findings = run.files.checkpoints, run.findings
    steps = complete_steps(folder) if folder.is_dir() else []
    if not steps:
        # one that diverged early never saved
        findings.hold(run.at(folder), not run.completed, "there is no checkpoint to compare with")
        return None
    step = folder / str(steps[-1])
    where = run.at(step)
    try:
        arrays = checkpoints.named_arrays(step, checkpoints.read_leaves(step))
        meta = checkpoints.read_meta(step)
        saved_history, saved_evaluations = saved_tables(meta, arrays)
    except (CheckpointError, LookupError, TypeError, ValueError) as error:
        findings.problem(where, str(error))
        return None
    if run.completed:
        findings.same(f"{where}: update", meta["update"], run.manifest["update"])
    for group in TRAINED:
        where_group = run.at(run.files.manifest, f"config.{group}")
        findings.same(where_group, run.config[group], meta["config"][group])
    compare_history(run, history, saved_history)
    compare_evaluations(run, evaluations, saved_evaluations)
    return arrays


def _check_sets(
    run: ToldRun, policy: Mapping[str, Any] | None, evaluations: Evaluations
) -> list[SetFacts]:
    """Check the sets that the run evaluated, and those evaluated when it was taken up."""
    manifest, evaluation = run.manifest, run.config["evaluation"]
    about = {
        "checkpoint": f"checkpoints/{run.files.slug}/{manifest['update']}",
        "sensor_tier": run.tier,
        "env_config": manifest["env_config"],
        "env_steps": manifest["env_steps"],
    }
    sets: list[SetFacts] = []
    starts = evaluation["eval_seed_start"]
    for start in [*starts, *(start for start in OWN_SETS if start not in starts)]:
        path = run.files.evaluation_csv(start, start == starts[0])
        sets.append(check_set(path, start, evaluation["eval_seeds"], about, policy, run.findings))
        _check_last_evaluation(run, sets[-1], evaluations)
    stem = f"{run.files.slug}_evaluation_seed_"
    for path in sorted(run.files.history.parent.glob(f"{stem}*_seeds_*.csv")):
        if further := re.fullmatch(r"(\d+)_seeds_(\d+)", path.stem.removeprefix(stem)):
            start, seeds = int(further[1]), int(further[2])
            sets.append(check_set(path, start, seeds, about, policy, run.findings))
    return sets


def _check_last_evaluation(run: ToldRun, facts: SetFacts, evaluations: Evaluations) -> None:
    """Compare the in-run evaluation at the end with the rows that were written after it."""
    end = {name: run.manifest[name] for name in ("update", "env_steps")}
    last = [
        row
        for row in evaluations
        if (row["update"], row["seed_start"]) == (end["update"], facts.start)
    ]
    where = run.at(run.files.evaluations, f"the last of set {facts.start}")
    run.findings.same(where, last, [{**end, **facts.figures}], MEANS)


def _check_digests(run: ToldRun) -> None:
    """Compare the files with the SHA-256 that the manifest has of them, if it has."""
    for name, recorded in run.manifest.get("evidence", {}).items():
        path = run.files.out / name
        where = f"{run.files.out.name}/{Path(name).name}"
        if not path.is_file():
            run.findings.problem(where, "it is missing")
            continue
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        run.findings.same(f"{where}: sha256", sha256, recorded)


def _facts(
    run: ToldRun,
    history: History,
    evaluations: Evaluations,
    sets: Mapping[int, SetFacts],
    seeds: int,
) -> Facts:
    """Return what the stages look at; `sets` by their first seeds, each of `seeds`."""
    diverged, text = run.manifest["diverged"], None
    if not run.completed:
        text = f"{diverged['quantity']} not finite at update {diverged['update']}"
    updates = run.config["schedule"]["updates"]
    half = run.manifest["first_update"] + updates // 2
    measured = measure_of(run.env).mean
    means = {start: facts.mean for start, facts in sets.items()}
    return Facts(
        counts={start: (s.successes, s.seeds) for start, s in sets.items()},
        alignments=means if measured == "mean_terminal_alignment" else {},
        returns=means if measured == "mean_return" else {},
        mean_steps={start: s.steps for start, s in sets.items()},
        history=history,
        updates=updates,
        half_alignments={
            int(row["seed_start"]): row["mean_terminal_alignment"]
            for row in reversed(evaluations)
            if (row["update"], row["seeds"]) == (half, seeds) and run.env is None
        },
        diverged=text,
    )


def own_runs(folder: Path) -> list[RunFiles]:
    """Return the runs of a run's folder, by their manifests."""
    return [RunFiles(folder, path.stem) for path in sorted(folder.glob("manifests/*.json"))]
