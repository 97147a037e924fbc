"""What a ladder is going to run: the protocol, with what was asked by flags in its place."""

import dataclasses
from pathlib import Path

from pathb_jax.cluster.driver import Cluster
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
from pathb_jax.ladder.protocol import Protocol, deviation, plan_deviations, run_label
from pathb_jax.ladder.schema import BatchRun, Candidate, Run

RECORD = "ladder.json"


@dataclasses.dataclass(frozen=True)
class LadderPlan:
    """A protocol as it is going to be run: `run` is its run with what was asked by flags."""

    protocol: Protocol
    run: Run
    out: Path
    backend: Backend = "auto"
    skip_batch: bool = False
    accept_environment_change: bool = False
    matmul_precision: MatmulPrecision = "float32"
    train_seeds: int = 1
    """Training seeds per candidate; the first votes, the others inform."""
    speculative: bool = False
    """Train all candidates at once, judge them in order."""
    parallel_runs: ParallelRuns = "auto"
    runs_per_device: int = 1
    cluster: Cluster | None = None
    """Where to train instead of on this machine; changes no bit of any run."""
    command: str = ""

    @property
    def deviations(self) -> list[str]:
        """Departures from the protocol file."""
        found = plan_deviations(self.protocol, self.run)
        if self.matmul_precision != "float32":
            found.append(deviation("matmul_precision", "float32", self.matmul_precision))
        if self.speculative:
            found.append(deviation("execution", "one candidate after another", "speculative"))
        if self.runs_per_device != 1:
            found.append(deviation("runs_per_device", 1, self.runs_per_device))
        return found

    @property
    def record_path(self) -> Path:
        """Where the record lies."""
        return self.out / RECORD

    @property
    def seeds(self) -> list[int]:
        """Training seeds of every candidate, the one that votes first."""
        return [self.run.seed + offset for offset in range(self.train_seeds)]

    def candidate_run(self, candidate: Candidate, seed: int | None = None) -> RunConfig:
        """Configuration of a candidate's run; `seed` is one of `seeds`, None the voting one."""
        label = run_label(self.run.label, candidate.tag)
        if seed is not None and seed != self.run.seed:
            label = f"{label}_seed_{seed}"
        return self._run_config(
            label,
            self.run.variant,
            self.run.mixed_lambda,
            candidate,
            self.run.seed if seed is None else seed,
        )

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
        return RunConfig(
            task=TaskConfig(variant),  # type: ignore[arg-type]  # the protocol checked the names
            train=TrainConfig(
                tier=planned.tier,  # type: ignore[arg-type]
                sensor_tier=planned.sensor_tier,  # type: ignore[arg-type]
                batch_envs=planned.batch_envs,
                rollout_length=planned.rollout_length,
                minibatch_size=planned.minibatch_size,
                epochs=planned.epochs,
                matmul_precision=self.matmul_precision,
            ),
            hparams=Hparams(**self.protocol.hparams_of(candidate), mixed_lambda=mixed_lambda),
            schedule=ScheduleConfig(
                updates=planned.updates,
                seed=seed,
                seed_start=planned.seed_start,
                log_std_init=planned.log_std_init,
            ),
            evaluation=EvaluationConfig(
                eval_seed_start=self.protocol.seed_sets,
                eval_seeds=self.protocol.evaluation.seeds,
            ),
            output=OutputConfig(
                run_label=label,
                out=self.out / label,
                backend=self.backend,
                accept_environment_change=self.accept_environment_change,
            ),
        ).validated()
