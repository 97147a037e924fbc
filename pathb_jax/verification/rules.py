"""The stages a second time, in plain Python: what a run's raw figures have to lead to.

Written from docs/spec/ladder.md, apart from `ladder`, whose records it is to check.
Rates and thresholds are compared as fractions of the decimal numbers that stand in the files.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Any, NamedTuple

Count = tuple[int, int]
"""Successes, seeds."""
Figures = dict[str, float | None]
TABLES = ("success_floor", "training_dynamics", "seed_shift")
"""The stages, in order, of a protocol that has them as tables."""


class Facts(NamedTuple):
    """One finished run, as its raw files tell it."""

    counts: Mapping[int, Count]
    """First seed of a set -> successes and seeds, counted from the rows."""
    alignments: Mapping[int, float]
    mean_steps: Mapping[int, float]
    history: Mapping[str, Sequence[float]]
    updates: int
    half_alignments: Mapping[int, float]
    """Of the in-run evaluation at half the run."""
    diverged: str | None
    returns: Mapping[int, float] = {}
    """Mean return by set, of an environment that is not the shadow field."""


class Comparison(NamedTuple):
    """A reason that compares: "entropy 2.300 >= 2.28"."""

    name: str
    value: float
    sign: str
    limit: float


class Stage(NamedTuple):
    """What a receipt has to say."""

    number: int
    name: str
    passed: bool | None
    figures: Figures
    reasons: list[str | Comparison]


def exact(number: float) -> Fraction:
    """Return the decimal number that a float shows as."""
    return Fraction(repr(float(number)))


def listed(protocol: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the protocol's stages in order, each as its kind and its numbers."""
    told = protocol["stages"]
    if isinstance(told, Mapping):
        return [(name, told[name]) for name in TABLES]
    return [(stage["kind"], stage) for stage in told]


def floor_start(protocol: Mapping[str, Any]) -> int:
    """Return the first seed of the first success floor's set."""
    starts = (rule["seed_start"] for kind, rule in listed(protocol) if kind == "success_floor")
    return int(next(starts))


def set_starts(protocol: Mapping[str, Any]) -> list[int]:
    """Return the first seeds of the protocol's sets: the floor's, the stages', the third."""
    starts = [floor_start(protocol)]
    starts += [rule["seed_start"] for _, rule in listed(protocol) if "seed_start" in rule]
    if "third_seed_start" in protocol["evaluation"]:
        starts.append(protocol["evaluation"]["third_seed_start"])
    return list(dict.fromkeys(starts))


def stages(protocol: Mapping[str, Any], facts: Facts) -> list[Stage]:
    """Judge a run by the protocol's stages."""
    judged: list[Stage] = []
    failed = ""
    start = floor_start(protocol)
    for number, (name, rule) in enumerate(listed(protocol), start=1):
        figures, reasons = _JUDGES[name](rule, start, facts)
        if number == 1 and facts.diverged is not None:
            reasons = [f"diverged: {facts.diverged}"]
        passed: bool | None = not reasons
        if failed:
            passed, reasons = None, [f"not judged: {failed} failed"]
        elif reasons:
            failed = name
        judged.append(Stage(number, name, passed, figures, reasons))
    return judged


_Judged = tuple[Figures, list[str | Comparison]]


def _floor(rule: Mapping[str, Any], _: int, facts: Facts) -> _Judged:
    start, threshold = rule["seed_start"], rule["threshold"]
    count = facts.counts.get(start)
    successes, seeds = count or (None, None)
    figures: Figures = {
        "success_rate": rate_of(count),
        "successes": successes,
        "seeds": seeds,
        "threshold": threshold,
    }
    if count is None:
        return figures, [f"no evaluation on the seeds from {start}"]
    if Fraction(*count) < exact(threshold):
        return figures, [Comparison("", count[0] / count[1], "<", threshold)]
    return figures, []


def _return_floor(rule: Mapping[str, Any], _: int, facts: Facts) -> _Judged:
    start, threshold = rule["seed_start"], rule["threshold"]
    mean = facts.returns.get(start)
    figures: Figures = {"mean_return": mean, "threshold": threshold}
    if mean is None:
        return figures, [f"no mean return on the seeds from {start}"]
    if not exact(mean) >= exact(threshold):
        return figures, [Comparison("", mean, "<", threshold)]
    return figures, []


def _dynamics(rule: Mapping[str, Any], _: int, facts: Facts) -> _Judged:
    window = rule["window"]
    entropy, log_std, value_loss = (
        facts.history[name][-window:] for name in ("entropy", "log_std", "value_loss")
    )
    rows = len(entropy)
    figures: Figures = {
        "rows": rows,
        "entropy": entropy[-1] if rows else None,
        "entropy_below": rule["entropy_below"],
        "log_std": log_std[-1] if rows else None,
        "log_std_rise": minus(log_std[-1], log_std[0]) if rows else None,
        "log_std_rise_at_most": rule["log_std_rise_at_most"],
        "value_loss_max": max(value_loss) if rows else None,
        "value_loss_at_most": rule["value_loss_at_most"],
    }
    reasons: list[str | Comparison] = []
    if rows < window:
        reasons.append(f"{rows} history rows, {window} needed")
    for name, sign, limit in (
        ("entropy", ">=", rule["entropy_below"]),
        ("log_std_rise", ">", rule["log_std_rise_at_most"]),
        ("value_loss_max", ">", rule["value_loss_at_most"]),
    ):
        value = figures[name]
        if value is None:
            reasons.append(f"{name} is missing or not finite")
        elif value > limit or (sign == ">=" and value == limit):
            reasons.append(Comparison(name, value, sign, limit))
    return figures, reasons


def _shift(rule: Mapping[str, Any], start: int, facts: Facts) -> _Judged:
    allowed = rule["difference_at_most"]
    figures, missing, counts = _two_sets(rule, start, facts)
    figures |= {"difference": None, "threshold": allowed}
    if missing:
        return figures, missing
    first, second = counts
    distance = abs(Fraction(*first) - Fraction(*second))
    figures["difference"] = float(distance)
    if distance > exact(allowed):
        return figures, [Comparison("", float(distance), ">", allowed)]
    return figures, []


def _equivalence(rule: Mapping[str, Any], start: int, facts: Facts) -> _Judged:
    """Both one-sided tests by Newcombe's interval of the difference, from Wilson's of the rates."""
    margin, alpha = rule["margin"], rule["alpha"]
    figures, missing, counts = _two_sets(rule, start, facts)
    figures |= dict.fromkeys(("difference", "interval_low", "interval_high"))
    figures |= {"margin": margin, "alpha": alpha}
    if missing:
        return figures, missing
    difference, low, high = newcombe(counts[0], counts[1], 1 - alpha)
    figures |= {"difference": difference, "interval_low": low, "interval_high": high}
    reasons: list[str | Comparison] = []
    if not low > -margin:
        reasons.append(Comparison("interval_low", low, "<=", -margin))
    if not high < margin:
        reasons.append(Comparison("interval_high", high, ">=", margin))
    return figures, reasons


def newcombe(first: Count, second: Count, level: float) -> tuple[float, float, float]:
    """Return the second rate less the first, and Newcombe's limits, each at `level`, one-sided."""
    z = NormalDist().inv_cdf(level)
    (low1, high1), (low2, high2) = _wilson(first, z), _wilson(second, z)
    rate1, rate2 = first[0] / first[1], second[0] / second[1]
    difference = rate2 - rate1
    low = difference - math.sqrt((rate2 - low2) ** 2 + (high1 - rate1) ** 2)
    high = difference + math.sqrt((high2 - rate2) ** 2 + (rate1 - low1) ** 2)
    return difference, low, high


def _wilson(count: Count, z: float) -> tuple[float, float]:
    """Return Wilson's score interval: the roots of (p - k/n)^2 = z^2 p (1 - p) / n."""
    successes, seeds = count
    centre = successes + z * z / 2
    half = z * math.sqrt(successes * (seeds - successes) / seeds + z * z / 4)
    scale = seeds + z * z
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == seeds else (centre + half) / scale
    return low, high


def _two_sets(
    rule: Mapping[str, Any], start: int, facts: Facts
) -> tuple[Figures, list[str | Comparison], list[Count]]:
    """Return the rates of the floor's set and a stage's own, the sets not there, the counts."""
    starts = start, rule["seed_start"]
    figures: Figures = {f"success_{seed}": rate_of(facts.counts.get(seed)) for seed in starts}
    missing: list[str | Comparison] = [
        f"no evaluation on the seeds from {seed}" for seed in starts if seed not in facts.counts
    ]
    return figures, missing, [facts.counts[seed] for seed in starts if seed in facts.counts]


_JUDGES: Mapping[str, Callable[[Mapping[str, Any], int, Facts], _Judged]] = {
    "success_floor": _floor,
    "return_floor": _return_floor,
    "training_dynamics": _dynamics,
    "seed_shift": _shift,
    "equivalence": _equivalence,
}


def says(text: str, reason: str | Comparison) -> bool:
    """Say whether a recorded reason says what it has to."""
    if isinstance(reason, str):
        return text == reason
    words = re.fullmatch(r"(?:(\w+) )?(\S+) (<=|<|>=|>) (\S+)", text)
    if words is None or (words[1] or "", words[3]) != (reason.name, reason.sign):
        return False
    try:
        left, right = float(words[2]), float(words[4])
    except ValueError:
        return False
    digits = len(words[2].partition(".")[2])
    true = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[reason.sign]
    return true and right == reason.limit and abs(left - reason.value) <= 0.5001 * 10**-digits


def rate_of(count: Count | None) -> float | None:
    """Return the success rate of a set, None of one that was not played."""
    return None if count is None else count[0] / count[1]


def minus(late: float | None, early: float | None) -> float | None:
    """Return the difference of two decimal numbers, None where one is missing."""
    return None if late is None or early is None else float(exact(late) - exact(early))


def interval(successes: int, seeds: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) 95 % interval, as quantiles of beta distributions."""
    from scipy.stats import beta  # takes a second

    low = beta.ppf(0.025, successes, seeds - successes + 1) if successes else 0.0
    high = beta.ppf(0.975, successes + 1, seeds - successes) if successes < seeds else 1.0
    return float(low), float(high)
