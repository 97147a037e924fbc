"""`train_ppo`: train one run, or evaluate a checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

from pathb_jax.cli import command
from pathb_jax.config import RunConfig
from pathb_jax.ladder.statistics import clopper_pearson

DESCRIPTION = """Train a PPO controller for shadow-field navigation, or evaluate a checkpoint.

Writes history, evaluations, checkpoints, policy and manifest under --out. Started again with
the same flags it goes on from its last checkpoint, or reports if it had finished.

Exit status: 0 done; 2 bad input; 3 success rate on the first set below --success-floor;
4 a figure became non-finite (the run diverged)."""

BELOW_FLOOR = 3
DIVERGED = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    config = command.parse(RunConfig, arguments, DESCRIPTION).validated()
    command.check_writable("--out", config.output.out)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax import backend

    backend.select_backend(config.output.backend, deterministic=config.output.deterministic)
    if config.evaluation.eval_only or config.schedule.updates == 0:
        return _evaluate(config)
    return _train(config)


def _evaluate(config: RunConfig) -> int:
    from pathb_jax.loading import evaluate_only

    summaries = evaluate_only(config)
    for summary in summaries:
        print(summary_line(summary))
    _below_floor(config, summaries[0]["success_rate"])
    return 0


def _train(config: RunConfig) -> int:
    from pathb_jax import run
    from pathb_jax.cli.progress import ProgressBar

    with ProgressBar(quiet=not config.output.progress) as bar:
        outcome = run.train(config, bar)
    if not outcome.trained:
        print(f"{outcome.files.slug}: finished before; nothing to train")
    if outcome.diverged is not None:
        print(
            f"diverged at update {outcome.diverged['update']}: "
            f"{outcome.diverged['quantity']} is not finite"
        )
        return DIVERGED
    for summary in outcome.summaries.values():
        print(summary_line(summary))
    print(f"files: {outcome.files.out}")
    first = outcome.summaries[config.evaluation.eval_seed_start[0]]
    return BELOW_FLOOR if _below_floor(config, first["success_rate"]) else 0


def summary_line(summary: Mapping[str, Any]) -> str:
    """One line on an evaluation set: successes, rate with its exact 95 % interval, means."""
    count, seeds = summary["success_count"], summary["seeds"]
    low, high = clopper_pearson(count, seeds)
    start = summary["seed_start"]
    return (
        f"seeds {start}..{start + seeds - 1}: success {count}/{seeds} = "
        f"{summary['success_rate']:.3f} [{low:.3f}, {high:.3f}], "
        f"alignment {summary['mean_terminal_alignment']:.3f}, "
        f"steps {summary['mean_steps']:.1f}"
    )


def _below_floor(config: RunConfig, success_rate: float) -> bool:
    floor = config.evaluation.success_floor
    if success_rate < floor:
        print(f"success rate {success_rate:.3f} is below --success-floor {floor:.3f}")
    return success_rate < floor


if __name__ == "__main__":
    raise SystemExit(main())
