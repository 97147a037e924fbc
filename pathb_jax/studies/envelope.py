"""The envelope: how far lambda, the weight of the reward channel, can go before training breaks.

Every lambda is trained with the same training seeds. Finished runs are collected in one table, so
that the study can be done in parts. Its statistics are in `envelope_statistics`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.config import (
    EvaluationConfig,
    Hparams,
    OutputConfig,
    ParallelRuns,
    RunConfig,
    ScheduleConfig,
    TaskConfig,
    Tier,
    TrainConfig,
    VariantName,
)
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.evaluation.channels import NEW_BASIN
from pathb_jax.store.models import parse
from pathb_jax.store.study_table import StudyTable
from pathb_jax.studies.envelope_statistics import (
    Breach,
    Point,
    Samples,
    Shape,
    breach,
    shape,
    summarise,
)
from pathb_jax.studies.envelope_table import EnvelopeRun
from pathb_jax.studies.provenance import provenance

EVAL_SEED_START = 10000
SIGNATURE: VariantName = "signature_ppo_dense"
MIXED: VariantName = "mixed_ppo_phase3_lambda_0_9"
REWARD: VariantName = "reward_ppo_phase3"


class Study(NamedTuple):
    """What all runs of an envelope share."""

    tier: Tier
    updates: int
    eval_seeds: int
    hparams: Hparams
    """`mixed_lambda` is None: the study sets it."""


def variant(mixed_lambda: float) -> VariantName:
    """Variant that is trained at a lambda.

    >>> [variant(mixed_lambda) for mixed_lambda in (0.0, 0.3, 1.0)]
    ['signature_ppo_dense', 'mixed_ppo_phase3_lambda_0_9', 'reward_ppo_phase3']
    """
    return {0.0: SIGNATURE, 1.0: REWARD}.get(mixed_lambda, MIXED)


def settings(study: Study) -> str:
    """Write the study as flags: tier, budget, evaluation seeds, hyper-parameters that differ.

    >>> settings(Study("Small", 1221, 64, Hparams(value_coef=0.25)))
    '--tier Small --updates 1221 --eval-seeds 64 --value-coef 0.25'
    """
    defaults = vars(Hparams())
    changed = {k: v for k, v in vars(study.hparams).items() if v != defaults[k]}
    named = {"tier": study.tier, "updates": study.updates, "eval_seeds": study.eval_seeds}
    flags = {**named, **changed}.items()
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in flags)


def missing_runs(
    lambdas: Sequence[float], training_seeds: int, done: Sequence[EnvelopeRun]
) -> Iterator[tuple[float, int]]:
    """Yield lambda and training seed of every run that is not in `done`.

    Every lambda gets its first seed before any gets its second: a study cut short says most so.
    """
    have = {(run.mixed_lambda, run.training_seed) for run in done}
    for seed in range(training_seeds):
        for mixed_lambda in lambdas:
            if (mixed_lambda, seed) not in have:
                yield mixed_lambda, seed


def run_config(
    study: Study, mixed_lambda: float, training_seed: int, output: OutputConfig
) -> RunConfig:
    """Configuration of one run; its files go into a folder of its own below `output.out`.

    Raises:
        InputError: a hyper-parameter, a seed or a count that is not allowed.
    """
    assert output.out is not None
    label = f"{study.tier.lower()}_lambda_{mixed_lambda!r}_seed_{training_seed}".replace(".", "_")
    chosen = variant(mixed_lambda)
    return validated(
        RunConfig(
            task=TaskConfig(chosen),
            train=TrainConfig(tier=study.tier),
            hparams=dataclasses.replace(
                study.hparams, mixed_lambda=mixed_lambda if chosen == MIXED else None
            ),
            schedule=ScheduleConfig(updates=study.updates, seed=training_seed),
            # Only the end is looked at: no time goes into evaluations on the way.
            evaluation=EvaluationConfig(
                eval_seed_start=(EVAL_SEED_START,),
                eval_seeds=study.eval_seeds,
                eval_every=study.updates,
            ),
            output=OutputConfig(
                run_label=label,
                out=output.out / label,
                backend=output.backend,
                accept_environment_change=output.accept_environment_change,
            ),
        )
    )


def basin_preference(x: np.ndarray, y: np.ndarray, basin_distance: np.ndarray) -> np.ndarray:
    """How much nearer to the false basin than to where the battery moves it an episode ended.

    docs/spec/battery.md: |x_T - (2.5, 2.5)| - |x_T - (-2.5, -2.5)|, `[K]`. It
    defines x_T with the basin moved in mid-episode; a policy that does not see the basin, as none
    here does, ends where it ends without that edit, so plain episodes serve.

    Args:
        x: first component of the last positions, `[K]`.
        y: second component, `[K]`.
        basin_distance: distance of the last positions from the false basin, `[K]`.
    """
    return np.hypot(x - NEW_BASIN[0], y - NEW_BASIN[1]) - basin_distance


def finished_run(
    study: Study, mixed_lambda: float, training_seed: int, outcome: Any
) -> EnvelopeRun:
    """Return the row of a run, from the files that `outcome` (a `RunOutcome`) names."""
    from pathb_jax.store.tables import read_numbers

    figures: dict[str, Any] = {}
    if outcome.diverged is None:
        columns = ("terminalX", "terminalY", "terminalBasinDistance")
        episodes = read_numbers(outcome.evaluation_files[EVAL_SEED_START].rows, columns)
        x, y, distance = (episodes[name] for name in columns)
        summary = outcome.summaries[EVAL_SEED_START]
        figures = {
            "successes": summary["success_count"],
            "mean_terminal_alignment": summary["mean_terminal_alignment"],
            "mean_steps": summary["mean_steps"],
            "mean_basin_distance": float(np.mean(distance)),
            "basin_preference": float(np.mean(basin_preference(x, y, distance))),
        }
    cells = {
        "settings": settings(study),
        "mixed_lambda": mixed_lambda,
        "training_seed": training_seed,
        "diverged": int(outcome.diverged is not None),
        "seeds": study.eval_seeds,
        "env_steps": outcome.env_steps,
        "env_steps_per_second": outcome.env_steps / max(outcome.train_seconds, 1e-9),
        **provenance(outcome.manifest),
        **figures,
    }
    return parse(EnvelopeRun, cells, f"row of {outcome.files.out}: ")


def finished_runs(table: StudyTable[EnvelopeRun], study: Study) -> list[EnvelopeRun]:
    """Return the rows of a table to which runs of a study are to be added.

    Raises:
        InputError: as `StudyTable.read`, or they are runs of another study.
    """
    done = table.read()
    if done and done[0].settings != settings(study):
        allowed = f"it holds runs of {done[0].settings}; choose another --out or --table"
        raise InputError("--table", str(table.path), allowed)
    return done


def train_missing(
    table: StudyTable[EnvelopeRun],
    study: Study,
    missing: Sequence[tuple[float, int]],
    output: OutputConfig,
    observer: Any,
    parallel_runs: ParallelRuns,
    cluster: Any = None,
) -> None:
    """Train runs, given as lambda and training seed; add each to the table as it ends.

    Args:
        table: where they go.
        study: what they share.
        missing: from `missing_runs`.
        output: its folder gets one for each run.
        observer: is told of progress.
        parallel_runs: how many train side by side.
        cluster: trains them instead of this machine.

    Raises:
        InputError: a run that is there comes from another environment, and that is not accepted.
    """
    from pathb_jax.runs import side_by_side
    from pathb_jax.runs.outcome import check_trained_here

    configs = [run_config(study, *run, output) for run in missing]
    environment = None if cluster is None else cluster.environment
    for ended in side_by_side.train_all(configs, observer, parallel_runs, cluster=cluster):
        check_trained_here(configs[ended.position], ended.outcome, environment)
        table.add(finished_run(study, *missing[ended.position], ended.outcome))


class Envelope(NamedTuple):
    """What the finished runs say."""

    settings: str
    """What all of them share, as flags."""
    training_seeds: int
    eval_seeds: int
    env_steps: int
    """Of one run."""
    samples: list[Samples]
    """In increasing lambda."""
    points: list[Point]
    breach: Breach
    shape: Shape

    @property
    def command(self) -> str:
        """What trains all of it again."""
        lambdas = " ".join(str(sample.mixed_lambda) for sample in self.samples)
        return (
            f"python scripts/envelope.py {self.settings} --lambdas {lambdas} "
            f"--train-seeds {self.training_seeds}"
        )


def envelope(done: Sequence[EnvelopeRun]) -> Envelope:
    """Compute all statistics of at least one finished run."""
    samples = [_samples(at, done) for at in sorted({run.mixed_lambda for run in done})]
    points = summarise(samples)
    return Envelope(
        settings=done[0].settings,
        training_seeds=1 + max(run.training_seed for run in done),
        eval_seeds=done[0].seeds,
        env_steps=max(run.env_steps for run in done),
        samples=samples,
        points=points,
        breach=breach(samples),
        shape=shape(points, [sample.mixed_lambda for sample in samples if not len(sample.success)]),
    )


def _samples(mixed_lambda: float, done: Sequence[EnvelopeRun]) -> Samples:
    runs = [run for run in done if run.mixed_lambda == mixed_lambda]
    whole = sorted((r for r in runs if not r.diverged), key=lambda run: run.training_seed)
    return Samples(
        mixed_lambda=mixed_lambda,
        diverged=len(runs) - len(whole),
        success=np.array([run.success_rate for run in whole]),
        alignment=np.array([run.mean_terminal_alignment for run in whole]),
        steps=np.array([run.mean_steps for run in whole]),
        basin_distance=np.array([run.mean_basin_distance for run in whole]),
        preference=np.array([run.basin_preference for run in whole]),
    )
