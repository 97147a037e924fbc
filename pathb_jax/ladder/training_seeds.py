"""What other training seeds would have said: receipts in, counts and verdicts out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pathb_jax.ladder.acceptance import passed_all
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.store.record_schema import LadderRecord, StagePasses
from pathb_jax.store.run_records import StageRecord

Receipts = Mapping[str, Mapping[int, Sequence[StageRecord]]]
"""Tag -> training seed -> the receipts of a run, of the runs there are."""

OPEN = "open"
REJECTED = "rejected"


class Agreement(NamedTuple):
    """Which training seeds would have given a ladder's verdict alone."""

    agree: list[int]
    """Training seeds."""
    told: list[int]
    """Those of which it can be told."""


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


def agreement(record: LadderRecord) -> Agreement:
    """Say which training seeds would have given the verdict of a ladder that has one.

    A seed whose own verdict is open did not give the ladder's if the adopted candidate failed
    with it.
    """
    if record.training_seeds is None:
        return Agreement([], [])
    verdict = REJECTED if record.adopted is None else f"adopted {record.adopted}"
    failed: set[int] = set()
    for entry in record.candidates:
        if entry.tag == record.adopted:
            runs = entry.ballots(record.training_seeds.seeds)
            failed = {seed for seed, run in runs.items() if not passed_all(run.stages)}
    found = {int(seed): text for seed, text in record.training_seeds.verdicts.items()}
    told = [seed for seed, text in found.items() if text != OPEN or seed in failed]
    return Agreement([seed for seed in told if found[seed] == verdict], told)
