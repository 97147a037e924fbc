"""What other training seeds would have said: receipts in, counts and verdicts out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pathb_jax.ladder.statistics import clopper_pearson

Stages = Sequence[Mapping[str, Any]]
"""The receipts of one run's three stages, as they stand in the record."""

OPEN = "open"
REJECTED = "rejected"


class Passes(NamedTuple):
    """How many training seeds of a candidate pass a stage and all before it."""

    tag: str
    stage: int
    name: str
    passed: int
    seeds: int
    interval: tuple[float, float]
    """Exact 95 % interval (Clopper-Pearson) of the rate."""


def count_passes(receipts: Mapping[str, Mapping[int, Stages]]) -> list[Passes]:
    """Count, per candidate and stage, the seeds that pass it.

    Args:
        receipts: tag -> training seed -> stages, of the runs there are.
    """
    counted = []
    for tag, by_seed in receipts.items():
        runs = [stages for stages in by_seed.values() if stages]
        for index, stage in enumerate(runs[0] if runs else []):
            passed = sum(stages[index]["passed"] is True for stages in runs)
            interval = clopper_pearson(passed, len(runs))
            counted.append(Passes(tag, stage["stage"], stage["name"], passed, len(runs), interval))
    return counted


def verdict_of(receipts: Mapping[str, Mapping[int, Stages]], seed: int) -> str:
    """Return the verdict if `seed` had voted: "adopted TAG", "rejected", or "open".

    Args:
        receipts: as in `count_passes`, the tags in the protocol's order.
        seed: a training seed.
    """
    for tag, by_seed in receipts.items():
        stages = by_seed.get(seed)
        if not stages:
            return OPEN
        if all(stage["passed"] is True for stage in stages):
            return f"adopted {tag}"
    return REJECTED
