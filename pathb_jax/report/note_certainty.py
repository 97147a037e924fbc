"""What the note says of how sure a ladder is: its stages, its vote, its training seeds."""

from collections.abc import Mapping
from typing import Any

from pathb_jax.judging.certainty import HowSure
from pathb_jax.judging.rates import count_flip
from pathb_jax.judging.training_seeds import (
    floor_votes_flip,
    interquartile_mean,
    next_seed_disagrees,
)
from pathb_jax.ladder.exact import successes_needed
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.training_seeds import agreement
from pathb_jax.report.receipts import receipt_rows
from pathb_jax.report.run_evidence import Evidence, against_the_best
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.store.run_records import CandidateRecord, SeedRecord


def certainty(
    record: LadderRecord, plan: Protocol | None, evidence: Mapping[str, Evidence]
) -> dict[str, Any]:
    """Return what is told from the run folders: how sure every judgement is, and the vote.

    Args:
        record: the ladder's.
        plan: its protocol, if it is known.
        evidence: what the folders show of the runs of `record.voters`, by name.
    """
    judged = record.voters
    sure: dict[str, HowSure | None] = {
        name: evidence[name].sure(run, plan) if plan else None for name, run in judged.items()
    }
    voted = any(candidate.votes for candidate in record.candidates)
    best, paired = ("", {}) if voted else against_the_best(evidence)
    return {
        "sure": sure,
        "flips": {c.tag: _flips(c, sure) for c in record.candidates if c.votes},
        "rows": {name: receipt_rows(run, sure[name]) for name, run in judged.items()},
        "dynamics": {tag: s.dynamics for tag, s in sure.items() if s and s.dynamics},
        "along": {tag: s.along for tag, s in sure.items() if s and s.along},
        "shifts": [
            (tag, votes, shift)
            for tag, s in sure.items()
            if s
            for votes, shift in ((True, s.shift), (False, s.shadow))
            if shift
        ],
        "best": best,
        "paired": paired,
        "interquartile": _interquartile(record.candidates),
        **_other_seeds(record),
    }


def _flips(candidate: CandidateRecord, sure: Mapping[str, HowSure | None]) -> dict[str, float]:
    """Return the odds that fresh training seeds turn the vote, or fresh sets on the floor."""
    votes, runs = candidate.votes, candidate.voters
    assert votes
    flips = {"seeds": count_flip((len(votes.passed), len(votes.seeds)), votes.needed)}
    floors = [found.floor for name in runs if (found := sure[name])]
    each = [floor.flips if floor else 0.0 for floor in floors]  # a run that diverged stays failed
    clears = [_clears_floor(run) for run in runs.values()]
    if len(each) == len(runs):
        flips["sets"] = floor_votes_flip(clears, each, votes.needed)
    return flips


def _clears_floor(run: CandidateRecord | SeedRecord) -> bool:
    """Whether the first success floor alone lets a run pass, wherever it stands."""
    floor = next((stage.figures for stage in run.stages if stage.name == "success_floor"), {})
    successes, seeds, threshold = (floor.get(n) for n in ("successes", "seeds", "threshold"))
    if successes is None or seeds is None or threshold is None:
        return False
    return successes >= successes_needed(threshold, int(seeds))


def _interquartile(candidates: list[CandidateRecord]) -> dict[str, Any]:
    """Interquartile mean of success on the first set over a candidate's training seeds.

    A run that diverged has no success.
    """
    found = {}
    for candidate in candidates:
        of_runs = [candidate.summaries, *(other.summaries for other in candidate.other_seeds)]
        scores = [next(iter(sets.values())).success_rate if sets else 0.0 for sets in of_runs]
        if candidate.stages and len(scores) > 1:
            found[candidate.tag] = interquartile_mean([scores])
    return found


def _other_seeds(record: LadderRecord) -> dict[str, Any]:
    """Which training seeds agree with the verdict, and the odds that one more does not."""
    if record.verdict == "incomplete":
        return {"agreement": None, "disagrees": None}
    told = agreement(record)
    agree, seeds = (len(told.agree), len(told.told)) if told.told else (1, 1)
    return {
        "agreement": told if told.told else None,
        "disagrees": next_seed_disagrees(agree, seeds, voted=True),
    }
