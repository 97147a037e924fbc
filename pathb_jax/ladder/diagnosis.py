"""A run at a protocol's default hyper-parameters: its segments, best state and fall from it.

Read from the files that it left, in one piece or in segments. Source: docs/spec/ladder.md, "Why".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pathb_jax.errors import InputError
from pathb_jax.ladder.equivalence import Count, newcombe
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.statistics import CONFIDENCE
from pathb_jax.store.diagnosis_record import DiagnosisRecord, FallRecord, SegmentRecord, StateRecord

if TYPE_CHECKING:
    from pathb_jax.runs.outcome import RunOutcome

PUBLISHED_ENDS = (611, 815, 1018, 1221)
"""Updates after which the published segments ended: 5.0, 6.67, 8.34 and 10.0 M steps."""


def sets_of(protocol: Protocol) -> tuple[int, int]:
    """Return first seeds of the set that chooses the best state (stage 1's) and that which tells.

    Raises:
        InputError: the protocol has one evaluation set only, or another environment.
    """
    if protocol.run.env is not None:
        allowed = (
            "a diagnosis is of the shadow field; judge a baseline among the candidates instead"
        )
        raise InputError("--protocol", protocol.file, allowed)
    first, *others = protocol.seed_sets
    if not others:
        allowed = "it needs a second evaluation set, such as evaluation.third_seed_start"
        raise InputError("--protocol", protocol.file, allowed)
    return first, others[-1]


def segment_ends(updates: int) -> list[int]:
    """Return the updates after which segments end: the published shares of the run, rounded up.

    >>> segment_ends(1221)
    [611, 815, 1018, 1221]
    >>> segment_ends(60)
    [31, 41, 51, 60]
    """
    return [-(-end * updates // PUBLISHED_ENDS[-1]) for end in PUBLISHED_ENDS]


def diagnose(
    chain: "Sequence[RunOutcome]", label: str, protocol: Protocol, ends: Sequence[int]
) -> DiagnosisRecord:
    """Read what a run, in one piece or in segments, left in its files.

    The best state is chosen on the first set and told of on the last: chosen and told of on one
    set it would look better than it is, and the fall from it larger.

    Args:
        chain: its outcomes, in order.
        label: what it is called.
        protocol: whose sets are evaluated.
        ends: updates after which segments end.
    """
    choosing, telling = sets_of(protocol)
    states = [state for outcome in chain for state in _evaluated(outcome, choosing, telling)]
    names = ("update", "entropy", "log_std", "mean_reward", "value_loss")
    history = {name: np.concatenate([outcome.history[name] for outcome in chain]) for name in names}
    diverged = chain[-1].diverged
    return DiagnosisRecord(
        label=label,
        diverged=diverged.text if diverged else None,
        chosen_on=choosing,
        told_on=telling,
        segments=list(_segments(states, history, ends)),
        evaluations=states,
        fall=_fall(chain, states) if states else None,
    )


def _evaluated(outcome: "RunOutcome", choosing: int, telling: int) -> Iterator[StateRecord]:
    table = outcome.evaluations
    seeds, successes = table["seeds"], np.rint(table["success_rate"] * table["seeds"])
    counts = {
        (start, update): (int(count), int(of))
        for start, update, count, of in zip(
            table["seed_start"], table["update"], successes, seeds, strict=True
        )
    }
    for row in np.flatnonzero(table["seed_start"] == choosing):
        update = int(table["update"][row])
        if (telling, update) not in counts:  # a run of another command, taken up
            continue
        yield StateRecord(
            update=update,
            env_steps=int(table["env_steps"][row]),
            success=counts[choosing, update],
            mean_terminal_alignment=float(table["mean_terminal_alignment"][row]),
            mean_steps=float(table["mean_steps"][row]),
            reported=counts[telling, update],
        )


def _segments(
    states: Sequence[StateRecord], history: Mapping[str, np.ndarray], ends: Sequence[int]
) -> Iterator[SegmentRecord]:
    by_update = {state.update: state for state in states}
    for start, end in zip([0, *ends], ends, strict=False):
        inside = (history["update"] > start) & (history["update"] <= end)
        if end in by_update:
            last = {name: float(column[inside][-1]) for name, column in history.items()}
            yield SegmentRecord(
                state=by_update[end],
                entropy=last["entropy"],
                log_std=last["log_std"],
                mean_reward=last["mean_reward"],
                value_loss_max=float(history["value_loss"][inside].max()),
            )


def _fall(chain: "Sequence[RunOutcome]", states: Sequence[StateRecord]) -> FallRecord:
    best = max(states, key=lambda state: (state.success[0], state.update))
    end = states[-1]
    files = [outcome.files for outcome in chain]
    kept = [
        f"{run.out.name}/{run.name(step)}"
        for run in files
        if (step := run.checkpoints / str(best.update)).is_dir()
    ]
    return FallRecord(
        best=best,
        best_checkpoint=kept[0] if kept else None,
        end=end,
        difference=end.reported[0] / end.reported[1] - best.reported[0] / best.reported[1],
        interval=[*newcombe(best.reported, end.reported, CONFIDENCE)],
        p_value=fall_by_chance(best.reported, end.reported),
    )


def fall_by_chance(before: Count, after: Count) -> float:
    """Return Fisher's exact p-value, one-sided, of two sets having one success probability.

    Example:
        >>> round(fall_by_chance((3, 4), (1, 4)), 4)  # Fisher's tea
        0.2429
    """
    from scipy.stats import fisher_exact  # takes long to import

    table = np.array([[successes, seeds - successes] for successes, seeds in (after, before)])
    return float(fisher_exact(table, alternative="less").pvalue)
