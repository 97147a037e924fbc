"""The acceptance stages: numbers in, receipts out.

Rules: docs/spec/ladder.md, "The three stages". No number that decides is in this file: all come
from the protocol.
"""

import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeGuard

import numpy as np

from pathb_jax.ladder.equivalence import equivalence
from pathb_jax.ladder.exact import decimal, difference, finite, largest, successes_needed, within
from pathb_jax.ladder.stages import (
    EquivalenceStage,
    ReturnFloor,
    SeedShift,
    Stage,
    Stages,
    SuccessFloor,
    TrainingDynamics,
)
from pathb_jax.store.run_records import StageRecord

History = Mapping[str, Sequence[float] | np.ndarray]
"""Column name -> one number per update, oldest first."""


def judge(
    stages: Stages,
    success_counts: Mapping[int, tuple[int, int]],
    history: History,
    *,
    mean_returns: Mapping[int, float] | None = None,
    diverged: str = "",
) -> list[StageRecord]:
    """Judge one candidate's final checkpoint and history.

    Args:
        stages: the protocol's thresholds and seed sets.
        success_counts: first seed of a set -> (successes, seeds).
        history: the columns entropy, log_std and value_loss; missing ones fail training dynamics.
        mean_returns: first seed of a set -> mean return, of an environment that tells it.
        diverged: why the run diverged, or empty. A diverged run fails stage 1.

    Returns:
        One receipt per stage, in order. After the first failure the others have `passed` None;
        their figures are recorded all the same where they exist.
    """
    receipts: list[StageRecord] = []
    failed = ""
    for number, stage in enumerate(stages, start=1):
        figures, reasons = _judge_one(
            stage, stages.success_floor, success_counts, mean_returns or {}, history
        )
        if diverged and number == 1:
            reasons = [f"diverged: {diverged}"]
        if failed:
            passed, reasons = None, [f"not judged: {failed} failed"]
        else:
            passed, failed = not reasons, stage.kind if reasons else ""
        receipt = StageRecord.model_construct(  # checked where it is written
            stage=number, name=stage.kind, passed=passed, figures=figures, reasons=reasons
        )
        receipts.append(receipt)
    return receipts


def passed_all(receipts: Sequence[StageRecord]) -> bool:
    """Say whether every stage passed, which adopts the candidate."""
    return all(receipt.passed is True for receipt in receipts)


def cleared(runs: Sequence[Sequence[StageRecord]], at_least: int) -> list[bool | None]:
    """Say which stages a candidate clears with the training seeds that vote.

    Args:
        runs: the receipts of each voting seed's run.
        at_least: how many of them have to pass a stage and all before it.

    Returns:
        One entry per stage; None after the first that it does not clear.
    """
    said: list[bool | None] = []
    for upto in range(1, len(runs[0]) + 1):
        passes = sum(passed_all(receipts[:upto]) for receipts in runs)
        said.append(None if said and said[-1] is not True else passes >= at_least)
    return said


def tail(history: History, column: str, rows: int) -> list[float]:
    """Return the last `rows` numbers of a column; fewer, or none, where it has no more."""
    return [float(value) for value in history.get(column, ())[-rows:]]


_Outcome = tuple[dict[str, float | None], list[str]]
_Count = tuple[int, int] | None


def _judge_one(
    stage: Stage,
    floor: SuccessFloor,
    counts: Mapping[int, tuple[int, int]],
    mean_returns: Mapping[int, float],
    history: History,
) -> _Outcome:
    """Return a stage's figures and why it fails, if it does."""
    if isinstance(stage, TrainingDynamics):
        return _training_dynamics(stage, history)
    if isinstance(stage, SuccessFloor):
        return _success_floor(stage, counts.get(stage.seed_start))
    if isinstance(stage, ReturnFloor):
        return _return_floor(stage, mean_returns.get(stage.seed_start))
    first, second = counts.get(floor.seed_start), counts.get(stage.seed_start)
    figures: dict[str, float | None] = {
        f"success_{floor.seed_start}": rate(first),
        f"success_{stage.seed_start}": rate(second),
    }
    if isinstance(stage, SeedShift):
        compared, reasons = _seed_shift(stage, first, second)
    else:
        compared, reasons = _equivalence(stage, first, second)
    starts = (floor.seed_start, first), (stage.seed_start, second)
    missing = [_no_evaluation(start, count) for start, count in starts if not is_count(count)]
    return {**figures, **compared}, [*missing, *reasons]


def _success_floor(rule: SuccessFloor, count: _Count) -> _Outcome:
    figures = {**_count_figures(count), "threshold": rule.threshold}
    reasons = []
    if not is_count(count):
        reasons.append(_no_evaluation(rule.seed_start, count))
    elif count[0] < successes_needed(rule.threshold, count[1]):
        reasons.append(_compared(count[0] / count[1], "<", rule.threshold))
    return figures, reasons


def _return_floor(rule: ReturnFloor, mean: float | None) -> _Outcome:
    figures: dict[str, float | None] = {"mean_return": finite(mean), "threshold": rule.threshold}
    reasons = []
    if figures["mean_return"] is None:
        reasons.append(f"no mean return on the seeds from {rule.seed_start}")
    elif decimal(figures["mean_return"]) < decimal(rule.threshold):
        reasons.append(_compared(figures["mean_return"], "<", rule.threshold))
    return figures, reasons


def _training_dynamics(rule: TrainingDynamics, history: History) -> _Outcome:
    entropy = tail(history, "entropy", rule.window)
    log_std = tail(history, "log_std", rule.window)
    value_loss = tail(history, "value_loss", rule.window)
    rows = min(len(entropy), len(log_std), len(value_loss))
    figures = {
        "rows": rows,
        "entropy": finite(entropy[-1]) if entropy else None,
        "entropy_below": rule.entropy_below,
        "log_std": finite(log_std[-1]) if log_std else None,
        "log_std_rise": difference(log_std[-1], log_std[0]) if log_std else None,
        "log_std_rise_at_most": rule.log_std_rise_at_most,
        "value_loss_max": largest(value_loss),
        "value_loss_at_most": rule.value_loss_at_most,
    }
    reasons: list[str] = []
    if rows < rule.window:
        reasons.append(f"{rows} history rows, {rule.window} needed")
    limits = {
        "entropy": (">=", rule.entropy_below),
        "log_std_rise": (">", rule.log_std_rise_at_most),
        "value_loss_max": (">", rule.value_loss_at_most),
    }
    for name, (sign, limit) in limits.items():
        value = figures[name]
        if value is None:
            reasons.append(f"{name} is missing or not finite")
        elif value > limit or (sign == ">=" and value == limit):
            reasons.append(f"{name} {_compared(value, sign, limit)}")
    return figures, reasons


def _seed_shift(rule: SeedShift, first: _Count, second: _Count) -> _Outcome:
    figures: dict[str, float | None] = {"difference": None, "threshold": rule.difference_at_most}
    reasons = []
    if is_count(first) and is_count(second):
        distance = float(abs(Fraction(*second) - Fraction(*first)))
        figures["difference"] = distance
        if not within(first, second, rule.difference_at_most):
            reasons.append(_compared(distance, ">", rule.difference_at_most))
    return figures, reasons


def _equivalence(rule: EquivalenceStage, first: _Count, second: _Count) -> _Outcome:
    figures: dict[str, float | None] = {
        **dict.fromkeys(("difference", "interval_low", "interval_high")),
        "margin": rule.margin,
        "alpha": rule.alpha,
    }
    reasons = []
    if is_count(first) and is_count(second):
        found = equivalence(first, second, rule.margin, rule.alpha)
        low, high = found.interval
        figures |= {"difference": found.difference, "interval_low": low, "interval_high": high}
        if low <= -rule.margin:
            reasons.append(f"interval_low {_compared(low, '<=', -rule.margin)}")
        if high >= rule.margin:
            reasons.append(f"interval_high {_compared(high, '>=', rule.margin)}")
    return figures, reasons


def is_count(count: tuple[int, int] | None) -> TypeGuard[tuple[int, int]]:
    """Say whether `count` is there and is (successes, seeds) of at least one seed."""
    return count is not None and 0 <= count[0] <= count[1] and count[1] > 0


def rate(count: tuple[int, int] | None) -> float | None:
    """Return successes / seeds, None where there is no evaluation."""
    return count[0] / count[1] if is_count(count) else None


def _count_figures(count: tuple[int, int] | None) -> dict[str, float | None]:
    successes, seeds = count if is_count(count) else (None, None)
    return {"success_rate": rate(count), "successes": successes, "seeds": seeds}


def _no_evaluation(seed_start: int, count: tuple[int, int] | None) -> str:
    what = f" ({count[0]} of {count[1]})" if count is not None else ""
    return f"no evaluation on the seeds from {seed_start}{what}"


_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _compared(value: float, sign: str, limit: float) -> str:
    """Return "0.219 < 0.40", with as many digits as it takes for that to look true."""
    right = f"{limit:.2f}" if float(f"{limit:.2f}") == limit else repr(limit)
    for digits in (3, 4, 6, 9):
        left = f"{value:.{digits}f}"
        if _COMPARE[sign](float(left), limit):
            return f"{left} {sign} {right}"
    return f"{value!r} {sign} {right}"
