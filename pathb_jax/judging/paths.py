"""Success along a run: the final checkpoint as one draw of a path that swings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pathb_jax.judging.rates import Count
from pathb_jax.ladder.exact import successes_needed


class AlongTheRun(NamedTuple):
    """In-run evaluations of one seed set."""

    last: Count
    best: Count
    best_update: int
    """The first update at which the best was reached."""
    late: int
    """Evaluations in the run's last third."""
    late_above: int
    """Of them, at or above the floor."""


def along_the_run(
    updates: Sequence[int], counts: Sequence[Count], floor: float
) -> AlongTheRun | None:
    """Summarise the evaluations of a run on one seed set.

    Args:
        updates: after how many updates of the run, ascending; the last is the run's end.
        counts: (successes, seeds) of each.
        floor: stage 1's threshold.

    Returns:
        None if there is no evaluation.
    """
    if not counts:
        return None
    rates = [successes / seeds for successes, seeds in counts]
    best = int(np.argmax(rates))
    late = [
        successes >= successes_needed(floor, seeds)
        for update, (successes, seeds) in zip(updates, counts, strict=True)
        if 3 * update > 2 * updates[-1]
    ]
    return AlongTheRun(counts[-1], counts[best], updates[best], len(late), sum(late))
