"""How sure a judgement is: what each stage might have said, in figures."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pathb_jax.judging import paths, rates, windows
from pathb_jax.judging.runs import Evaluations
from pathb_jax.ladder.acceptance import History
from pathb_jax.ladder.equivalence import Equivalence, equivalence
from pathb_jax.ladder.exact import within
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.stages import EquivalenceStage, ReturnFloor


class Floor(NamedTuple):
    """Stage 1."""

    flips: float
    """Posterior-predictive probability that a fresh set of as many seeds says the opposite."""


class Dynamics(NamedTuple):
    """Stage 2, on every window that ends in the run's last third."""

    windows: int
    passed: int
    """Of them, how many pass."""
    each: dict[str, int]
    """entropy, log_std_rise, value_loss_max -> of them, how many this figure alone lets pass."""
    earlier: dict[int, bool | None]
    """Updates by which the window ends earlier -> whether it passes."""
    rises_as_much: float
    """Share of the windows whose log_std rises at least as much as the judged one's."""
    monotone: bool
    """Whether the judged window passes if log_std may not rise from any row to the next."""


class Shift(NamedTuple):
    """Stage 3, or the same on the third set, which does not vote."""

    seed_start: int
    passed: bool
    flips: float
    """Posterior-predictive probability that fresh sets say the opposite."""
    fails_equal: float
    """How often it fails a policy that is equally good on both sets, at the pooled rate."""
    seeds_needed: int | None
    """Seeds a set, a power of two, at which that is at most 5 %; None: more than 16 384."""
    equivalence: Equivalence
    """Two one-sided tests at 5 % within the stage's difference."""


class Same(NamedTuple):
    """An equivalence stage."""

    seed_start: int
    flips: float
    """Posterior-predictive probability that fresh sets say the opposite."""
    fails_equal: float
    """How often it fails a policy that is equally good on both sets, at the pooled rate."""


class Return(NamedTuple):
    """A stage on the mean return."""

    flips: float
    """Predictive probability that the mean of fresh seeds, as many, says the opposite."""
    interval: tuple[float, float]
    """Student's 95 % interval of the mean."""


class HowSure(NamedTuple):
    """Figures beside a judgement; none of them votes. None: there is nothing to tell it from."""

    floor: Floor | None
    dynamics: Dynamics | None
    shift: Shift | None
    shadow: Shift | None
    """Stage 3 with the third set in the place of its own, which lies inside the training starts."""
    along: paths.AlongTheRun | None
    returns: Mapping[int, Return] = {}
    """Of each stage on the mean return, by its number."""
    equivalences: Mapping[int, Same] = {}
    """Of each equivalence stage, by its number."""


def how_sure(
    protocol: Protocol,
    counts: Mapping[int, rates.Count],
    history: History,
    along: Evaluations,
    returns: Mapping[int, np.ndarray] | None = None,
) -> HowSure:
    """Say how sure the judgement of a run is.

    Args:
        protocol: what it was judged by.
        counts: first seed of a set -> successes and seeds.
        history: its columns; without them nothing is said of stage 2.
        along: in-run evaluations on stage 1's set.
        returns: first seed of a set -> the return of each of its episodes.
    """
    stages = protocol.stages
    first = counts.get(stages.success_floor.seed_start)
    floor = None
    if first is not None:
        floor = Floor(rates.floor_flip(first, stages.success_floor.threshold))
    rule, third = stages.seed_shift, protocol.evaluation.third_seed_start
    shift = shadow = None
    if rule is not None:
        shift = _shift(first, counts, rule.seed_start, rule.difference_at_most)
        if third is not None:
            shadow = _shift(first, counts, third, rule.difference_at_most)
    return HowSure(
        floor,
        _dynamics(history, protocol),
        shift,
        shadow,
        paths.along_the_run(along.updates, along.counts, stages.success_floor.threshold),
        _returns(protocol, returns or {}),
        _equivalences(protocol, first, counts),
    )


def _returns(protocol: Protocol, returns: Mapping[int, np.ndarray]) -> dict[int, Return]:
    found = {}
    for number, stage in enumerate(protocol.stages, start=1):
        values = returns.get(stage.seed_start) if isinstance(stage, ReturnFloor) else None
        if isinstance(stage, ReturnFloor) and values is not None and len(values) > 1:
            flips = rates.mean_flip(values, stage.threshold)
            found[number] = Return(flips, rates.mean_interval(values))
    return found


def _equivalences(
    protocol: Protocol, first: rates.Count | None, counts: Mapping[int, rates.Count]
) -> dict[int, Same]:
    """Say it of sets of one size."""
    found = {}
    for number, stage in enumerate(protocol.stages, start=1):
        if not isinstance(stage, EquivalenceStage) or first is None:
            continue
        second = counts.get(stage.seed_start)
        if second is not None and second[1] == first[1]:
            pooled = (first[0] + second[0]) / (first[1] + second[1])
            found[number] = Same(
                stage.seed_start,
                rates.equivalence_flip(first, second, stage.margin, stage.alpha),
                rates.equivalence_error(first[1], pooled, stage.margin, stage.alpha),
            )
    return found


def _dynamics(history: History, protocol: Protocol) -> Dynamics | None:
    rule = protocol.stages.training_dynamics
    if rule is None or not history:
        return None
    found = windows.windows(history, rule)
    rises = windows.rank_of_rise(found)
    if rises is None:
        return None
    return Dynamics(
        windows=len(found.ends),
        passed=int(found.passed.sum()),
        each=windows.passed_each(found, rule),
        earlier=windows.earlier(found),
        rises_as_much=rises,
        monotone=bool(found.passed_monotone[-1]),
    )


def _shift(
    first: rates.Count | None,
    counts: Mapping[int, rates.Count],
    seed_start: int,
    difference: float,
) -> Shift | None:
    second = counts.get(seed_start)
    if first is None or second is None:
        return None
    pooled = (first[0] + second[0]) / (first[1] + second[1])
    return Shift(
        seed_start,
        within(first, second, difference),
        rates.shift_flip(first, second, difference),
        rates.shift_error(min(first[1], second[1]), pooled, pooled, difference),
        rates.seeds_needed(pooled, difference),
        equivalence(first, second, difference),
    )
