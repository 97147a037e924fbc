"""The anchor figures: rows of docs/spec/trainer.md, trained with many training seeds.

Finished runs are collected in one table, so that the study can be done in parts, on one machine or
several. Source of the published figures: docs/spec/trainer.md, "Anchor figures".
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from pathb_jax.config import (
    SEED_LIMIT,
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
from pathb_jax.config_checks import validated
from pathb_jax.store.models import parse
from pathb_jax.store.study_table import StudyRow, StudyTable, Text
from pathb_jax.studies.provenance import PROVENANCE, provenance

EVAL_SEED_START = 10000
EVAL_SEEDS = 64
MIXED: VariantName = "mixed_ppo_phase3_lambda_0_9"
TERMINAL: VariantName = "signature_ppo_terminal"

PUBLISHED_MEDIUM = TrainConfig(
    tier="Medium", batch_envs=128, rollout_length=256, minibatch_size=1024
)
PUBLISHED_MEDIUM_LR = 1e-4
PUBLISHED_MEDIUM_UPDATES = 305
"""What the published Medium rows, marked (M) in docs/spec/trainer.md, were trained with."""


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
    train: TrainConfig = TrainConfig()
    """Shapes of the run; the tier is `tier`."""
    lr: float = Hparams().lr

    @property
    def published(self) -> list[int]:
        """Published successes: the table's one run, and its repetitions."""
        return [k for k in (self.published_run, *self.published_seeds) if k is not None]


def _published_medium(
    name: str,
    variant: VariantName,
    mixed_lambda: float | None,
    published_run: int,
    published_alignment: float,
    published_seeds: tuple[int, ...] = (),
) -> Anchor:
    """Return a row marked (M), with the hyper-parameters it was published with."""
    return Anchor(
        name=f"medium-{name}-10M",
        tier="Medium",
        variant=variant,
        mixed_lambda=mixed_lambda,
        updates=PUBLISHED_MEDIUM_UPDATES,
        training_seeds=4,
        published_run=published_run,
        published_alignment=published_alignment,
        published_seeds=published_seeds,
        train=PUBLISHED_MEDIUM,
        lr=PUBLISHED_MEDIUM_LR,
    )


ANCHORS = (
    Anchor("small-mixed-0.90-1M", "Small", MIXED, 0.9, 122, 16, 2, 0.528, (0, 4, 0, 2, 7, 3, 2, 5)),
    Anchor("small-terminal-1M", "Small", TERMINAL, None, 122, 16, 37, 0.963, (40, 4, 18, 1)),
    Anchor("small-mixed-0.90-10M", "Small", MIXED, 0.9, 1221, 8, None, None),
    _published_medium("mixed-0.97", MIXED, 0.97, 2, 0.276),
    # Repeated with training seed 1; the published run has seed 0.
    _published_medium("phase3", "reward_ppo_phase3", None, 0, 0.267, (0, 41)),
    _published_medium("mixed-0.90", MIXED, 0.9, 36, 0.973),
    _published_medium("mixed-0.95", MIXED, 0.95, 43, 0.982),
    _published_medium("mixed-0.99", MIXED, 0.99, 3, 0.303),
    _published_medium("terminal", TERMINAL, None, 64, 0.999),
    _published_medium("mixed-0.80", MIXED, 0.8, 32, 0.979),
    _published_medium("mixed-0.70", MIXED, 0.7, 9, 0.981),
    _published_medium("mixed-0.50", MIXED, 0.5, 0, 0.94),
    _published_medium("signature", "signature_ppo_dense", None, 4, 0.68),
    _published_medium("dense", "reward_ppo_dense", None, 49, 0.99),
    # Trained here before it was known what (M) stands for. Nothing published is comparable.
    Anchor("medium-terminal-10M-defaults", "Medium", TERMINAL, None, 1221, 2, None, None),
    Anchor("medium-mixed-0.90-10M-defaults", "Medium", MIXED, 0.9, 1221, 2, None, None),
    Anchor("medium-mixed-0.97-10M-defaults", "Medium", MIXED, 0.97, 1221, 2, None, None),
)


class AnchorRun(StudyRow):
    """One finished run, a row of the study's table."""

    anchor: Text
    training_seed: Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
    successes: Annotated[int, Field(ge=0, le=EVAL_SEEDS)]
    seeds: Annotated[int, Field(ge=EVAL_SEEDS, le=EVAL_SEEDS)]
    mean_terminal_alignment: Annotated[float, Field(ge=0, le=1)]
    mean_steps: NonNegativeFloat
    env_steps: NonNegativeInt
    env_steps_per_second: NonNegativeFloat
    commit: Text
    jax: Text
    device_kind: Text


def anchors_table(path: Path) -> StudyTable[AnchorRun]:
    """Return the table of the study's finished runs."""
    return StudyTable(path, AnchorRun, key=("anchor", "training_seed"), incidental=PROVENANCE)


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
    """p >= 0.05; with one published seed, whether it lies in our range. None: too few to say."""


def missing_runs(
    anchors: Sequence[Anchor], done: Sequence[AnchorRun], most_seeds: int | None = None
) -> Iterator[tuple[Anchor, int]]:
    """Yield anchor and training seed of every run that is not in `done`.

    Every row gets its first seed before any gets its second: a study cut short says most so.
    `most_seeds` limits the training seeds of each row.
    """
    have = {(run.anchor, run.training_seed) for run in done}
    rows = max(anchor.training_seeds for anchor in anchors)
    for seed in range(rows if most_seeds is None else min(rows, most_seeds)):
        for anchor in anchors:
            if seed < anchor.training_seeds and (anchor.name, seed) not in have:
                yield anchor, seed


def run_config(
    anchor: Anchor, training_seed: int, out: Path, accept_environment_change: bool = False
) -> RunConfig:
    """Configuration of one run; its files go into a folder of its own below `out`."""
    label = f"{anchor.name.replace('.', '_')}_seed_{training_seed}"
    return validated(
        RunConfig(
            task=TaskConfig(anchor.variant),
            train=dataclasses.replace(anchor.train, tier=anchor.tier),
            hparams=Hparams(mixed_lambda=anchor.mixed_lambda, lr=anchor.lr),
            schedule=ScheduleConfig(updates=anchor.updates, seed=training_seed),
            evaluation=EvaluationConfig(eval_seed_start=(EVAL_SEED_START,), eval_seeds=EVAL_SEEDS),
            output=OutputConfig(
                run_label=label,
                out=out / label,
                accept_environment_change=accept_environment_change,
            ),
        )
    )


def train_one(
    anchor: Anchor,
    training_seed: int,
    out: Path,
    observer: Any,
    accept_environment_change: bool = False,
) -> AnchorRun | None:
    """Train one run, or take it up, and return its row; a run that diverged has none.

    Raises:
        InputError: the run that is there comes from another environment, and that is not accepted.
    """
    from pathb_jax.runs import trainer
    from pathb_jax.runs.outcome import check_trained_here

    config = run_config(anchor, training_seed, out, accept_environment_change)
    outcome = trainer.train(config, observer)
    check_trained_here(config, outcome)
    if outcome.diverged is not None:
        return None
    summary = outcome.summaries[EVAL_SEED_START]
    cells = {
        "anchor": anchor.name,
        "training_seed": training_seed,
        "successes": summary["success_count"],
        "seeds": summary["seeds"],
        "mean_terminal_alignment": summary["mean_terminal_alignment"],
        "mean_steps": summary["mean_steps"],
        "env_steps": outcome.env_steps,
        "env_steps_per_second": outcome.env_steps / outcome.train_seconds,
        **provenance(outcome.manifest),
    }
    return parse(AnchorRun, cells, f"row of {config.output.out}: ")


def train_missing(
    table: StudyTable[AnchorRun],
    anchors: Sequence[Anchor],
    most_seeds: int | None,
    out: Path,
    observer: Any,
    accept_environment_change: bool = False,
) -> None:
    """Train what `missing_runs` says is not in the table, and add each run to it as it ends.

    Raises:
        InputError: as `train_one` and `StudyTable.add`.
    """
    for anchor, seed in missing_runs(anchors, table.read(), most_seeds):
        run = train_one(anchor, seed, out, observer, accept_environment_change)
        if run is not None:
            table.add(run)
        else:
            observer.notice(f"{anchor.name}, seed {seed}: diverged, so it is no row")


def compare(anchor: Anchor, done: Sequence[AnchorRun]) -> Comparison:
    """Compare the finished runs of an anchor with what was published."""
    from scipy.stats import bootstrap

    runs = [run for run in done if run.anchor == anchor.name]
    ours, theirs = [run.successes for run in runs], anchor.published_seeds
    interval, p_value, agrees = None, None, None
    if len(ours) >= 4 and len(set(ours)) > 1:
        ends = bootstrap((ours,), np.mean, rng=np.random.default_rng(0)).confidence_interval
        interval = (float(ends.low), float(ends.high))
    if len(ours) > 1 and len(theirs) > 1:
        p_value = exact_difference_of_means(ours, theirs)
        agrees = p_value >= 0.05
    elif len(ours) > 1 and anchor.published_run is not None:
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
