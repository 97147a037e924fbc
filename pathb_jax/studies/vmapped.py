"""Several runs as one vmapped program, and how far they come from the same runs alone."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.learn import networks
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program, stack_trees, together, unstack_tree
from pathb_jax.learn.task import task_params
from pathb_jax.learn.training import TrainState

ONE_UPDATE_TOLERANCE = 1e-4
"""Largest deviation of a parameter after one update, absolute, that is promised.

A third of what one step of Adam at the default learning rate moves a parameter. A batched matrix
product rounds differently from one alone. Seen on a CPU at Small, training seeds 0 to 511, 64
vmapped at a time: median 1.2e-7; 510 below 1.4e-6; in two seeds rounding decided more (2.9e-5), as
it does where a ratio is clipped or not. Training is chaotic, so that nothing is promised for more
updates: after ten most runs are still that near, after a hundred none is.
"""

SEED_START = 10000


class Deviation(NamedTuple):
    """Runs alone beside the same runs vmapped, after some updates."""

    updates: int
    largest: float
    """Largest absolute deviation of a parameter, over all runs; NaN if one is not finite."""
    successes_alone: list[int]
    """Evaluation successes per run."""
    successes_vmapped: list[int]
    seeds: int


def largest_deviation(first: networks.Params, second: networks.Params) -> float:
    """Return the largest absolute difference between the numbers of two trees."""
    differences = jax.tree.map(
        lambda a, b: np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))),
        first,
        second,
    )
    return float(np.max(jax.tree.leaves(differences)))  # NaN stays NaN


def deviations(
    configs: Sequence[RunConfig], updates: Sequence[int], eval_seeds: int
) -> Iterator[Deviation]:
    """Train runs alone and vmapped, and compare them after each number of updates.

    Args:
        configs: validated configurations of the same shapes and options.
        updates: ascending; no step between two of them may exceed `training.CHUNK_CAPACITY`.
        eval_seeds: episodes each policy is evaluated on.
    """
    train, compiled, last = configs[0].train, program(configs[0]), updates[-1]
    params = [task_params(config, compiled.env) for config in configs]
    hparams = [traced(config) for config in configs]
    alone = [compiled.init(config, p) for config, p in zip(configs, params, strict=True)]
    shared, spans = together(configs[0], len(configs)), [(0, last)] * len(configs)
    apart = unstack_tree(stack_trees(alone), len(alone))  # copies: `alone` is donated

    def successes(state: TrainState, env_params: Any) -> int:
        statistics, sets = state.normalizer, [SEED_START]
        (played,) = evaluate_policy(
            train, compiled.env, env_params, state.params, statistics, sets, eval_seeds
        )
        return played.success_count

    done = 0
    for count in updates:
        for index, state in enumerate(alone):
            alone[index], _ = compiled.train(
                state, hparams[index], params[index], count - done, (0, last)
            )
        steps = [count - done] * len(configs)
        apart, _ = shared.train(apart, hparams, params, steps, spans)
        done = count
        pairs = list(zip(alone, apart, strict=True))
        yield Deviation(
            updates=count,
            largest=float(np.max([largest_deviation(a.params, b.params) for a, b in pairs])),
            successes_alone=[successes(a, p) for a, p in zip(alone, params, strict=True)],
            successes_vmapped=[successes(b, p) for b, p in zip(apart, params, strict=True)],
            seeds=eval_seeds,
        )
