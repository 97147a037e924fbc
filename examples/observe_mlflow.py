"""Train one run and follow it in MLflow: `python examples/observe_mlflow.py`, then `mlflow ui`.

Needs `pip install mlflow`. The project's files under `out` stay what counts; what is shown there is
a copy, a run per slug.
"""

from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric

from pathb_jax import Observer, make_config, train
from pathb_jax.runs.observer import Progress


class MLflow(Observer):
    """Logs history and evaluations; a metric's step is environment steps."""

    def __init__(self, experiment: str) -> None:
        self.client = MlflowClient()
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = (
            found.experiment_id if found else self.client.create_experiment(experiment)
        )
        self.runs: dict[str, str] = {}

    def progress(self, progress: Progress) -> None:
        """Log what is new of a run."""
        if progress.slug not in self.runs:
            run = self.client.create_run(self.experiment, run_name=progress.slug)
            self.runs[progress.slug] = run.info.run_id
            for name, value in progress.settings.items():
                self.client.log_param(run.info.run_id, name, value)
        metrics = [
            Metric(name, float(value), 0, int(step))
            for name, column in progress.rows.items()
            for step, value in zip(progress.rows["env_steps"], column, strict=True)
            if np.isfinite(value)
        ]
        measured = progress.evaluations
        metrics += [
            Metric(f"success_rate_{int(start)}", float(rate), 0, int(step))
            for start, rate, step in zip(
                measured["seed_start"], measured["success_rate"], measured["env_steps"], strict=True
            )
        ]
        run_id = self.runs[progress.slug]
        for first in range(0, len(metrics), 1000):  # a call takes no more
            self.client.log_batch(run_id, metrics=metrics[first : first + 1000])
        if progress.update == progress.updates:
            self.client.set_terminated(run_id)


def main(out: Path = Path("results/mlflow"), updates: int = 60) -> None:
    """Train a short run."""
    config = make_config("mixed_ppo_phase3_lambda_0_9", updates=updates, out=out)
    train(config, observers=[MLflow("pathb")])


if __name__ == "__main__":
    main()
