"""Believing no record unchecked: when a ladder is taken up, and when it ends.

A finished run that contradicts itself is refused where it is taken up, by `run.train`.
"""

from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.runs.observer import Observer
from pathb_jax.store.lock import locked
from pathb_jax.store.record import write_record
from pathb_jax.store.record_schema import LadderRecord, VerificationRecord
from pathb_jax.system import provenance
from pathb_jax.verification.verify import verify


def look_back(plan: LadderPlan, observer: Observer) -> None:
    """Tell what does not hold of what an earlier session left; nothing is replayed."""
    if plan.record_path.exists():
        for problem in _verified(plan.out, replay=False).problems:
            observer.notice(problem)


def look_again(plan: LadderPlan, record: LadderRecord) -> None:
    """Check a finished ladder that only reports; its record changes only if something is wrong.

    Policies are replayed again if something was wrong before, or nothing was verified.
    """
    before = record.verification
    held = before is not None and not before.problems
    now = _verified(plan.out, replay=not held)
    if held and not now.problems:
        return
    with locked(plan.out):
        record.verification = now
        write_record(plan.record_path, record)


def conclude(plan: LadderPlan, record: LadderRecord) -> None:
    """Verify a ladder at its end, policies and all; what is found goes into the written record."""
    record.verification = _verified(plan.out, replay=True)
    write_record(plan.record_path, record)


def _verified(folder: Path, replay: bool) -> VerificationRecord:
    """Verify; a verification that cannot be done is a problem of its own, and ends no ladder."""
    at = provenance.utc_now()
    try:
        verification = verify(folder, replay)
    except (InputError, OSError) as error:
        problem = f"verification was not possible: {error}"
        return VerificationRecord(figures=0, reproduced=0, problems=[problem], said={}, at=at)
    return VerificationRecord(**verification._asdict(), at=at)
