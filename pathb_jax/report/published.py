"""What a protocol tells beside its rules: figures of others, and whether they are of this tier."""

from collections.abc import Iterator
from typing import Any

from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.schema import PathA, ProgrammeRun, Rejection
from pathb_jax.store.record_schema import LadderRecord


def published(record: LadderRecord, plan: Protocol | None) -> dict[str, Any]:
    """Return what the note shows of it, as far as it is about this ladder's tier."""
    ladder_tier = record.plan.tier if record.plan else None
    shown: dict[str, Any] = {"programme": [], "path_a": None, "best_state": None, "rejection": None}
    elsewhere: dict[tuple[str, str | None], None] = {}
    for name, part in _parts(plan) if plan else ():
        tier = plan.tier_of(part) if plan else None
        if tier is None or tier != ladder_tier:
            elsewhere[name, tier] = None
        elif isinstance(part, ProgrammeRun):
            shown["programme"].append(part)
        else:
            shown[name] = part
    if path_a := shown["path_a"]:
        shown["best_state"] = next(s for s in path_a.segments if s.segment == path_a.best)
    return {
        **shown,
        "ladder_tier": ladder_tier,
        "said_of": plan.run.tier if plan and plan.run.tier != ladder_tier else None,
        "figures_elsewhere": [part for part in elsewhere if part[0] != "rejection"],
        "rejection_elsewhere": [tier for name, tier in elsewhere if name == "rejection"],
    }


def _parts(plan: Protocol) -> Iterator[tuple[str, PathA | ProgrammeRun | Rejection]]:
    for run in plan.programme:
        yield "programme", run
    if plan.path_a:
        yield "path_a", plan.path_a
    if plan.rejection:
        yield "rejection", plan.rejection
