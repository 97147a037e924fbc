"""What went wrong in a run, by the protocol's numbers: a second time, as in `rules`."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pathb_jax.verification.rules import Facts, Figures, exact, minus, rate_of


def failure_mode(
    table: Mapping[str, Any], log_std_init: float, start: int, facts: Facts
) -> tuple[str, Figures]:
    """Name what went wrong in a run, with the figures that named it.

    Args:
        table: the protocol's numbers.
        log_std_init: what the run's log_std started from.
        start: first seed of stage 1's set.
        facts: the run.
    """
    sixth = math.ceil(Fraction(facts.updates, table["critic_window_divisor"]))
    window = max(table["critic_window_at_least"], sixth)
    log_std, value_loss, rewards = (
        facts.history[name][-window:] for name in ("log_std", "value_loss", "mean_reward")
    )
    count, alignment = facts.counts.get(start), facts.alignments.get(start)
    half = facts.half_alignments.get(start)
    few = count is not None and Fraction(*count) < exact(table["healthy_success_at_least"])
    known: Figures = {
        "success_rate": rate_of(count),
        "alignment": alignment,
        "half_alignment": half,
        "alignment_gain": minus(alignment, half),
        "log_std": log_std[-1] if log_std else None,
        "log_std_init": log_std_init,
        "log_std_rise": minus(log_std[-1], log_std[0]) if log_std else None,
        "value_loss_max": max(value_loss) if value_loss else None,
        "reward_fall": _fall(rewards, table["critic_reward_rows"]),
    }
    # What is not known compares as false with everything.
    v = {name: math.nan if value is None else value for name, value in known.items()}
    modes = {
        "diverged": facts.diverged is not None,
        "bootstrap_failure": v["success_rate"] == 0
        and v["alignment"] < table.get("bootstrap_alignment_below", math.nan)
        and v["log_std"] >= log_std_init,
        "critic_destabilisation": v["log_std_rise"] >= table["critic_log_std_rise_at_least"]
        and v["value_loss_max"] >= table["critic_value_loss_at_least"]
        and v["reward_fall"] >= table["critic_reward_fall_at_least"],
        "mode_collapse": few
        and v["alignment"] >= table.get("collapse_alignment_at_least", math.nan)
        and v["log_std"] <= table.get("collapse_log_std_at_most", math.nan),
        "under_budget": few
        and v["alignment_gain"] >= table.get("under_budget_alignment_gain_at_least", math.nan),
        "healthy": count is not None and not few,
        "unclassified": True,
    }
    mode = next(name for name, matches in modes.items() if matches)
    return mode, {name: known[name] for name in _TRIGGERS.get(mode, tuple(known))}


_TRIGGERS = {
    "bootstrap_failure": ("success_rate", "alignment", "log_std", "log_std_init"),
    "critic_destabilisation": ("log_std_rise", "value_loss_max", "reward_fall"),
    "mode_collapse": ("alignment", "success_rate", "log_std"),
    "under_budget": ("success_rate", "alignment", "half_alignment", "alignment_gain"),
    "healthy": ("success_rate",),
}


def _fall(rewards: Sequence[float], rows: int) -> float | None:
    if len(rewards) < rows:
        return None
    try:
        return minus(math.fsum(rewards[:rows]) / rows, math.fsum(rewards[-rows:]) / rows)
    except (OverflowError, ValueError):  # beyond what floats hold; infinities of both signs
        return None
