"""What a protocol would adopt if its candidates were trained again: finished runs, resampled.

The runs of a candidate stand for what its training seeds give. A voting seed is one of them, drawn
with replacement; its evaluation sets of another size are drawn anew at the run's own success rates;
its training dynamics pass as often as those of the windows in the run's last third do. All chances
are exact sums for the runs given. How much they owe to these few runs is told by resampling the
runs themselves. SciPy takes long to import, so it is imported where it is used.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.judging.rates import JEFFREYS, Count, equivalent_pairs
from pathb_jax.judging.windows import windows
from pathb_jax.ladder.exact import decimal, successes_needed
from pathb_jax.ladder.stages import (
    EquivalenceStage,
    SeedShift,
    Stages,
    SuccessFloor,
    TrainingDynamics,
)

RESAMPLES = 2000
CONFIDENCE = 0.90
"""Of the percentile interval over resampled runs."""


class RunRates(NamedTuple):
    """A finished run, as far as its chances go."""

    counts: Mapping[int, Count]
    """First seed of a set -> successes and seeds; empty: the run diverged and passes nothing."""
    dynamics: float
    """Share of the windows in its last third that pass every stage on training dynamics."""
    hours: float


class Population(NamedTuple):
    """A candidate's runs, at least one."""

    name: str
    runs: Sequence[RunRates]
    holds: bool
    """Whether it is to be adopted, as `holds` says."""


class Chance(NamedTuple):
    """A probability for the runs given, and how far resampling these runs moves it."""

    value: float
    interval_90: tuple[float, float] | None
    """None: some candidate has one run only, of which nothing of training seeds can be told."""


class Cell(NamedTuple):
    """A whole protocol with so many voting training seeds and so many seeds a set."""

    training_seeds: int
    pass_at_least: int
    eval_seeds: int
    adopts_holding: Chance
    adopts_other: Chance
    rejects: Chance
    hours: float
    """Expected device hours: a candidate trains only if none before it was adopted."""
    most_hours: float
    """If all candidates train."""


def dynamics_share(history: Mapping[str, Any], stages: Stages) -> float:
    """Return the share of the windows in a run's last third that pass all training dynamics.

    Args:
        history: the columns entropy, log_std and value_loss.
        stages: the protocol's. Windows of several lengths are taken where they end together.

    Returns:
        1 where the protocol has no such stage; 0 where the run is shorter than a window.
    """
    rules = [stage for stage in stages if isinstance(stage, TrainingDynamics)]
    if not rules:
        return 1.0
    passed = [windows(history, rule).passed for rule in rules]
    common = min(map(len, passed))
    if not common:
        return 0.0
    return float(np.all([column[-common:] for column in passed], axis=0).mean())


def holds(runs: Sequence[RunRates], stages: Stages) -> bool:
    """Say whether a candidate is truly to be adopted, if its runs are all that it does.

    It is if its success rates, means over all runs, reach every floor and differ by no more than
    the stages on two sets allow. Exact. A run that diverged counts with rate 0. Training dynamics
    are no part of it: they are a sign of what is to be held, not the thing itself.
    """

    def rate(start: int) -> Fraction:
        counted = [Fraction(*run.counts[start]) if run.counts else Fraction(0) for run in runs]
        return sum(counted, Fraction(0)) / len(counted)

    first = rate(stages.success_floor.seed_start)
    for stage in stages:
        if isinstance(stage, SuccessFloor) and rate(stage.seed_start) < decimal(stage.threshold):
            return False
        if isinstance(stage, TrainingDynamics):
            continue
        apart = abs(rate(stage.seed_start) - first)
        if isinstance(stage, SeedShift) and apart > decimal(stage.difference_at_most):
            return False
        if isinstance(stage, EquivalenceStage) and apart >= decimal(stage.margin):
            return False
    return True


def votes_needed(training_seeds: int, rule: tuple[int, int]) -> int:
    """Return how many of so many voting seeds have to pass, by a rule stated for another number.

    A rule for several seeds keeps its share, rounded up; of one seed a majority is made.

    Args:
        training_seeds: how many vote.
        rule: (training seeds, pass at least) of the protocol.

    >>> [votes_needed(seeds, (5, 4)) for seeds in (1, 3, 5)]
    [1, 3, 4]
    >>> [votes_needed(seeds, (1, 1)) for seeds in (1, 3, 5)]
    [1, 2, 3]
    """
    seeds, needed = rule
    if seeds == 1:
        return training_seeds // 2 + 1
    return math.ceil(Fraction(needed, seeds) * training_seeds)


def passing_chance(run: RunRates, stages: Stages, seeds: int, *, uncertain: bool = False) -> float:
    """Return how often a run of this kind passes all stages on fresh sets of another size.

    Exact: the sum over the first set's successes of their probability times that of the other
    sets to be as far from them as allowed. The sets are independent given the run.

    Args:
        run: the run.
        stages: the protocol's.
        seeds: of each set.
        uncertain: take the run's true rates for known only as far as its own sets tell them
            (beta-binomial, Jeffreys' prior), not for the observed ones (binomial).
    """
    if not run.counts or not run.dynamics:
        return 0.0
    first = stages.success_floor.seed_start
    counts = np.arange(seeds + 1)
    chance = _fresh(run.counts[first], seeds, uncertain).pmf(counts) * _reaches(
        stages, first, seeds
    )
    for start in stages.seed_starts[1:]:
        others = _fresh(run.counts[start], seeds, uncertain).pmf(counts)
        chance = chance * (
            _allowed(stages, start, seeds) @ (others * _reaches(stages, start, seeds))
        )
    return run.dynamics * min(1.0, float(chance.sum()))


def power(
    populations: Sequence[Population],
    stages: Stages,
    rule: tuple[int, int],
    training_seeds: int,
    eval_seeds: int,
    *,
    uncertain: bool = False,
    seed: int = 0,
) -> Cell:
    """Return what a whole protocol would do: candidates in order, the first that passes adopted.

    Args:
        populations: the candidates in their order.
        stages: the protocol's.
        rule: (training seeds, pass at least) as the protocol has it; see `votes_needed`.
        training_seeds: that vote for each candidate.
        eval_seeds: seeds of each evaluation set.
        uncertain: as `passing_chance`.
        seed: of the resampling of runs.
    """
    needed = votes_needed(training_seeds, rule)
    generator = np.random.default_rng(seed)
    worlds = []
    for population in populations:
        chances = np.array(
            [
                passing_chance(run, stages, eval_seeds, uncertain=uncertain)
                for run in population.runs
            ]
        )
        drawn = chances[generator.integers(0, len(chances), (RESAMPLES, len(chances)))]
        # The first world is the runs as they are.
        worlds.append(np.concatenate([[chances.mean()], drawn.mean(axis=1)]))
    adopted = adoption(np.array(worlds), training_seeds, needed)
    reached = np.cumprod(np.vstack([np.ones(RESAMPLES + 1), 1 - adopted]), axis=0)
    held = np.array([population.holds for population in populations])[:, None]
    taken = reached[:-1] * adopted
    hours = [
        training_seeds * math.fsum(run.hours for run in p.runs) / len(p.runs) for p in populations
    ]
    told = all(len(population.runs) > 1 for population in populations)
    return Cell(
        training_seeds=training_seeds,
        pass_at_least=needed,
        eval_seeds=eval_seeds,
        adopts_holding=_chance((taken * held).sum(axis=0), told),
        adopts_other=_chance((taken * ~held).sum(axis=0), told),
        rejects=_chance(reached[-1], told),
        hours=float(np.dot(hours, reached[:-1, 0])),
        most_hours=math.fsum(hours),
    )


def adoption(passing: Any, training_seeds: int, needed: int) -> Any:
    """Return the chance that enough of the voting seeds pass: a binomial tail.

    Args:
        passing: chance of one voting seed to pass all stages, a number or an array.
        training_seeds: how many vote, each a draw of its own.
        needed: how many have to pass.
    """
    from scipy.stats import binom

    return binom.sf(needed - 1, training_seeds, passing)


def _chance(worlds: np.ndarray, told: bool) -> Chance:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(worlds[1:], [tail, 100 - tail])
    return Chance(float(worlds[0]), (float(low), float(high)) if told else None)


def _fresh(count: Count, seeds: int, uncertain: bool) -> Any:
    """Return the distribution of a fresh set's successes."""
    from scipy.stats import betabinom, binom

    successes, judged = count
    if uncertain:
        return betabinom(seeds, successes + JEFFREYS, judged - successes + JEFFREYS)
    return binom(seeds, successes / judged)


def _reaches(stages: Stages, start: int, seeds: int) -> np.ndarray:
    """Return which successes on a set reach its floors, `[seeds + 1]` bool."""
    floors = [s for s in stages if isinstance(s, SuccessFloor) and s.seed_start == start]
    needed = max((successes_needed(floor.threshold, seeds) for floor in floors), default=0)
    return np.arange(seeds + 1) >= needed


@functools.lru_cache(maxsize=32)
def _allowed(stages: Stages, start: int, seeds: int) -> np.ndarray:
    """Return which pairs of successes pass the stages on the first set and another.

    Returns:
        `[seeds + 1, seeds + 1]` bool, by the first set's successes and the other's.
    """
    counts = np.arange(seeds + 1)
    apart = counts[None, :] - counts[:, None]
    allowed = np.ones(apart.shape, bool)
    for stage in stages:
        if isinstance(stage, SeedShift) and stage.seed_start == start:
            allowed &= abs(apart) <= math.floor(decimal(stage.difference_at_most) * seeds)
        elif isinstance(stage, EquivalenceStage) and stage.seed_start == start:
            allowed &= equivalent_pairs(seeds, stage.margin, stage.alpha)
    return allowed
