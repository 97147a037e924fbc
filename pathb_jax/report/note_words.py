"""The result note's filters: figures and names of the record in words."""

from collections.abc import Mapping
from typing import Any

from pathb_jax.ladder import statistics
from pathb_jax.ladder.knobs import knob_text
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report.markdown import Markdown, code, link
from pathb_jax.store.record_schema import (
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SetSummary,
    TrainedRecord,
    TrainingSeeds,
)

MISSING = Markdown("-")
"""In the place of a figure that is not there."""


def filters(plan: Protocol | None, base: str) -> dict[str, Any]:
    """Return the template's filters: values in, text or Markdown out.

    Args:
        plan: the protocol, if it is known.
        base: the record's folder, relative to the note's.
    """

    def link_to(run: RunRecord, name: str) -> str:
        if run.status == "not_run":
            return name
        return link(name, f"{run.run_dir if base == '.' else f'{base}/{run.run_dir}'}/")

    return {
        "change": lambda candidate: change(candidate, plan),
        "code": code,
        "failure": _failure,
        "figures": _figures,
        "hours": lambda hours: f"{hours:.2f}",
        "interval": lambda summary: "{:.3f} to {:.3f}".format(*interval(summary)),
        "link": link_to,
        "number": _number,
        "other_verdicts": _other_verdicts,
        "outcome": _outcome,
        "percent": lambda chance: MISSING if chance is None else f"{100 * chance:.1f} %",
        "rate": _rate,
        "recorded": lambda value, length=None: value[:length] if value else "not recorded",
        "remarks": _remarks,
        "seeds": _seeds,
        "stage": _stage,
        "steps": lambda steps: MISSING if steps is None else f"{steps:.1f}",
        "thousands": lambda count: f"{count:,}",
        "words": _words,
    }


def interval(summary: SetSummary) -> tuple[float, float]:
    """Return the exact 95 % interval of a set's success rate."""
    return statistics.clopper_pearson(summary.success_count, summary.seeds)


def change(candidate: CandidateRecord, plan: Protocol | None) -> str:
    """Return what a candidate changes, "lr 0.0003 -> 0.0001"."""
    if not candidate.hparams:
        return "no change"
    if plan is None:
        return ", ".join(f"{knob} {knob_text(to)}" for knob, to in candidate.hparams.items())
    return plan.change_text(candidate.hparams)


def _stage(candidate: CandidateRecord, number: int) -> str:
    """Return the table cell of one stage."""
    for receipt in candidate.stages:
        if receipt.stage == number:
            why = "; ".join(receipt.reasons) if receipt.passed is False else ""
            return _outcome(receipt.passed) + (f": {why}" if why else "")
    return MISSING


def _failure(candidate: CandidateRecord) -> str:
    """Return how a rejected candidate failed, after its name."""
    what = "was not accepted"
    for receipt in candidate.stages:
        if receipt.passed is False:
            what = f"failed stage {receipt.stage} ({'; '.join(receipt.reasons)})"
    return f"{what}, {_words(candidate.failure_mode)}"


def _rate(run: RunRecord) -> str:
    """Return the success rate on a run's first set, with count and interval where known."""
    for summary in run.summaries.values():
        count = f"{summary.success_count}/{summary.seeds}"
        low, high = interval(summary)
        return f"{_number(summary.success_rate)} ({count}), {low:.3f} to {high:.3f}"
    rate = run.success_rate if isinstance(run, BatchRecord) else None
    return "not run" if rate is None else _number(rate)


def _remarks(trained: TrainedRecord | None) -> str:
    """Return what makes the training of a run less than plain."""
    if trained is None:
        return MISSING
    remarks = ["began before the ladder was opened"] if trained.before_ladder else []
    remarks += ["with uncommitted changes"] if trained.dirty else []
    remarks += [
        f"after update {entry['resumed_after_update']} in another environment"
        for entry in trained.environment_changes
    ]
    return "; ".join(remarks) or MISSING


def _seeds(summary: SetSummary, start: str) -> str:
    return f"{start} to {int(start) + summary.seeds - 1}" if start.isdecimal() else start


def _figures(figures: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in figures.items())


def _other_verdicts(training_seeds: TrainingSeeds) -> str:
    """Return how often another training seed would have led to another verdict."""
    first, *others = training_seeds.verdicts.values()
    decided = [verdict for verdict in others if verdict != "open"]
    different = sum(verdict != first for verdict in decided)
    return (
        f"Of {len(decided)} other seeds with a verdict, {different} would have given another one."
    )


def _number(value: float | None) -> str:
    """Return three decimals; a whole number as it is; the very small and large by four digits."""
    if value is None or isinstance(value, int):
        return MISSING if value is None else str(value)
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1000 else f"{value:.4g}"


def _outcome(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "not judged"}[passed]


def _words(name: str | None) -> str:
    return MISSING if name is None else name.replace("_", " ")
