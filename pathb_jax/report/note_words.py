"""The result note's filters: figures and names of the record in words."""

from collections import Counter
from typing import Any

from pathb_jax.ladder import statistics
from pathb_jax.ladder.knobs import knob_text
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report.markdown import Markdown, code, link
from pathb_jax.store.run_records import (
    BatchRecord,
    CandidateRecord,
    RunRecord,
    SetSummary,
    TrainedRecord,
)
from pathb_jax.text import percent

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
        "hours": lambda hours: f"{hours:.2f}",
        "interval": lambda summary: "{:.3f} to {:.3f}".format(*interval(summary)),
        "link": link_to,
        "mode": mode,
        "number": number,
        "modes": modes,
        "outcome": outcome,
        "percent": lambda chance: MISSING if chance is None else percent(chance),
        "rate": _rate,
        "recorded": lambda value, length=None: value[:length] if value else "not recorded",
        "remarks": _remarks,
        "seeds": _seeds,
        "steps": lambda steps: MISSING if steps is None else f"{steps:.1f}",
        "thousands": lambda count: f"{count:,}",
        "votes": votes,
        "words": words,
        "would": lambda passed: {True: "passes", False: "fails", None: "-"}[passed],
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


def _failure(candidate: CandidateRecord) -> str:
    """Return how a rejected candidate failed, after its name."""
    if candidate.votes:
        return f"passed all stages with {votes(candidate)}; {modes(candidate)}"
    what = "was not accepted"
    for receipt in candidate.stages:
        if receipt.passed is False:
            what = f"failed stage {receipt.stage} ({'; '.join(receipt.reasons)})"
    return f"{what}, {mode(candidate)}"


def mode(run: RunRecord) -> str:
    """Return a run's failure mode; a run that failed a stage is not called healthy."""
    failed = not isinstance(run, BatchRecord) and any(s.passed is False for s in run.stages)
    if failed and run.failure_mode == "healthy":
        return "none that has a name (success is above the floor)"
    return words(run.failure_mode)


def modes(candidate: CandidateRecord) -> str:
    """Return the failure modes of the runs that a candidate is judged by, "healthy 4 times"."""
    if candidate.votes is None:
        return mode(candidate)
    found = Counter(mode(run) for run in candidate.voters.values())
    return ", ".join(f"{name} {n} of {found.total()}" for name, n in found.most_common())


def votes(candidate: CandidateRecord) -> str:
    """Return how many of its training seeds let a candidate pass, where several vote."""
    assert candidate.votes
    passed, seeds = len(candidate.votes.passed), len(candidate.votes.seeds)
    return f"{passed} of {seeds} training seeds, {candidate.votes.needed} needed"


def _rate(run: RunRecord) -> str:
    """Return the success rate on a run's first set, with count and interval where known."""
    for summary in run.summaries.values():
        count = f"{summary.success_count}/{summary.seeds}"
        low, high = interval(summary)
        return f"{number(summary.success_rate)} ({count}), {low:.3f} to {high:.3f}"
    rate = run.success_rate if isinstance(run, BatchRecord) else None
    return "not run" if rate is None else number(rate)


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


def number(value: float | None) -> str:
    """Return three decimals; a whole number as it is; the very small and large by four digits."""
    if value is None or isinstance(value, int):
        return MISSING if value is None else str(value)
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1000 else f"{value:.4g}"


def outcome(passed: bool | None) -> str:
    """Return what a stage said, in words."""
    return {True: "passed", False: "failed", None: "not judged"}[passed]


def words(name: str | None) -> str:
    """Return a name of the record as words."""
    return MISSING if name is None else name.replace("_", " ")
