"""The note's first lines: the verdict, its standing, what to do next."""

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report.best_state import best_state
from pathb_jax.report.note_words import change, votes
from pathb_jax.store.record_schema import LadderRecord

STANDING = {
    "canonical": "Standing: canonical, the shipped protocol, unchanged, with no departure.",
    "registered": "Standing: registered, a protocol file of one's own, fixed before the run, with "
    "no departure from it.",
    "exploratory": "Standing: exploratory, the ladder departed from its protocol, as listed below, "
    "so this is not the pre-registered test.",
}


def verdict(record: LadderRecord, plan: Protocol | None) -> str:
    """Return the verdict in one sentence."""
    candidates = record.candidates
    if record.verdict == "adopted":
        chosen = next(c for c in candidates if c.tag == record.adopted)
        passed = (
            f" passed all stages with {votes(chosen)}" if chosen.votes else " passed all stages"
        )
        return f"Adopted: {record.adopted} ({change(chosen, plan)}){passed}."
    if record.verdict == "rejected":
        failed = f"none of the {len(candidates)} candidates passed all stages"
        failed += " with enough training seeds" if any(c.votes for c in candidates) else ""
        return f"Rejected: {failed}. That is a finding, not an error."
    judged = [c for c in candidates if c.status not in ("not_run", "running")]
    return f"Incomplete: {len(judged)} of {len(candidates)} candidates judged, no verdict yet."


def next_step(record: LadderRecord, plan: Protocol | None, folder: str) -> str:
    """Return what to do next, in one sentence or two, and after a rejection what there is.

    Args:
        record: the ladder's.
        plan: its protocol, if it is known.
        folder: the record's, relative to the note's.
    """
    step = _next_step(record)
    broken = record.verification and record.verification.problems
    if record.verdict != "rejected" or broken:
        return step
    return f"{step} {best_state(record, plan, folder)}"


def _next_step(record: LadderRecord) -> str:
    if record.verification and record.verification.problems:
        return "First find out why the verification fails, below; until then believe nothing here."
    if record.verdict == "incomplete":
        return "Give the same command again: it goes on from what is on the disk."
    if record.judgement is not None:
        return "Register a test of what the judgement adopted: the batch below is no test of it."
    if record.standing == "exploratory":
        return "To put the registered question, run the protocol without the departures."
    if record.verdict == "rejected":
        return (
            "Register a successor whose changes the failures point to; say with `pathb power` "
            "before how many seeds it needs."
        )
    if any(run.status == "not_run" for run in record.batch):
        return "Train the batch: the same command without --skip-batch."
    if record.training_seeds is None:
        return (
            "Ask other training seeds before building on it: the same command with --train-seeds "
            "5, in a folder of its own."
        )
    return "Read how sure each stage is, and what other training seeds say, before building on it."
