"""Naming what went wrong in a run: numbers in, one failure mode out.

Rules: docs/spec/ladder.md, "Failure modes"; numbers: the protocol's table.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathb_jax.ladder.acceptance import History, is_count, rate, tail
from pathb_jax.ladder.exact import difference, finite, largest, successes_needed
from pathb_jax.ladder.schema import FailureModes

Mode = Literal[
    "diverged",
    "bootstrap_failure",
    "critic_destabilisation",
    "mode_collapse",
    "under_budget",
    "healthy",
    "unclassified",
]


@dataclass(frozen=True)
class FailureMode:
    """The mode's name and the figures that named it (None: missing or not finite)."""

    name: Mode
    figures: dict[str, float | None]


@dataclass(frozen=True)
class _Facts:
    """What the rules look at."""

    table: FailureModes
    counted: bool
    successes: int
    low_success: bool
    alignment: float | None
    gain: float | None
    log_std: float | None
    log_std_init: float
    log_std_rise: float | None
    value_loss_max: float | None
    reward_fall: float | None


def classify(
    table: FailureModes,
    history: History,
    *,
    updates: int,
    success: tuple[int, int] | None,
    alignment: float | None,
    half_alignment: float | None,
    log_std_init: float,
    diverged: str = "",
) -> FailureMode:
    """Name the failure mode of a run; the first rule that matches wins.

    Args:
        table: the protocol's numbers.
        history: the columns log_std, value_loss and mean_reward, one number per update.
        updates: the run's planned updates; the window is the last sixth of them (the table says).
        success: (successes, seeds) of the final checkpoint on stage 1's set, if evaluated.
        alignment: mean terminal alignment there.
        half_alignment: the same of the in-run evaluation at half the run, if there was one.
        log_std_init: the log_std that the run started from.
        diverged: why the run diverged, or empty.

    Returns:
        The mode and its figures. A figure that is missing or not finite matches no rule.
    """
    window = window_rows(table, updates)
    log_std = tail(history, "log_std", window)
    value_loss = tail(history, "value_loss", window)
    counted = is_count(success)
    successes, seeds = success if is_count(success) else (0, 1)
    facts = _Facts(
        table=table,
        counted=counted,
        successes=successes,
        low_success=counted and successes < successes_needed(table.healthy_success_at_least, seeds),
        alignment=finite(alignment),
        gain=difference(alignment, half_alignment),
        log_std=finite(log_std[-1]) if log_std else None,
        log_std_init=log_std_init,
        log_std_rise=difference(log_std[-1], log_std[0]) if log_std else None,
        value_loss_max=largest(value_loss),
        reward_fall=_reward_fall(tail(history, "mean_reward", window), table.critic_reward_rows),
    )
    name: Mode = "diverged" if diverged else _first_match(facts)
    return FailureMode(name, _figures(name, facts, rate(success), finite(half_alignment)))


def alignment_at(
    update: int, evaluations: Mapping[str, np.ndarray], seed_start: int
) -> float | None:
    """Return the mean terminal alignment of an in-run evaluation, if it tells one.

    Args:
        update: after which it was.
        evaluations: the columns update, seed_start and mean_terminal_alignment.
        seed_start: first seed of its set.
    """
    if "mean_terminal_alignment" not in evaluations:
        return None
    there = (evaluations["update"] == update) & (evaluations["seed_start"] == seed_start)
    values = evaluations["mean_terminal_alignment"][there]
    return float(values[0]) if len(values) else None


def window_rows(table: FailureModes, updates: int) -> int:
    """Return W, the rows that the critic's rule looks at: the last sixth, at least 50."""
    return max(table.critic_window_at_least, math.ceil(updates / table.critic_window_divisor))


def _first_match(facts: _Facts) -> Mode:
    table = facts.table
    if (
        facts.counted
        and facts.successes == 0
        and _below(facts.alignment, table.bootstrap_alignment_below)
        and _at_least(facts.log_std, facts.log_std_init)
    ):
        return "bootstrap_failure"
    if (
        _at_least(facts.log_std_rise, table.critic_log_std_rise_at_least)
        and _at_least(facts.value_loss_max, table.critic_value_loss_at_least)
        and _at_least(facts.reward_fall, table.critic_reward_fall_at_least)
    ):
        return "critic_destabilisation"
    if (
        _at_least(facts.alignment, table.collapse_alignment_at_least)
        and facts.low_success
        and facts.log_std is not None
        and table.collapse_log_std_at_most is not None
        and facts.log_std <= table.collapse_log_std_at_most
    ):
        return "mode_collapse"
    if facts.low_success and _at_least(facts.gain, table.under_budget_alignment_gain_at_least):
        return "under_budget"
    if facts.counted and not facts.low_success:
        return "healthy"
    return "unclassified"


def _figures(
    name: Mode, facts: _Facts, success_rate: float | None, half_alignment: float | None
) -> dict[str, float | None]:
    """Return the figures that the rule `name` looked at; all of them for the last resort."""
    known = {
        "success_rate": success_rate,
        "alignment": facts.alignment,
        "half_alignment": half_alignment,
        "alignment_gain": facts.gain,
        "log_std": facts.log_std,
        "log_std_init": facts.log_std_init,
        "log_std_rise": facts.log_std_rise,
        "value_loss_max": facts.value_loss_max,
        "reward_fall": facts.reward_fall,
    }
    used: dict[Mode, tuple[str, ...]] = {
        "bootstrap_failure": ("success_rate", "alignment", "log_std", "log_std_init"),
        "critic_destabilisation": ("log_std_rise", "value_loss_max", "reward_fall"),
        "mode_collapse": ("alignment", "success_rate", "log_std"),
        "under_budget": ("success_rate", "alignment", "half_alignment", "alignment_gain"),
        "healthy": ("success_rate",),
    }
    return {figure: known[figure] for figure in used.get(name, tuple(known))}


def _reward_fall(rewards: Sequence[float], rows: int) -> float | None:
    """Return mean of the window's first `rows` minus mean of its last `rows`."""
    if len(rewards) < rows:
        return None
    return difference(_mean(rewards[:rows]), _mean(rewards[-rows:]))


def _mean(values: Sequence[float]) -> float | None:
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # beyond what floats hold; infinities of both signs
        return None


def _at_least(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value >= limit


def _below(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value < limit
