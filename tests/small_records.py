"""Records of ladders and their parts as a ladder makes them before anything has run."""

from collections.abc import Sequence
from typing import Any

from pathb_jax.store.record_schema import FORMAT, ComputeRecord, LadderRecord
from pathb_jax.store.run_records import NOTHING_YET, BatchRecord, CandidateRecord, SetSummary


def new_candidate(
    order: int, tag: str, change: dict[str, float | str | bool], run_dir: str, slug: str
) -> CandidateRecord:
    return CandidateRecord(
        order=order,
        tag=tag,
        hparams=change,
        status="not_run",
        run_dir=run_dir,
        stages=[],
        slug=slug,
        **NOTHING_YET,
    )


def new_batch_run(label: str, variant: str, mixed_lambda: float | None, slug: str) -> BatchRecord:
    return BatchRecord(
        label=label,
        success_rate=None,
        mean_terminal_alignment=None,
        status="not_run",
        variant=variant,
        mixed_lambda=mixed_lambda,
        run_dir=label,
        slug=slug,
        **NOTHING_YET,
    )


def new_summary(count: int, interval: tuple[float, float]) -> SetSummary:
    """Of a set of 32 seeds."""
    return SetSummary(
        success_count=count,
        seeds=32,
        success_rate=count / 32,
        interval=[*interval],
        mean_terminal_alignment=0.832,
        mean_steps=171.25,
    )


def new_record(*, planned_hours: float | None, predictions: Sequence[str], **parts: Any) -> Any:
    """Return a record in which nothing has run."""
    return LadderRecord(
        format=FORMAT,
        canonical=parts["standing"] == "canonical",
        verdict="incomplete",
        adopted=None,
        predictions=dict.fromkeys(predictions, "untested"),
        batch=[],
        compute=ComputeRecord(planned_hours=planned_hours, used_hours=0.0),
        **parts,
    )
