"""`train_ppo`: train one run, or evaluate a checkpoint."""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pathb_jax.cli import command
from pathb_jax.cli.config_file import config_path, read_config
from pathb_jax.cli.exit_codes import BELOW_FLOOR, DIVERGED, OK
from pathb_jax.cli.json_result import check_json, json_result
from pathb_jax.cli.output_files import check_writable
from pathb_jax.config import DefaultHint, RunConfig, TaskConfig
from pathb_jax.config_checks import validated
from pathb_jax.display.progress import ProgressBar
from pathb_jax.display.tensorboard import check_tensorboard, observed
from pathb_jax.display.terminal import notice, say
from pathb_jax.errors import InputError
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.store.own_files import is_own_json

DESCRIPTION = """Train a PPO controller for shadow-field navigation, or evaluate a checkpoint.

Writes history, evaluations, checkpoints, policy and manifest under --out. Started again with
the same flags it goes on from its last checkpoint, or reports if it had finished. With --eval-only
or --updates 0 it evaluates --load-checkpoint; what flags do not say (--variant too) is then the
checkpoint's, and flags that disagree with it are refused.

Exit status: 0 done; 2 bad input; 3 success rate on the first set below --success-floor;
4 a figure became non-finite (the run diverged)."""

FORMAT = "pathb-train-result-v1"


@dataclasses.dataclass(frozen=True)
class TrainFlags(RunConfig):
    """A run's flags, and the command's own."""

    config: Annotated[Path | None, DefaultHint("none")] = None
    """Take what no flag says from this file: TOML (lr = 1e-4, ...), or a run's
    manifests/<slug>.json, which repeats that run in another --out."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write the result to this file too; - is standard output."""
    tensorboard: bool = False
    """Write event files for TensorBoard into the run's folder as it trains."""

    @property
    def run(self) -> RunConfig:
        """What defines the run."""
        names = [field.name for field in dataclasses.fields(RunConfig)]
        return RunConfig(**{name: getattr(self, name) for name in names})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` default to the process's."""
    return command.run(lambda: _main(arguments), stoppable=True)


def _main(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    path = config_path(words)
    told = None if path is None else read_config(path)
    base = None if told is None else TrainFlags(**vars(told), config=path)
    tentative = _tentative(arguments, base)
    evaluates = tentative is not None and _only_evaluates(tentative)
    if evaluates:
        assert tentative is not None
        if path is not None:
            raise InputError("--config", str(path), "a checkpoint says itself what to evaluate")
        flags, config = _of_checkpoint(tentative, arguments)
    else:
        flags = command.parse(TrainFlags, arguments, DESCRIPTION, base)
        config = validated(flags.run)
    check_tensorboard(flags.tensorboard)
    check_writable("--out", config.output.out)
    check_json(flags.json, is_own_json(format=FORMAT), "result", config.output.out)

    # Importing JAX takes seconds; wrong flags are reported before.
    from pathb_jax.system import backend

    bar = ProgressBar(quiet=evaluates or not config.output.progress)
    with json_result(flags.json) as write:
        with bar:
            output = config.output
            backend.select_backend(output.backend, deterministic=output.deterministic)
            result = _evaluate(config) if evaluates else _train(config, bar, flags.tensorboard)
        code = _print(config, result)
        write({"format": FORMAT, **result})
    return code


def _tentative(arguments: Sequence[str] | None, base: TrainFlags | None) -> TrainFlags | None:
    """Parse the flags as if a variant had been given; None where that fails or helps.

    Only a parse with the variant left out tells whether it may be: a checkpoint has one.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            some = base or TrainFlags(TaskConfig("signature_ppo_dense"))
            return command.parse(TrainFlags, arguments, DESCRIPTION, some)
    except (InputError, SystemExit):
        return None


def _only_evaluates(config: RunConfig) -> bool:
    asked = config.evaluation.eval_only or config.schedule.updates == 0
    return asked and config.output.load_checkpoint is not None


def _of_checkpoint(
    tentative: RunConfig, arguments: Sequence[str] | None
) -> tuple[TrainFlags, RunConfig]:
    """Take what flags do not say of the run from its checkpoint; refuse flags that disagree."""
    from pathb_jax.system import backend

    output = tentative.output
    backend.select_backend(output.backend, deterministic=output.deterministic)  # first of all
    from pathb_jax.runs.loading import saved_config

    path = tentative.output.load_checkpoint
    assert path is not None
    saved = saved_config(path, "--load-checkpoint")
    default = TrainFlags(saved.task, saved.train, saved.hparams, saved.schedule)
    flags = command.parse(TrainFlags, arguments, DESCRIPTION, default)
    given = flags.run
    theirs, ours = saved.to_dict(), given.to_dict()
    for group in ("task", "train", "hparams", "schedule"):
        for name, value in ours[group].items():
            if value != theirs[group][name] and name != "updates":
                allowed = f"the run in {path} has {theirs[group][name]!r}; leave the flag out"
                raise InputError(f"--{name.replace('_', '-')}", value, allowed)
    updates = 0 if tentative.schedule.updates == 0 else saved.schedule.updates
    schedule = dataclasses.replace(saved.schedule, updates=updates)
    return flags, validated(dataclasses.replace(given, schedule=schedule))


def _evaluate(config: RunConfig) -> dict[str, Any]:
    from pathb_jax.runs.evaluating import evaluate_only

    return _result(config, None, evaluate_only(config))


def _train(config: RunConfig, bar: ProgressBar, tensorboard: bool) -> dict[str, Any]:
    from pathb_jax.runs import trainer
    from pathb_jax.store.models import to_json

    with observed(bar, tensorboard) as observer:
        outcome = trainer.train(config, observer)
    if not outcome.trained:
        bar.notice(f"{outcome.files.slug}: finished before; nothing to train")
    diverged = None if outcome.diverged is None else to_json(outcome.diverged)
    return _result(config, diverged, outcome.summaries.values())


def _result(
    config: RunConfig, diverged: Mapping[str, Any] | None, summaries: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    sets = [
        {
            **summary,
            "success_interval_95": clopper_pearson(summary["success_count"], summary["seeds"]),
        }
        for summary in summaries
    ]
    return {"folder": str(config.output.out), "diverged": diverged, "sets": sets}


def _print(config: RunConfig, result: Mapping[str, Any]) -> int:
    """Print a result; return the exit code that it has."""
    if (diverged := result["diverged"]) is not None:
        say(f"diverged at update {diverged['update']}: {diverged['quantity']} is not finite")
        return DIVERGED
    for summary in result["sets"]:
        say(summary_line(summary))
    notice(f"files: {result['folder']}")
    voting = config.evaluation.eval_seed_start[0]
    (rate,) = {
        summary["success_rate"] for summary in result["sets"] if summary["seed_start"] == voting
    }
    floor = config.evaluation.success_floor
    if rate < floor:
        say(f"success rate {rate:.3f} is below --success-floor {floor:.3f}")
    return BELOW_FLOOR if rate < floor else OK


def summary_line(summary: Mapping[str, Any]) -> str:
    """One line on an evaluation set: successes, rate with its exact 95 % interval, means."""
    low, high = summary["success_interval_95"]
    start, seeds = summary["seed_start"], summary["seeds"]
    if "mean_return" in summary:
        measured = f"return {summary['mean_return']:.4g}"
    else:
        measured = f"alignment {summary['mean_terminal_alignment']:.3f}"
    return (
        f"seeds {start}..{start + seeds - 1}: success {summary['success_count']}/{seeds} = "
        f"{summary['success_rate']:.3f} [{low:.3f}, {high:.3f}], "
        f"{measured}, steps {summary['mean_steps']:.1f}"
    )
