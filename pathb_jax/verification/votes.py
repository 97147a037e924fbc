"""What the training seeds' votes lead to: verdict and grades, a second time, as in `rules`."""

from collections.abc import Mapping, Sequence
from typing import Any

Passed = Sequence[bool | None]
"""What the stages of one run said."""
Ballot = Mapping[int, tuple[Passed, bool]]
"""Training seed that votes -> what the stages of its run said, and whether it diverged."""


def voting(protocol: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many training seeds vote, and how many of them have to pass."""
    told = protocol.get("voting", {"training_seeds": 1, "pass_at_least": 1})
    return told["training_seeds"], told["pass_at_least"]


def passing(ballot: Ballot) -> list[int]:
    """Return the training seeds that passed all stages."""
    return [seed for seed, (passed, _) in ballot.items() if all(passed)]


def cleared(ballot: Ballot, needed: int) -> list[bool | None]:
    """Return which stages so many seeds pass, with all before; None after the first that fails."""
    runs = [passed for passed, _ in ballot.values()]
    said: list[bool | None] = []
    for number in range(1, len(runs[0]) + 1):
        if False in said:
            said.append(None)
        else:
            said.append(sum(all(run[:number]) for run in runs) >= needed)
    return said


def statuses(judged: Sequence[Ballot | None], needed: int) -> list[tuple[str, ...]]:
    """Return the statuses that each candidate may have.

    Args:
        judged: the votes per candidate, in order; None: not judged.
        needed: how many seeds have to pass.
    """
    allowed: list[tuple[str, ...]] = []
    for item in judged:
        if item is None:
            allowed.append(("not_run", "running"))
        elif ("adopted",) in allowed:
            allowed.append(("informative",))
        elif all(diverged for _, diverged in item.values()):
            allowed.append(("diverged",))
        else:
            allowed.append(("adopted",) if len(passing(item)) >= needed else ("rejected",))
    return allowed


def grades(
    predictions: Sequence[Mapping[str, Any]], passed: Mapping[str, Passed]
) -> dict[str, str]:
    """Grade the predictions by the candidates that voted, tag -> stages, in order."""
    graded = {}
    for prediction in predictions:
        before = prediction["stage"] - 1
        reached = [tag for tag, stage in passed.items() if all(stage[:before])]
        named = prediction["candidate"]
        tag = (reached[0] if reached else "") if named == "first" else named
        grade = "untested"
        if tag in reached:
            grade = "confirmed" if passed[tag][before] else "falsified"
        graded[prediction["id"]] = grade
    return graded


def verdict_of_seed(passed: Mapping[str, Mapping[int, Passed]], seed: int) -> str:
    """Return the verdict that a training seed would have given."""
    for tag, by_seed in passed.items():
        if seed not in by_seed:
            return "open"
        if all(by_seed[seed]):
            return f"adopted {tag}"
    return "rejected"
