"""What a ladder is going to run: the protocol, with what was asked by flags in its place."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pathb_jax.config import (
    Backend,
    EvaluationConfig,
    Hparams,
    MatmulPrecision,
    OutputConfig,
    ParallelRuns,
    RunConfig,
    ScheduleConfig,
    TaskConfig,
    TrainConfig,
)
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.ladder.diagnosis import segment_ends, sets_of
from pathb_jax.ladder.knobs import Knob
from pathb_jax.ladder.protocol import Protocol, deviation, plan_deviations, run_label
from pathb_jax.ladder.schema import BatchRun, Candidate, PlannedRun
from pathb_jax.runs.cluster import Cluster
from pathb_jax.store.record_schema import RECORD
from pathb_jax.store.run_files import LONGEST_LABEL

GroupT = TypeVar("GroupT", TrainConfig, Hparams, ScheduleConfig)

DEFAULTS = Candidate.model_construct(order=0, tag="defaults", change={}, why="", if_it_fails="")
"""No change, and so nobody's candidate."""


@dataclasses.dataclass(frozen=True)
class LadderPlan:
    """A protocol as it is going to be run: `run` is its run with what was asked by flags."""

    protocol: Protocol
    run: PlannedRun
    out: Path
    backend: Backend = "auto"
    skip_batch: bool = False
    accept_environment_change: bool = False
    matmul_precision: MatmulPrecision = "float32"
    deterministic: bool = True
    train_seeds: int = 1
    """Training seeds per candidate, at least; those beyond the protocol's voting ones inform."""
    speculative: bool = False
    """Train all candidates at once, judge them in order."""
    parallel_runs: ParallelRuns = "auto"
    runs_per_device: int = 1
    cluster: Cluster | None = None
    """Where to train instead of on this machine; changes no bit of any run."""
    command: str = ""
    with_baseline: bool = False
    """After the verdict, train the default run too and say what it did."""

    def __post_init__(self) -> None:
        """Refuse a plan that could not reach its verdict, whichever candidate is adopted.

        Raises:
            InputError: two runs mean one folder, a run's name is too long for files, or its
                configuration is not allowed; or a default run is asked for, and the protocol has
                one evaluation set only.
        """
        owners: dict[str, str] = {}
        if self.with_baseline:
            sets_of(self.protocol)
            if self.adds_a_run:
                self._claim(owners, self.candidate_run(DEFAULTS), DEFAULTS, "--with-baseline")
        for candidate in self.protocol.candidates:
            for seed in self.seeds:
                config = self.candidate_run(candidate, seed)
                self._claim(owners, config, candidate, f"training seed {seed}")
        for adopted in self.protocol.candidates:
            batch = dict(owners)
            for batch_run in self.protocol.batch:
                config = self.batch_run(batch_run, adopted)
                self._claim(batch, config, adopted, f"batch run {batch_run.label}")

    def _claim(
        self, owners: dict[str, str], config: RunConfig, candidate: Candidate, what: str
    ) -> None:
        """Note whose a run's folder is; refuse one that is another run's."""
        label = config.output.run_label
        owner = f"candidate {candidate.tag}, {what}"
        # Some file systems hold names to be the same that differ in case.
        if (other := owners.setdefault(label.casefold(), owner)) != owner:
            raise InputError(
                f"protocol {self.protocol.file}: candidates.tag",
                candidate.tag,
                f"{label} would be the folder of two runs: {other}; {owner}",
            )

    @property
    def deviations(self) -> list[str]:
        """Departures from the protocol file."""
        departures = plan_deviations(self.protocol, self.run)
        if self.matmul_precision != "float32":
            departures.append(deviation("matmul_precision", "float32", self.matmul_precision))
        if not self.deterministic:
            departures.append(deviation("deterministic", True, False))
        if self.speculative:
            departures.append(deviation("execution", "one candidate after another", "speculative"))
        if self.runs_per_device != 1:
            departures.append(deviation("runs_per_device", 1, self.runs_per_device))
        return departures

    @property
    def record_path(self) -> Path:
        """Where the record lies."""
        return self.out / RECORD

    @property
    def seeds(self) -> list[int]:
        """Training seeds of every candidate, those that vote first."""
        count = max(self.train_seeds, self.protocol.voting.training_seeds)
        return [self.run.seed + offset for offset in range(count)]

    @property
    def voting_seeds(self) -> list[int]:
        """Training seeds that vote; the first is the run's, in the folder without a suffix."""
        return self.seeds[: self.protocol.voting.training_seeds]

    @property
    def baseline(self) -> Candidate:
        """Whose run the default run is: the protocol's baseline if it has one, else nobody's."""
        return next((c for c in self.protocol.candidates if c.baseline), DEFAULTS)

    @property
    def adds_a_run(self) -> bool:
        """Whether the default run is asked for and none of the candidates'."""
        return self.with_baseline and self.baseline is DEFAULTS

    def candidate_run(self, candidate: Candidate, seed: int | None = None) -> RunConfig:
        """Configuration of a candidate's run; `seed` is one of `seeds`, None the first.

        The default run, if it is asked for, is evaluated where the published segments ended too.
        """
        seed = self.run.seed if seed is None else seed
        label = run_label(self.run.label, candidate.tag)
        if seed != self.run.seed:
            label = f"{label}_seed_{seed}"
        variant, mixed_lambda = self.run.variant, self.run.mixed_lambda
        config = self._run_config(label, variant, mixed_lambda, candidate, seed)
        if self.with_baseline and candidate is self.baseline and seed == self.run.seed:
            return evaluated_at_segment_ends(config)
        return config

    def batch_run(self, batch_run: BatchRun, adopted: Candidate) -> RunConfig:
        """Configuration of a run of the batch, at the adopted candidate's hyper-parameters."""
        label = run_label(batch_run.label, adopted.tag)
        return self._run_config(
            label, batch_run.variant, batch_run.mixed_lambda, adopted, self.run.seed
        )

    def _run_config(
        self, label: str, variant: str, mixed_lambda: float | None, candidate: Candidate, seed: int
    ) -> RunConfig:
        planned = self.run
        if len(label) > LONGEST_LABEL:
            raise InputError(
                f"protocol {self.protocol.file}: label and tag",
                label,
                f"together they name a run and its files: at most {LONGEST_LABEL} characters",
            )
        train = TrainConfig(
            tier=planned.tier,
            sensor_tier=planned.sensor_tier,
            env=planned.env,
            batch_envs=planned.batch_envs,
            rollout_length=planned.rollout_length,
            minibatch_size=planned.minibatch_size,
            epochs=planned.epochs,
            matmul_precision=self.matmul_precision,
        )
        schedule = ScheduleConfig(
            updates=planned.updates,
            seed=seed,
            seed_start=planned.seed_start,
            log_std_init=planned.log_std_init,
        )
        knobs = self.protocol.hparams_of(candidate)
        return validated(
            RunConfig(
                # The protocol checked the names.
                task=TaskConfig(variant, success_return=planned.success_return),  # type: ignore[arg-type]
                train=_with(train, knobs),
                hparams=_with(Hparams(mixed_lambda=mixed_lambda), knobs),
                schedule=_with(schedule, knobs),
                evaluation=EvaluationConfig(
                    eval_seed_start=self.protocol.seed_sets,
                    eval_seeds=self.protocol.evaluation.seeds,
                ),
                output=OutputConfig(
                    run_label=label,
                    out=self.out / label,
                    backend=self.backend,
                    deterministic=self.deterministic,
                    accept_environment_change=self.accept_environment_change,
                ),
            )
        )


def evaluated_at_segment_ends(run: RunConfig) -> RunConfig:
    """Return a run that is evaluated where the published segments ended too; no bit differs."""
    ends = tuple(segment_ends(run.schedule.updates))
    evaluation = dataclasses.replace(run.evaluation, eval_at=ends)
    return validated(dataclasses.replace(run, evaluation=evaluation))


def _with(group: GroupT, knobs: Mapping[str, Knob]) -> GroupT:
    """Return a group of settings with those of the knobs that are its."""
    own: dict[str, Any] = {name: value for name, value in knobs.items() if hasattr(group, name)}
    return dataclasses.replace(group, **own)
