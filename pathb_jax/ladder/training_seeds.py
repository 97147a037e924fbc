"""What other training seeds would have said: receipts in, counts and verdicts out."""

from collections.abc import Mapping, Sequence

from pathb_jax.ladder.acceptance import passed_all
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.store.record_schema import StagePasses
from pathb_jax.store.run_records import StageRecord

Receipts = Mapping[str, Mapping[int, Sequence[StageRecord]]]
"""Tag -> training seed -> the receipts of a run, of the runs there are."""

OPEN = "open"
REJECTED = "rejected"


def count_passes(receipts: Receipts) -> list[StagePasses]:
    """Count, per candidate and stage, the seeds that pass it and all before it."""
    counted = []
    for tag, by_seed in receipts.items():
        runs = [stages for stages in by_seed.values() if stages]
        for index, stage in enumerate(runs[0] if runs else []):
            passed = sum(stages[index].passed is True for stages in runs)
            counted.append(
                StagePasses(
                    tag=tag,
                    stage=stage.stage,
                    name=stage.name,
                    passed=passed,
                    seeds=len(runs),
                    interval=[*clopper_pearson(passed, len(runs))],
                )
            )
    return counted


def verdict_of(receipts: Receipts, seed: int) -> str:
    """Return the verdict if `seed` had voted: "adopted TAG", "rejected", or "open".

    Args:
        receipts: the tags in the protocol's order.
        seed: a training seed.
    """
    for tag, by_seed in receipts.items():
        stages = by_seed.get(seed)
        if not stages:
            return OPEN
        if passed_all(stages):
            return f"adopted {tag}"
    return REJECTED
