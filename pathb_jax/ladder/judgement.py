"""Adopting a candidate by judgement, after its ladder has rejected all of them.

The verdict stays what the stages said. The judgement stands beside it, with its reason and date, as
a departure from the protocol; the batch then trains with the candidate.
"""

import dataclasses
from collections.abc import Iterator

from pathb_jax.errors import InputError
from pathb_jax.ladder.opening import check_environment, is_finished, open_record
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.store.lock import locked
from pathb_jax.store.record import write_record
from pathb_jax.store.record_schema import JudgementRecord, LadderRecord
from pathb_jax.store.run_records import CandidateRecord
from pathb_jax.system import provenance

LONGEST = 1000
"""Characters of a reason."""


def adopt_by_judgement(plan: LadderPlan, tag: str, because: str) -> None:
    """Put the adoption of a candidate into the record of a finished, rejected ladder.

    `run_ladder` trains the batch then. The same judgement again changes nothing.

    Args:
        plan: of the ladder.
        tag: of the candidate.
        because: why, one line of text.

    Raises:
        InputError: the ladder is not over, or did not reject all; there is no such candidate; the
            text is empty or too long; or something else was adopted by judgement before.
    """
    because = " ".join(because.split())
    if not 1 <= len(because) <= LONGEST:
        raise InputError("--because", because[:60], f"give 1 to {LONGEST} characters of text")
    tags = [candidate.tag for candidate in plan.protocol.candidates]
    if tag not in tags:
        raise InputError("--adopt", tag, f"choose one of {', '.join(tags)}")
    if not plan.record_path.exists():
        raise InputError("--adopt", tag, f"there is no ladder in {plan.out}")
    if _is_judged(open_record(plan), tag, because):
        return
    _check_rejected(plan, open_record(plan))  # before the lock leaves a file
    with locked(plan.out):
        record = open_record(plan)
        _check_rejected(plan, record)
        entry = next(entry for entry in record.candidates if entry.tag == tag)
        judgement = JudgementRecord(
            tag=tag,
            because=because,
            at=provenance.utc_now(),
            overrode=[*_against(plan, entry)],
            standing=record.standing,
        )
        record.judgement, record.ended = judgement, None
        check_environment(plan, record)
        record.deviations = [*record.deviations, judgement.deviation]
        record.standing, record.canonical = "exploratory", False
        write_record(plan.record_path, record)


def _is_judged(record: LadderRecord, tag: str, because: str) -> bool:
    before = record.judgement
    if before is None:
        return False
    if (before.tag, before.because) != (tag, because):
        allowed = f"{before.tag} was adopted by judgement on {before.at}: {before.because[:200]}"
        raise InputError("--adopt", tag, allowed)
    return True


def _check_rejected(plan: LadderPlan, record: LadderRecord) -> None:
    if record.verdict == "adopted":
        allowed = f"the ladder in {plan.out} adopted {record.adopted}; judge a rejected one"
        raise InputError("--adopt", record.adopted, allowed)
    if not is_finished(dataclasses.replace(plan, with_baseline=False), record):
        allowed = f"the ladder in {plan.out} has not finished; judge it when it has"
        raise InputError("--adopt", record.verdict, allowed)


def _against(plan: LadderPlan, entry: CandidateRecord) -> Iterator[str]:
    """Say what failed, one line per training seed that voted against the candidate."""
    for seed, run in entry.ballots(plan.voting_seeds).items():
        for receipt in run.stages:
            if receipt.passed is False:
                why = "; ".join(receipt.reasons)
                yield f"training seed {seed}: stage {receipt.stage}, {receipt.name}: {why}"
