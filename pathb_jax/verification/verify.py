"""Believing nothing of a finished folder: every figure recomputed, every policy replayed."""

from pathlib import Path

from pathb_jax.errors import InputError
from pathb_jax.store.record import read_record
from pathb_jax.store.record_schema import RECORD
from pathb_jax.verification.findings import Findings, Verification
from pathb_jax.verification.ladders import check_ladder
from pathb_jax.verification.runs import check_run, own_runs


def verify(folder: Path, replay: bool) -> Verification:
    """Check a ladder's folder, or a run's.

    Args:
        folder: it holds ladder.json, or manifests/.
        replay: whether to play every policy in the float64 world too, which takes seconds.

    Returns:
        What holds and what does not.

    Raises:
        InputError: neither is there, or the record is broken or contradicts itself.
        OSError: the system cannot read it.
    """
    findings = Findings()
    if (folder / RECORD).exists():
        said = check_ladder(folder, read_record(folder / RECORD), replay, findings)
    elif runs := own_runs(folder):
        over = [check_run(files, findings, replay) is not None for files in runs]
        said = {"runs": f"{sum(over)} of {len(runs)} are over"}
    else:
        allowed = f"it holds neither {RECORD} nor manifests/*.json; give a run's or ladder's folder"
        raise InputError("DIR", str(folder), allowed)
    said["policies replayed"] = _replayed(findings) if replay else "not tried"
    return findings.verification(said)


def _replayed(findings: Findings) -> str:
    text = f"{findings.replayed} of {findings.sets} sets"
    if findings.foreign:
        text += f", {findings.foreign} are of an environment that has no second implementation"
    if findings.noisy:
        text += f", {findings.noisy} have noise that only the trainer can draw"
    if findings.borderline:
        text += f", {findings.borderline} episodes hang on rounding"
    return text
