"""The anchor figures: rows of the specification's table, trained with many training seeds.

Finished runs are collected in one CSV file, so that the study can be done in parts, on one machine
or several. Source of the published figures: specification, trainer page, "Anchor figures".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.config import (
    EvaluationConfig,
    Hparams,
    OutputConfig,
    RunConfig,
    ScheduleConfig,
    TaskConfig,
    Tier,
    TrainConfig,
    VariantName,
)
from pathb_jax.studies.provenance import provenance

EVAL_SEED_START = 10000
EVAL_SEEDS = 64
MIXED: VariantName = "mixed_ppo_phase3_lambda_0_9"
TERMINAL: VariantName = "signature_ppo_terminal"


class Anchor(NamedTuple):
    """One row: what is trained, how often, and what was published."""

    name: str
    tier: Tier
    variant: VariantName
    mixed_lambda: float | None
    updates: int
    training_seeds: int
    published_run: int | None
    """Successes of 64 seeds of the table's one run."""
    published_alignment: float | None
    """Mean terminal alignment of that run."""
    published_seeds: tuple[int, ...] = ()
    """Successes of further runs of that implementation, one per training seed."""


ANCHORS = (
    Anchor("small-mixed-0.90-1M", "Small", MIXED, 0.9, 122, 16, 2, 0.528, (0, 4, 0, 2, 7, 3, 2, 5)),
    Anchor("small-terminal-1M", "Small", TERMINAL, None, 122, 16, 37, 0.963, (40, 4, 18, 1)),
    Anchor("small-mixed-0.90-10M", "Small", MIXED, 0.9, 1221, 8, None, None),
    Anchor("medium-terminal-10M", "Medium", TERMINAL, None, 1221, 2, 64, 0.999),
    Anchor("medium-mixed-0.90-10M", "Medium", MIXED, 0.9, 1221, 2, 36, 0.973),
    Anchor("medium-mixed-0.97-10M", "Medium", MIXED, 0.97, 1221, 2, 2, 0.276),
)


class AnchorRun(NamedTuple):
    """One finished run, a row of the study's CSV file."""

    anchor: str
    training_seed: int
    successes: int
    seeds: int
    mean_terminal_alignment: float
    mean_steps: float
    env_steps: int
    env_steps_per_second: float
    commit: str
    jax: str
    device_kind: str


class Comparison(NamedTuple):
    """What our runs of an anchor say beside the published ones."""

    anchor: Anchor
    runs: list[AnchorRun]
    mean_successes: float
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the mean over training seeds; None below four seeds."""
    p_value: float | None
    """Exact permutation test of the difference of means; None unless both have several seeds."""
    agrees: bool | None
    """p >= 0.05; with one published seed, whether it lies in our range; None: none published."""


def missing_runs(
    anchors: Sequence[Anchor], done: Sequence[AnchorRun]
) -> Iterator[tuple[Anchor, int]]:
    """Yield anchor and training seed of every run that is not in `done`.

    Every row gets its first seed before any gets its second: a study cut short says most so.
    """
    have = {(run.anchor, run.training_seed) for run in done}
    for seed in range(max(anchor.training_seeds for anchor in anchors)):
        for anchor in anchors:
            if seed < anchor.training_seeds and (anchor.name, seed) not in have:
                yield anchor, seed


def run_config(anchor: Anchor, training_seed: int, out: Path) -> RunConfig:
    """Configuration of one run; its files go into a folder of its own below `out`."""
    label = f"{anchor.name.replace('.', '_')}_seed_{training_seed}"
    return RunConfig(
        task=TaskConfig(anchor.variant),
        train=TrainConfig(tier=anchor.tier),
        hparams=Hparams(mixed_lambda=anchor.mixed_lambda),
        schedule=ScheduleConfig(updates=anchor.updates, seed=training_seed),
        evaluation=EvaluationConfig(eval_seed_start=(EVAL_SEED_START,), eval_seeds=EVAL_SEEDS),
        output=OutputConfig(run_label=label, out=out / label),
    ).validated()


def train_one(anchor: Anchor, training_seed: int, out: Path, observer: Any) -> AnchorRun:
    """Train one run, or take it up, and return its row."""
    from pathb_jax import run
    from pathb_jax.store.json_files import read_json

    outcome = run.train(run_config(anchor, training_seed, out), observer)
    summary = outcome.summaries[EVAL_SEED_START]
    return AnchorRun(
        anchor=anchor.name,
        training_seed=training_seed,
        successes=summary["success_count"],
        seeds=summary["seeds"],
        mean_terminal_alignment=summary["mean_terminal_alignment"],
        mean_steps=summary["mean_steps"],
        env_steps=outcome.env_steps,
        env_steps_per_second=outcome.env_steps / outcome.train_seconds,
        **provenance(read_json(outcome.files.manifest)),
    )


def compare(anchor: Anchor, done: Sequence[AnchorRun]) -> Comparison:
    """Compare the finished runs of an anchor with what was published."""
    from scipy.stats import bootstrap

    runs = [run for run in done if run.anchor == anchor.name]
    ours, theirs = [run.successes for run in runs], anchor.published_seeds
    interval, p_value, agrees = None, None, None
    if len(ours) >= 4 and len(set(ours)) > 1:
        found = bootstrap((ours,), np.mean, rng=np.random.default_rng(0)).confidence_interval
        interval = (float(found.low), float(found.high))
    if len(ours) > 1 and len(theirs) > 1:
        p_value = exact_difference_of_means(ours, theirs)
        agrees = p_value >= 0.05
    elif ours and anchor.published_run is not None:
        agrees = min(ours) <= anchor.published_run <= max(ours)
    mean = float(np.mean(ours)) if ours else float("nan")
    return Comparison(anchor, runs, mean, interval, p_value, agrees)


def exact_difference_of_means(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """Two-sided p-value of a permutation test on the difference of means.

    Exact where there are at most a million assignments, else from 100 000 random ones.
    """
    from math import comb

    from scipy.stats import permutation_test

    few = comb(len(ours) + len(theirs), len(theirs)) <= 1_000_000
    samples: Any = (np.asarray(ours, float), np.asarray(theirs, float))
    result = permutation_test(
        samples,
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        vectorized=True,
        n_resamples=1_000_000 if few else 100_000,
        batch=10_000,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
