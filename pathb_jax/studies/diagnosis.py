"""A protocol's default hyper-parameters, watched over the whole run: peak, unwinding, best state.

One run that is evaluated on the way, or four segments that each load the one before, as the
published Path A was trained. Source: docs/spec/ladder.md, "Why".
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.ladder.equivalence import Count, newcombe
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import Protocol
from pathb_jax.ladder.schema import Candidate
from pathb_jax.ladder.statistics import CONFIDENCE

if TYPE_CHECKING:
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome

PUBLISHED_ENDS = (611, 815, 1018, 1221)
"""Updates after which the published segments ended: 5.0, 6.67, 8.34 and 10.0 M steps."""

DEFAULTS = Candidate.model_construct(order=0, tag="defaults", change={}, why="", if_it_fails="")
"""No change, and so nobody's candidate."""


def sets_of(protocol: Protocol) -> tuple[int, int]:
    """Return first seeds of the set that chooses the best state (stage 1's) and that which tells.

    Raises:
        InputError: the protocol has one evaluation set only.
    """
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


def diagnosed_runs(plan: LadderPlan, *, batch: bool) -> list[RunConfig]:
    """Return the protocol's run at default hyper-parameters, and with `batch` its batch's.

    Raises:
        InputError: a label that is too long for a file's name.
    """
    runs = [plan.candidate_run(DEFAULTS)]
    if batch:
        runs += [plan.batch_run(run, DEFAULTS) for run in plan.protocol.batch]
    ends = tuple(segment_ends(plan.run.updates))
    return [
        validated(
            dataclasses.replace(run, evaluation=dataclasses.replace(run.evaluation, eval_at=ends))
        )
        for run in runs
    ]


def segments_of(run: RunConfig) -> list[RunConfig]:
    """Return a run as four runs of which each loads the one before."""
    segments: list[RunConfig] = []
    start = 0
    for number, end in enumerate(segment_ends(run.schedule.updates), start=1):
        label = f"{run.output.run_label}_segment_{number}"
        assert run.output.out is not None  # filled in by `validated`
        output = dataclasses.replace(
            run.output,
            run_label=label,
            out=run.output.out.with_name(label),
            load_checkpoint=segments[-1].output.out if segments else None,
        )
        segment = dataclasses.replace(
            run,
            schedule=dataclasses.replace(run.schedule, updates=end - start),
            evaluation=dataclasses.replace(run.evaluation, eval_at=()),
            output=output,
        )
        segments.append(validated(segment))
        start = end
    return segments


def train_chains(
    chains: Sequence[Sequence[RunConfig]], observer: "Observer | None" = None
) -> "list[list[RunOutcome]]":
    """Train chains of runs side by side, each chain in its order up to a run that diverges.

    Args:
        chains: equally long; a run may load the one before.
        observer: told about the progress of all.

    Raises:
        InputError: a run that is there comes from another environment, and that is not accepted.
        Exception: as `train_all`.
    """
    from pathb_jax.runs.outcome import check_trained_here
    from pathb_jax.runs.side_by_side import train_all

    outcomes: list[list[RunOutcome]] = [[] for _ in chains]
    for step in range(len(chains[0])):
        going = [
            index for index, done in enumerate(outcomes) if not done or done[-1].diverged is None
        ]
        configs = [chains[index][step] for index in going]
        for position, outcome in train_all(configs, observer):
            check_trained_here(configs[position], outcome)
            outcomes[going[position]].append(outcome)
    return outcomes


class Evaluated(NamedTuple):
    """A state of a run that was evaluated."""

    update: int
    env_steps: int
    success: Count
    """On the first set, which the best state is chosen by."""
    mean_terminal_alignment: float
    """On the first set, as `mean_steps`."""
    mean_steps: float
    reported: Count
    """On the last set, which chooses nothing."""


class SegmentEnd(NamedTuple):
    """A row of the segment table."""

    state: Evaluated
    entropy: float
    log_std: float
    mean_reward: float
    """Of the segment's last update, as the two before."""
    value_loss_max: float
    """Over the segment."""


class Fall(NamedTuple):
    """From the best state to the end."""

    best: Evaluated
    """Most successes on the first set, the latest of equals."""
    best_checkpoint: str | None
    """Where the best state is kept, from the runs' folder; None: it is not."""
    end: Evaluated
    difference: float
    """Success rate at the end less that of the best state, both on the last set."""
    interval: tuple[float, float]
    """Newcombe's 95 % interval of the difference."""
    p_value: float
    """Of Fisher's exact test, one-sided: both have one success probability."""

    @property
    def unwound(self) -> bool:
        """Whether the fall is more than chance, at 5 %."""
        return self.p_value < 1 - CONFIDENCE


class Diagnosis(NamedTuple):
    """What a run at default hyper-parameters did."""

    label: str
    diverged: str | None
    segments: list[SegmentEnd]
    """Those that were reached."""
    evaluations: list[Evaluated]
    fall: Fall | None
    """None: nothing was evaluated."""


def diagnose(
    chain: "Sequence[RunOutcome]", label: str, protocol: Protocol, ends: Sequence[int]
) -> Diagnosis:
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
    return Diagnosis(
        label=label,
        diverged=diverged.text if diverged else None,
        segments=list(_segments(states, history, ends)),
        evaluations=states,
        fall=_fall(chain, states) if states else None,
    )


def _evaluated(outcome: "RunOutcome", choosing: int, telling: int) -> Iterator[Evaluated]:
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
        yield Evaluated(
            update=update,
            env_steps=int(table["env_steps"][row]),
            success=counts[choosing, update],
            mean_terminal_alignment=float(table["mean_terminal_alignment"][row]),
            mean_steps=float(table["mean_steps"][row]),
            reported=counts[telling, update],
        )


def _segments(
    states: Sequence[Evaluated], history: Mapping[str, np.ndarray], ends: Sequence[int]
) -> Iterator[SegmentEnd]:
    by_update = {state.update: state for state in states}
    for start, end in zip([0, *ends], ends, strict=False):
        inside = (history["update"] > start) & (history["update"] <= end)
        if end in by_update:
            last = {name: float(column[inside][-1]) for name, column in history.items()}
            yield SegmentEnd(
                by_update[end],
                last["entropy"],
                last["log_std"],
                last["mean_reward"],
                float(history["value_loss"][inside].max()),
            )


def _fall(chain: "Sequence[RunOutcome]", states: Sequence[Evaluated]) -> Fall:
    best = max(states, key=lambda state: (state.success[0], state.update))
    end = states[-1]
    files = [outcome.files for outcome in chain]
    kept = [
        f"{run.out.name}/{run.name(step)}"
        for run in files
        if (step := run.checkpoints / str(best.update)).is_dir()
    ]
    return Fall(
        best=best,
        best_checkpoint=kept[0] if kept else None,
        end=end,
        difference=end.reported[0] / end.reported[1] - best.reported[0] / best.reported[1],
        interval=newcombe(best.reported, end.reported, CONFIDENCE),
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
