"""The note's table of receipts: every figure a stage looked at, beside its threshold."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pathb_jax.judging.certainty import HowSure
from pathb_jax.ladder.exact import decimal, successes_needed
from pathb_jax.report.markdown import Markdown
from pathb_jax.report.note_words import MISSING, number, outcome, percent, words
from pathb_jax.store.run_records import CandidateRecord, SeedRecord, StageRecord


class Row(NamedTuple):
    """One figure of one stage, in words."""

    figure: str
    value: str
    threshold: str
    margin: str
    """How far it was from turning; negative where it failed."""
    how_sure: str
    outcome: str


def receipt_rows(
    candidate: CandidateRecord | SeedRecord, sure: HowSure | None
) -> list[tuple[str, Row]]:
    """Return the rows of a run, each with its stage's number and name.

    Args:
        candidate: judged or not; without receipts there is no row.
        sure: how sure its judgement is, if there is anything to tell it from.
    """
    return [
        (f"{receipt.stage} {words(receipt.name)}", row)
        for receipt in candidate.stages
        for row in _ROWS.get(receipt.name, _any)(receipt, sure)
    ]


def _floor(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    figures = receipt.figures
    rate, successes, seeds = (figures.get(n) for n in ("success_rate", "successes", "seeds"))
    threshold = figures.get("threshold")
    margin: str = MISSING
    if None not in (successes, seeds, threshold):
        spare = int(successes or 0) - successes_needed(threshold or 0.0, int(seeds or 0))
        margin = f"{spare:+d} successes"
    flips = sure.floor.flips if sure and sure.floor else None
    chance: str = MISSING if flips is None else f"a fresh set says the opposite: {percent(flips)}"
    value = MISSING if rate is None else f"{number(rate)} ({successes} of {seeds})"
    yield Row(
        "success rate", value, f"at least {number(threshold)}", margin, chance, _said(receipt, "")
    )


def _return_floor(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    mean, threshold = (receipt.figures.get(name) for name in ("mean_return", "threshold"))
    margin: str = MISSING
    if mean is not None and threshold is not None:
        margin = number(float(decimal(mean) - decimal(threshold)))
    chance: str = MISSING
    if sure and (spread := sure.returns.get(receipt.stage)):
        low, high = spread.interval
        told = f"95 % interval {number(low)} to {number(high)}"
        chance = f"a fresh set says the opposite: {percent(spread.flips)}; {told}"
    yield Row(
        "mean return",
        number(mean),
        f"at least {number(threshold)}",
        margin,
        chance,
        _said(receipt, ""),
    )


def _dynamics(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    limits = {
        "entropy": ("entropy of the last row", "below", "entropy_below"),
        "log_std_rise": ("rise of log_std", "at most", "log_std_rise_at_most"),
        "value_loss_max": ("largest value_loss", "at most", "value_loss_at_most"),
    }
    dynamics = sure.dynamics if sure else None
    for name, (figure, sign, key) in limits.items():
        value, limit = receipt.figures.get(name), receipt.figures.get(key)
        margin: str = MISSING
        if value is not None and limit is not None:
            margin = number(float(decimal(limit) - decimal(value)))
        chance: str = MISSING
        if dynamics:
            chance = f"passes in {dynamics.each[name]} of {dynamics.windows} windows"
        yield Row(
            figure,
            number(value),
            f"{sign} {number(limit)}",
            margin,
            chance,
            _said(receipt, f"{name} "),
        )


def _shift(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    figures = receipt.figures
    difference, threshold = figures.get("difference"), figures.get("threshold")
    sets = [(name.removeprefix("success_"), value) for name, value in figures.items()]
    rates = ", ".join(f"{number(v)} on {name}" for name, v in sets if name.isdecimal())
    margin: str = MISSING
    if difference is not None and threshold is not None:
        margin = number(float(decimal(threshold) - decimal(difference)))
    chance: str = MISSING
    if sure and (shift := sure.shift):
        chance = _odds(shift.flips, shift.fails_equal)
    value = f"{number(difference)} ({rates})"
    threshold_text = f"at most {number(threshold)}"
    yield Row("difference of rates", value, threshold_text, margin, chance, _said(receipt, ""))


def _odds(flips: float, fails_equal: float) -> str:
    return (
        f"fresh sets say the opposite: {percent(flips)}; it fails an equal policy: "
        f"{percent(fails_equal)}"
    )


def _equivalence(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    figures = receipt.figures
    low, high, margin = (figures.get(n) for n in ("interval_low", "interval_high", "margin"))
    value, spare = MISSING, MISSING
    if low is not None and high is not None and margin is not None:
        value = Markdown(f"{number(low)} to {number(high)}")
        spare = Markdown(number(min(margin - high, margin + low)))
    chance: str = f"both tests at {number(figures.get('alpha'))}"
    if sure and (odds := sure.equivalences.get(receipt.stage)):
        chance = f"{chance}; {_odds(odds.flips, odds.fails_equal)}"
    yield Row(
        "interval of the difference",
        value,
        f"within {number(margin)}",
        spare,
        chance,
        _said(receipt, ""),
    )


def _any(receipt: StageRecord, sure: HowSure | None) -> Iterator[Row]:
    """A stage of a kind that has no words of its own: its figures as they are recorded."""
    del sure
    shown = ", ".join(f"{name} {number(value)}" for name, value in receipt.figures.items())
    yield Row(words(receipt.name), shown, MISSING, MISSING, MISSING, _said(receipt, ""))


def _said(receipt: StageRecord, begins: str) -> str:
    """Return what the stage said of the figure whose reasons begin so."""
    if receipt.passed is None:
        return "; ".join(receipt.reasons) or outcome(None)
    reasons = [reason for reason in receipt.reasons if reason.startswith(begins)]
    rows_short = [reason for reason in receipt.reasons if "history rows" in reason]
    if reasons or rows_short:
        return f"{outcome(False)}: {'; '.join(dict.fromkeys([*rows_short, *reasons]))}"
    return outcome(True)


_ROWS: dict[str, Callable[[StageRecord, HowSure | None], Iterator[Row]]] = {
    "success_floor": _floor,
    "return_floor": _return_floor,
    "training_dynamics": _dynamics,
    "seed_shift": _shift,
    "equivalence": _equivalence,
}
