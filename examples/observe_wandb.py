"""Train one run and follow it in Weights & Biases: `python examples/observe_wandb.py`.

Needs `pip install wandb`. The project's files under `out` stay what counts; what is shown there is
a copy, a run per slug.
"""

from pathlib import Path
from typing import Any

import wandb

from pathb_jax import Observer, make_config, train
from pathb_jax.runs.observer import Progress


class WeightsAndBiases(Observer):
    """Logs history and evaluations; the x axis is environment steps."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.runs: dict[str, Any] = {}

    def progress(self, progress: Progress) -> None:
        """Log what is new of a run."""
        run = self.runs.get(progress.slug)
        if run is None:
            run = wandb.init(
                project=self.project, name=progress.slug, config=dict(progress.settings)
            )
            run.define_metric("*", step_metric="env_steps")
            self.runs[progress.slug] = run
        for row in _lines(progress.rows):
            run.log({f"history/{name}": value for name, value in row.items()} | _steps(row))
        for row in _lines(progress.evaluations):
            rate = {f"seeds_{int(row['seed_start'])}/success_rate": row["success_rate"]}
            run.log(rate | _steps(row))
        if progress.update == progress.updates:
            run.finish()


def _lines(table: Any) -> list[dict[str, float]]:
    return [
        dict(zip(table, map(float, line), strict=True))
        for line in zip(*table.values(), strict=True)
    ]


def _steps(row: dict[str, float]) -> dict[str, float]:
    return {"env_steps": row["env_steps"]}


def main(out: Path = Path("results/wandb"), updates: int = 60) -> None:
    """Train a short run."""
    config = make_config("mixed_ppo_phase3_lambda_0_9", updates=updates, out=out)
    train(config, observers=[WeightsAndBiases("pathb")])


if __name__ == "__main__":
    main()
