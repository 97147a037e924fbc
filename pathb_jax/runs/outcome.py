"""A finished run, read back from the files it left."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.runs.identity import environment_changes
from pathb_jax.runs.manifest import Divergence, RunManifest, Status, read_manifest
from pathb_jax.store import artifacts
from pathb_jax.store.measures import RETURN
from pathb_jax.store.run_files import EvaluationFiles, RunFiles, evaluation_sets, slug

if TYPE_CHECKING:
    import pandas as pd


class SetFigures(NamedTuple):
    """How a run's last checkpoint did on one evaluation set."""

    seed_start: int
    seeds: int
    success_count: int
    success_rate: float
    mean_steps: float
    mean_terminal_alignment: float | None
    """Of the shadow field."""
    mean_return: float | None
    """Of any other environment."""


class RunOutcome(NamedTuple):
    """A finished run, as its files tell it."""

    status: Status
    """completed or diverged."""
    files: RunFiles
    env_steps: int
    train_seconds: float
    """Wall-clock seconds spent in training chunks, over all sessions of the run."""
    history: Mapping[str, np.ndarray]
    summaries: Mapping[int, Mapping[str, Any]]
    """Evaluation summary per first seed; empty for a diverged run."""
    evaluations: Mapping[str, np.ndarray]
    """Columns of the in-run evaluations, those of as many seeds per set as were asked for."""
    diverged: Divergence | None
    trained: bool
    """Whether this call trained at all (a finished run is only read)."""
    manifest: RunManifest
    """The run's manifest: what trained it, when and where."""
    evaluation_files: Mapping[int, EvaluationFiles] = MappingProxyType({})
    """Where the evaluations lie that `summaries` tells of."""

    @property
    def frame(self) -> "pd.DataFrame":
        """The history as a data frame, a row per update, indexed by it."""
        import pandas as pd  # takes long to import

        return pd.DataFrame(dict(self.history)).set_index("update")

    @property
    def evaluated(self) -> dict[int, SetFigures]:
        """The evaluations' figures by the first seed of each set, its own first."""
        names = SetFigures._fields
        return {
            start: SetFigures._make(summary.get(name) for name in names)
            for start, summary in self.summaries.items()
        }


def mean_returns(summaries: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Return the mean returns by the first seeds of sets, of those summaries that tell them."""
    return {start: s[RETURN.mean] for start, s in summaries.items() if RETURN.mean in s}


def run_files(config: RunConfig) -> RunFiles:
    """Where a validated configuration's files go."""
    output = config.output
    assert output.out is not None  # filled in by `validated`
    name = slug(config.name, config.train.tier, config.schedule.seed, output.run_label)
    return RunFiles(output.out, name)


def check_trained_here(
    config: RunConfig, outcome: RunOutcome, now: Mapping[str, Any] | None = None
) -> None:
    """Refuse a finished run as evidence beside runs of today, if another environment trained it.

    Args:
        config: the run's configuration.
        outcome: what it left.
        now: as `environment_changes`.

    Raises:
        InputError: it comes from another environment, and the configuration does not accept that.
    """
    if not outcome.trained:
        environment_changes(config, outcome.files, outcome.manifest, now)


def find_set(
    files: RunFiles, manifest: RunManifest, seed_start: int, seeds: int
) -> EvaluationFiles:
    """Where a finished run has, or would have, the evaluation of one set of so many seeds."""
    evaluation = manifest.config.evaluation
    own = evaluation_sets(evaluation.eval_seed_start)
    if seeds == evaluation.eval_seeds and seed_start in own:
        return files.own_set(seed_start, first=seed_start == own[0])
    return files.further_set(seed_start, seeds)


def missing_sets(config: RunConfig, manifest: RunManifest) -> list[int]:
    """First seeds of the sets that are asked for and that a finished run has not evaluated."""
    if manifest.diverged is not None:
        return []
    evaluation, files = config.evaluation, run_files(config)
    wanted = {
        start: find_set(files, manifest, start, evaluation.eval_seeds)
        for start in evaluation_sets(evaluation.eval_seed_start)
    }
    return [
        start
        for start, where in wanted.items()
        if where == files.further_set(start, evaluation.eval_seeds) and not where.summary.exists()
    ]


def read_outcome(config: RunConfig, trained: bool) -> RunOutcome:
    """Read a finished run back from its files, with the evaluations that are asked for.

    Raises:
        InputError: a file is missing or broken.
    """
    files = run_files(config)
    manifest = read_manifest(files)
    seeds = config.evaluation.eval_seeds
    sets = {
        start: find_set(files, manifest, start, seeds)
        for start in evaluation_sets(config.evaluation.eval_seed_start)
        if manifest.status == "completed"
    }
    in_run = artifacts.read_evaluations(files.evaluations)
    return RunOutcome(
        status=manifest.status,
        files=files,
        env_steps=manifest.env_steps,
        train_seconds=manifest.train_seconds,
        history=artifacts.read_history(files.history),
        summaries={
            start: artifacts.read_evaluation_summary(where.summary) for start, where in sets.items()
        },
        evaluations={name: column[in_run["seeds"] == seeds] for name, column in in_run.items()},
        diverged=manifest.diverged,
        trained=trained,
        manifest=manifest,
        evaluation_files=sets,
    )
