"""Runs that are told how they end: `trainer.train` replaced by figures given in a test."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.runs.manifest import RunManifest
from pathb_jax.runs.observer import Observer
from pathb_jax.runs.outcome import RunOutcome, run_files
from pathb_jax.store.models import parse
from pathb_jax.system import provenance

SEEDS = 32
GOOD = {"success": {10000: 20, 20000: 21, 30000: 19}}
WEAK = {"success": {10000: 7, 20000: 9, 30000: 8}}
"""Below the floor: 7/32 = 0.219."""
UNSTABLE = {**GOOD, "value_loss": 700.0}
SHIFTED = {"success": {10000: 17, 20000: 13, 30000: 20}}
"""0.531 against 0.406: 4/32 apart, one more than stage 3 allows."""
DIVERGED = {"diverged": {"update": 7, "quantity": "value_loss"}}


def history(updates: int, figures: Mapping[str, Any]) -> dict[str, np.ndarray]:
    count = np.arange(1, updates + 1)
    return {
        "update": count,
        "env_steps": count * 8192,
        "mean_reward": np.full(updates, -1.5),
        "value_loss": np.full(updates, figures.get("value_loss", 100.0)),
        "entropy": np.linspace(1.8, 1.4, updates),
        "log_std": np.linspace(-0.5, -0.7, updates),
    }


def manifest(config: RunConfig, figures: Mapping[str, Any]) -> RunManifest:
    """Return what a run says of what trained it; `figures` may hold a "manifest" that differs."""
    updates = config.schedule.updates
    content = {
        "status": "diverged" if "diverged" in figures else "completed",
        "config": config.to_dict(),
        "update": updates,
        "first_update": 0,
        "env_steps": updates * config.train.batch_size,
        "train_seconds": 36.0,
        "diverged": figures.get("diverged"),
        "started": "2026-01-02T03:04:05Z",
        "ended": "2026-01-02T04:05:06Z",
        "host": "here",
        "environment_changes": [],
        **provenance.environment(),
        **figures.get("manifest", {}),
    }
    return parse(RunManifest, content, "")


def outcome(config: RunConfig, figures: Mapping[str, Any], trained: bool) -> RunOutcome:
    """Return what a run with these figures would."""
    diverged = figures.get("diverged")
    updates = diverged["update"] - 1 if diverged else config.schedule.updates
    told = manifest(config, figures)
    summaries = {
        start: {
            "success_count": count,
            "seeds": SEEDS,
            "success_rate": count / SEEDS,
            "mean_terminal_alignment": 0.9,
            "mean_steps": 120.0,
        }
        for start, count in figures.get("success", {}).items()
    }
    along = figures.get("along", {config.schedule.updates // 2: (0, 0, 0)})
    rows = len(along)
    evaluations = {
        "update": np.repeat([*along], 3),
        "env_steps": np.repeat([*along], 3) * config.train.batch_size,
        "seed_start": np.array([10000, 20000, 30000] * rows),
        "seeds": np.full(3 * rows, SEEDS),
        "success_rate": np.ravel([*along.values()]) / SEEDS,
        "mean_terminal_alignment": np.array([0.88, 0.87, 0.86] * rows),
        "mean_steps": np.full(3 * rows, 150.0),
    }
    return RunOutcome(
        status="diverged" if diverged else "completed",
        files=run_files(config),
        env_steps=updates * config.train.batch_size,
        train_seconds=360.0,
        history=history(updates, figures),
        summaries=summaries,
        evaluations=evaluations,
        diverged=told.diverged,
        trained=trained,
        manifest=told,
    )


class PretendedRuns:
    """Stands for `trainer.train`.

    Args:
        figures: run label, or the tag at its end, -> figures; runs not named here are GOOD.
    """

    def __init__(self, figures: Mapping[str, Mapping[str, Any]]) -> None:
        self.figures = figures
        self.trained: list[str] = []
        self.configs: dict[str, RunConfig] = {}
        self.stop_at: str | None = None

    def __call__(self, config: RunConfig, observer: Observer) -> RunOutcome:
        label = config.output.run_label
        new = label not in self.trained
        if new:
            if label == self.stop_at:
                self.stop_at = None
                raise KeyboardInterrupt
            self.trained.append(label)
        self.configs[label] = config
        stem, _, tag = label.partition("_pathb_")
        named = self.figures.get(label) or (self.figures.get(tag) if stem == "mixed_0_90" else None)
        return outcome(config, named or GOOD, trained=new)
