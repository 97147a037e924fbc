"""Forks: a run gone on with from one of its states, many times for each of some changes.

All forks begin from the same exact state. What differs between two of one change is the noise from
there on, and the same noises are drawn for every change: what a change does is told apart from what
noise does, in pairs.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pathb_jax.config import OutputConfig, ParallelRuns, RunConfig
from pathb_jax.judging.rates import paired
from pathb_jax.ladder.exact import successes_needed
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.store import artifacts
from pathb_jax.store.run_files import files_of_run
from pathb_jax.studies.fork_plans import Change, Floor, ForkStudy, change_name, fork_configs

if TYPE_CHECKING:
    from pathb_jax.runs.outcome import RunOutcome


class Fork(NamedTuple):
    """One fork's end."""

    seed: int
    folder: str
    successes: int | None
    """On the judged set; None: it diverged."""
    above: bool
    """Whether the success rate reaches the floor; a fork that diverged does not."""
    diverged: str | None


class Against(NamedTuple):
    """A change beside none, fork by fork of the same noise."""

    only_change: int
    """Noises with which the change alone ends above the floor."""
    only_none: int
    p_value: float
    """Of McNemar's exact test that neither ends above the floor more often, two-sided."""
    mean_p_value: float
    """Of a sign-flip test that the mean success rates do not differ, two-sided."""


class ChangeResult(NamedTuple):
    """All forks of one change."""

    name: str
    change: Change
    forks: list[Fork]
    above: int
    interval_95: tuple[float, float]
    """Clopper-Pearson, of the chance to end above the floor."""
    mean_success: float
    """Mean success rate; a fork that diverged counts as 0."""
    against_none: Against | None
    """None for none itself."""


class Forks(NamedTuple):
    """What a fork study says."""

    run: str
    at: int
    updates: int
    eval_seeds: int
    floor: Floor
    parent_at: tuple[int, float] | None
    """The parent's last evaluation up to the fork: update and success rate on the judged set."""
    parent_end: tuple[int, float] | None
    """Its last one of all, with its own noise."""
    changes: list[ChangeResult]


def train_forks(
    study: ForkStudy,
    changes: Sequence[Change],
    output: OutputConfig,
    observer: Any,
    parallel_runs: ParallelRuns = "auto",
    runs_per_device: int = 1,
) -> Forks:
    """Train what is not there yet of all forks, side by side, and say what they did.

    Args:
        study: what they share.
        changes: what is tried; no change is added.
        output: backend and the like of every fork.
        observer: is told of progress.
        parallel_runs: as `side_by_side.train_all`.
        runs_per_device: likewise.

    Raises:
        InputError: as `fork_configs`; a fork that is there comes from another environment, and that
            is not accepted.
        StopRequested: all forks are saved.
    """
    from pathb_jax.runs import side_by_side
    from pathb_jax.runs.outcome import check_trained_here

    planned = fork_configs(study, changes, output)
    configs = [config for _, forks in planned for config in forks]
    outcomes: dict[int, RunOutcome] = {}
    for ended in side_by_side.train_all(configs, observer, parallel_runs, runs_per_device):
        check_trained_here(configs[ended.position], ended.outcome)
        outcomes[ended.position] = ended.outcome
    ends = (_fork(study, configs[k], outcomes[k]) for k in range(len(configs)))
    groups = [(change, [next(ends) for _ in forks]) for change, forks in planned]
    return _forks(study, groups)


def _fork(study: ForkStudy, config: RunConfig, outcome: "RunOutcome") -> Fork:
    folder, seed = str(config.output.out), config.schedule.seed
    if outcome.diverged is not None:
        return Fork(seed, folder, None, False, outcome.diverged.text)
    successes = outcome.summaries[study.floor.seed_sets[0]]["success_count"]
    needed = successes_needed(study.floor.threshold, study.eval_seeds)
    return Fork(seed, folder, successes, successes >= needed, None)


def _forks(study: ForkStudy, groups: Sequence[tuple[Change, list[Fork]]]) -> Forks:
    reference = groups[0][1]
    results = []
    for change, forks in groups:
        above = [fork.above for fork in forks]
        against = None if not change else _against(forks, reference)
        results.append(
            ChangeResult(
                name=change_name(change),
                change=change,
                forks=forks,
                above=sum(above),
                interval_95=clopper_pearson(sum(above), len(forks)),
                mean_success=sum(map(_successes, forks)) / study.eval_seeds / len(forks),
                against_none=against,
            )
        )
    evaluations = list(_parent_evaluations(study))
    before = [item for item in evaluations if item[0] <= study.at]
    return Forks(
        run=str(study.run),
        at=study.at,
        updates=study.updates,
        eval_seeds=study.eval_seeds,
        floor=study.floor,
        parent_at=before[-1] if before else None,
        parent_end=evaluations[-1] if evaluations else None,
        changes=results,
    )


def _against(forks: Sequence[Fork], reference: Sequence[Fork]) -> Against:
    pair = paired([fork.above for fork in forks], [fork.above for fork in reference])
    more = [_successes(a) - _successes(b) for a, b in zip(forks, reference, strict=True)]
    return Against(pair.only_first, pair.only_second, pair.p_value, sign_flip_p(more))


def _successes(fork: Fork) -> int:
    return fork.successes or 0


def sign_flip_p(differences: Sequence[int]) -> float:
    """Return the two-sided p-value of a mean difference, by flipping the signs of the pairs.

    Exact up to 16 pairs, beyond by 65 535 random flips (SciPy's `permutation_test`).

    >>> sign_flip_p([1, 2, 3])  # of 8 flips two are as far from 0
    0.25
    """
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(differences, float),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**16 - 1 if len(differences) > 16 else 2**16,
        batch=1024,
        rng=np.random.default_rng(0),
    )
    return min(1.0, float(found.pvalue))


def _parent_evaluations(study: ForkStudy) -> Iterator[tuple[int, float]]:
    """Yield update and success rate of the parent's evaluations on the judged set."""
    files = files_of_run(study.run, "RUN")
    rows = artifacts.read_evaluations(files.evaluations)
    for update, start, rate in zip(
        rows["update"], rows["seed_start"], rows["success_rate"], strict=True
    ):
        if start == study.floor.seed_sets[0]:
            yield int(update), float(rate)
