"""`train_ppo`: train one run, or evaluate a checkpoint."""

import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from pathb_jax.cli import command
from pathb_jax.cli.terminal import say
from pathb_jax.config import EvaluationConfig, OutputConfig, RunConfig, TaskConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.ladder.statistics import clopper_pearson

DESCRIPTION = """Train a PPO controller for shadow-field navigation, or evaluate a checkpoint.

Writes history, evaluations, checkpoints, policy and manifest under --out. Started again with
the same flags it goes on from its last checkpoint, or reports if it had finished. With --eval-only
or --updates 0 it evaluates --load-checkpoint; what flags do not say (--variant too) is then the
checkpoint's, and flags that disagree with it are refused.

Exit status: 0 done; 2 bad input; 3 success rate on the first set below --success-floor;
4 a figure became non-finite (the run diverged)."""

BELOW_FLOOR = 3
DIVERGED = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    tentative = _tentative(arguments)
    evaluates = tentative is not None and _only_evaluates(tentative)
    if evaluates:
        assert tentative is not None
        config = _of_checkpoint(tentative, arguments)
    else:
        config = validated(command.parse(RunConfig, arguments, DESCRIPTION))
    command.check_writable("--out", config.output.out)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax.system import backend

    backend.select_backend(config.output.backend, deterministic=config.output.deterministic)
    return _evaluate(config) if evaluates else _train(config)


def _tentative(arguments: Sequence[str] | None) -> RunConfig | None:
    """Parse the flags as if a variant had been given; None where that fails or helps.

    Only a parse with the variant left out tells whether it may be: a checkpoint has one.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            some = RunConfig(TaskConfig("signature_ppo_dense"))
            return command.parse(RunConfig, arguments, DESCRIPTION, some)
    except (InputError, SystemExit):
        return None


def _only_evaluates(config: RunConfig) -> bool:
    asked = config.evaluation.eval_only or config.schedule.updates == 0
    return asked and config.output.load_checkpoint is not None


def _of_checkpoint(tentative: RunConfig, arguments: Sequence[str] | None) -> RunConfig:
    """Take what flags do not say of the run from its checkpoint; refuse flags that disagree."""
    from pathb_jax.system import backend

    output = tentative.output
    backend.select_backend(output.backend, deterministic=output.deterministic)  # first of all
    from pathb_jax.runs.loading import saved_config

    path = tentative.output.load_checkpoint
    assert path is not None
    saved = saved_config(path, "--load-checkpoint")
    default = dataclasses.replace(saved, evaluation=EvaluationConfig(), output=OutputConfig())
    given = command.parse(RunConfig, arguments, DESCRIPTION, default)
    theirs, ours = saved.to_dict(), given.to_dict()
    for group in ("task", "train", "hparams", "schedule"):
        for name, value in ours[group].items():
            if value != theirs[group][name] and name != "updates":
                allowed = f"the run in {path} has {theirs[group][name]!r}; leave the flag out"
                raise InputError(f"--{name.replace('_', '-')}", value, allowed)
    updates = 0 if tentative.schedule.updates == 0 else saved.schedule.updates
    schedule = dataclasses.replace(saved.schedule, updates=updates)
    return validated(dataclasses.replace(given, schedule=schedule))


def _evaluate(config: RunConfig) -> int:
    from pathb_jax.runs.evaluating import evaluate_only

    summaries = evaluate_only(config)
    for summary in summaries:
        say(summary_line(summary))
    return BELOW_FLOOR if _below_floor(config, summaries[0]["success_rate"]) else 0


def _train(config: RunConfig) -> int:
    from pathb_jax.cli.progress import ProgressBar
    from pathb_jax.runs import trainer

    with ProgressBar(quiet=not config.output.progress) as bar:
        outcome = trainer.train(config, bar)
    if not outcome.trained:
        say(f"{outcome.files.slug}: finished before; nothing to train")
    if outcome.diverged is not None:
        say(
            f"diverged at update {outcome.diverged.update}: "
            f"{outcome.diverged.quantity} is not finite"
        )
        return DIVERGED
    for summary in outcome.summaries.values():
        say(summary_line(summary))
    say(f"files: {outcome.files.out}")
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
        say(f"success rate {success_rate:.3f} is below --success-floor {floor:.3f}")
    return success_rate < floor


if __name__ == "__main__":
    raise SystemExit(main())
