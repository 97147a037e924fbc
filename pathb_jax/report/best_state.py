"""The default run's best state in a sentence, beside the published one."""

import shlex

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.report.diagnosis_page import rate
from pathb_jax.report.published import published
from pathb_jax.store.record_schema import LadderRecord


def with_baseline(record: LadderRecord) -> str:
    """Return the command that trains the default run after this ladder's verdict."""
    try:
        words = [word for word in shlex.split(record.command) if word != "--fresh"]
    except ValueError:  # no command of ours
        words = []
    if not words:
        return "the ladder's command with --with-baseline"
    return shlex.join([*words, *([] if "--with-baseline" in words else ["--with-baseline"])])


def best_state(record: LadderRecord, plan: Protocol | None, folder: str) -> str:
    """Return which state of the default run was best, or how to find it, and the published one.

    Args:
        record: the ladder's.
        plan: its protocol, if it is known.
        folder: the record's, which begins the checkpoint's path; ".": it is left out.
    """
    return f"{_ours(record, folder)}{_published(record, plan)}"


def _ours(record: LadderRecord, folder: str) -> str:
    run = record.baseline
    if run is None:
        return f"The best state of the default run is not known: {with_baseline(record)} finds it."
    if run.diagnosis is None:
        return f"The default run is not over: {with_baseline(record)} goes on with it."
    fall = run.diagnosis.fall
    if fall is None:
        why = f"diverged ({run.diverged})" if run.diverged else "was not evaluated on both sets"
        return f"The default run has no best state: it {why}."
    prefix = "" if folder == "." else f"{folder}/"
    kept = f"kept as {prefix}{fall.best_checkpoint}" if fall.best_checkpoint else "not kept"
    return (
        f"Best state of the default run: after update {fall.best.update} of {run.run_dir}, "
        f"{rate(fall.best.reported)} on the seeds from {run.diagnosis.told_on}, {kept}."
    )


def _published(record: LadderRecord, plan: Protocol | None) -> str:
    shown = published(record, plan)["best_state"]
    if shown is None:
        return ""
    return (
        f" Published: {shown.segment}, {shown.env_steps:,} environment steps, "
        f"success {shown.success_rate:.3f}."
    )
