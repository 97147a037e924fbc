"""How sure a judgement is: what each stage might have said, in figures."""

from typing import NamedTuple

from pathb_jax.judging import paths, rates, windows
from pathb_jax.judging.runs import JudgedRun
from pathb_jax.ladder.protocol import Protocol


class Floor(NamedTuple):
    """Stage 1."""

    flips: float
    """Posterior-predictive probability that a fresh set of as many seeds says the opposite."""


class Dynamics(NamedTuple):
    """Stage 2, on every window that ends in the run's last third."""

    windows: int
    passed: float
    """Share of the windows that pass."""
    earlier: dict[int, bool | None]
    """Updates by which the window ends earlier -> whether it passes."""
    rises_as_much: float
    """Share of the windows whose log_std rises at least as much as the judged one's."""
    monotone: bool
    """Whether the judged window passes if log_std may not rise from any row to the next."""


class Shift(NamedTuple):
    """Stage 3, or the same on the third set, which does not vote."""

    seed_start: int
    flips: float
    """Posterior-predictive probability that fresh sets say the opposite."""
    fails_equal: float
    """How often it fails a policy that is equally good on both sets, at the pooled rate."""
    seeds_needed: int | None
    """Seeds a set, a power of two, at which that is at most 5 %; None: more than 16 384."""
    equivalence: rates.Equivalence
    """Two one-sided tests at 5 % within the stage's difference."""


class HowSure(NamedTuple):
    """Figures beside a judgement; none of them votes. None: there is nothing to tell it from."""

    floor: Floor | None
    dynamics: Dynamics | None
    shift: Shift | None
    shadow: Shift | None
    """Stage 3 with the third set in the place of its own, which lies inside the training starts."""
    along: paths.AlongTheRun | None


def how_sure(run: JudgedRun, protocol: Protocol) -> HowSure:
    """Say how sure the judgement of a run is.

    Args:
        run: as judged.
        protocol: what it was judged by.
    """
    stages = protocol.stages
    first = run.counts.get(stages.success_floor.seed_start)
    floor = None
    if first is not None:
        floor = Floor(rates.floor_flip(first, stages.success_floor.threshold))
    rule, third = stages.seed_shift, protocol.evaluation.third_seed_start
    shift = shadow = None
    if rule is not None:
        shift = _shift(first, run, rule.seed_start, rule.difference_at_most)
        if third is not None:
            shadow = _shift(first, run, third, rule.difference_at_most)
    return HowSure(
        floor,
        _dynamics(run, protocol),
        shift,
        shadow,
        paths.along_the_run(run.along.updates, run.along.counts, stages.success_floor.threshold),
    )


def _dynamics(run: JudgedRun, protocol: Protocol) -> Dynamics | None:
    rule = protocol.stages.training_dynamics
    if rule is None:
        return None
    found = windows.windows(run.history, rule)
    share, rises = windows.share_passed(found), windows.rank_of_rise(found)
    if share is None or rises is None:
        return None
    return Dynamics(
        len(found.ends), share, windows.earlier(found), rises, bool(found.passed_monotone[-1])
    )


def _shift(
    first: rates.Count | None, run: JudgedRun, seed_start: int, difference: float
) -> Shift | None:
    second = run.counts.get(seed_start)
    if first is None or second is None:
        return None
    pooled = (first[0] + second[0]) / (first[1] + second[1])
    return Shift(
        seed_start,
        rates.shift_flip(first, second, difference),
        rates.shift_error(min(first[1], second[1]), pooled, pooled, difference),
        rates.seeds_needed(pooled, difference),
        rates.equivalence(first, second, difference),
    )
