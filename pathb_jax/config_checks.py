"""What a run's configuration may say: one clear line for everything else. Holds no JAX."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pathb_jax.config import (
    FLOAT32_SIZE,
    LEAST,
    OWN_REWARD,
    SEED_LIMIT,
    TIERS,
    VARIANTS,
    Limit,
    RunConfig,
    TaskConfig,
    TrainConfig,
    Variant,
    is_single,
    schedule_end,
    variant_of,
)
from pathb_jax.errors import InputError

_INT32 = 2**31


def validated(config: RunConfig) -> RunConfig:
    """Return the configuration with the variant's defaults filled in; again, and it is equal.

    Raises:
        InputError: a value that is not allowed, or a combination that makes no sense, naming the
            flag.
    """
    for group in dataclasses.fields(config):
        _check_types(getattr(config, group.name))
    _check_env(config)
    variant = variant_of(config.task.variant)
    _check_label(config.output.run_label)
    _check_reward(config, variant)
    _check_schedules(config)
    _check_counts(config)
    _check_seeds(config)
    _check_checkpoint_use(config, variant)
    task, hparams, output = config.task, config.hparams, config.output
    own_lambda = hparams.mixed_lambda is None
    return dataclasses.replace(
        config,
        task=dataclasses.replace(
            task, signature_shape=task.signature_shape or variant.signature_shape
        ),
        hparams=dataclasses.replace(
            hparams, mixed_lambda=variant.mixed_lambda if own_lambda else hparams.mixed_lambda
        ),
        output=dataclasses.replace(output, out=output.out or default_folder(config)),
    )


def default_folder(config: RunConfig) -> Path:
    """Return where a run's files go if nothing else is said."""
    return Path("results" if config.train.env else "results/mesa") / config.name


def _require(condition: bool, flag: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(flag, value, allowed)


def _check_types(group: Any) -> None:
    """Hold a group of flags to the choices and limits in its types."""
    for name, hint in get_type_hints(type(group), include_extras=True).items():
        value, flag = getattr(group, name), f"--{name.replace('_', '-')}"
        if value is None:
            continue
        plain, *notes = get_args(hint) if get_origin(hint) is Annotated else [hint]
        for kind in (plain, *get_args(plain)):  # the members of a union
            if get_origin(kind) is Literal:
                choices = tuple(TIERS) if name == "tier" else get_args(kind)
                _require(value in choices, flag, value, f"choose one of {', '.join(choices)}")
        for note in notes:
            if isinstance(note, Limit):
                _require(note.holds(value), flag, value, note.allowed)


def _check_env(config: RunConfig) -> None:
    """Hold what is the shadow field's and what is another environment's apart."""
    task, train = config.task, config.train
    env = train.env
    if env is None:
        choices = f"choose one of {', '.join(VARIANTS)}; or give --env"
        _require(task.variant != OWN_REWARD, "--variant", "(missing)", choices)
        allowed = "it goes with --env; success on the shadow field is to hold the goal"
        _require(task.success_return is None, "--success-return", task.success_return, allowed)
        return
    allowed = "give a name of at most 100 characters"
    _require(0 < len(env) <= 100 and env.isprintable(), "--env", env[:120], allowed)
    usual = TaskConfig(success_return=task.success_return)
    for group, default in ((task, usual), (train, TrainConfig())):
        names = ["sensor_tier"] if group is train else [f.name for f in dataclasses.fields(task)]
        for name in names:
            value, flag = getattr(group, name), f"--{name.replace('_', '-')}"
            allowed = "it is the shadow field's; leave it out with --env"
            _require(value == getattr(default, name), flag, value, allowed)
    allowed = "say from which return (sum of rewards) on an episode of --env is a success"
    _require(task.success_return is not None, "--success-return", "(missing)", allowed)


def _check_label(label: str) -> None:
    _require(
        all(c.isalnum() or c in "_-." for c in label) and not label.startswith("."),
        "--run-label",
        label,
        "use letters, digits, '_', '-' and '.', not starting with '.'",
    )


def _check_reward(config: RunConfig, variant: Variant) -> None:
    mixed_lambda = config.hparams.mixed_lambda
    # The variant's own is what `validated` fills in.
    if mixed_lambda is not None and mixed_lambda != variant.mixed_lambda:
        _require(
            variant.family == "L-Mixed",
            "--mixed-lambda",
            mixed_lambda,
            f"variant {config.task.variant} mixes nothing; give it with a mixed_ppo_* variant",
        )
        below_one = 1 - 2.0**-25  # float32 rounds this to 1
        allowed = "give 0 < lambda < 1, in float32 too"
        _require(LEAST <= mixed_lambda < below_one, "--mixed-lambda", mixed_lambda, allowed)
    if config.task.signature_shape is not None:
        _require(
            variant.signature_shape is not None,
            "--signature-shape",
            config.task.signature_shape,
            f"variant {config.task.variant} does not reward the signature",
        )


def _check_counts(config: RunConfig) -> None:
    train, schedule = config.train, config.schedule
    allowed = f"give a whole number >= 1, below 2^31 = {_INT32}"
    _require(train.epochs < _INT32, "--epochs", train.epochs, allowed)
    _require(schedule.updates >= 0, "--updates", schedule.updates, "give a whole number >= 0")
    _require(schedule.updates <= 10**9, "--updates", schedule.updates, "give 10^9 at most")
    _require(
        train.batch_size % train.minibatch_size == 0,
        "--minibatch-size",
        train.minibatch_size,
        f"it must divide --batch-envs x --rollout-length = {train.batch_size}",
    )
    at = config.evaluation.eval_at
    _require(
        all(1 <= update <= schedule.updates for update in at) and len(set(at)) == len(at),
        "--eval-at",
        list(at),
        f"give updates of the run, 1 to {schedule.updates}, each once",
    )


def _check_schedules(config: RunConfig) -> None:
    for flag, schedule, least in (
        ("--lr-schedule", config.schedule.lr_schedule, 0.0),
        ("--entropy-schedule", config.schedule.entropy_schedule, -math.inf),
    ):
        try:
            end = schedule_end(schedule)
        except ValueError:
            end = math.nan
        _require(
            end is None or (is_single(end) and end >= least),
            flag,
            schedule,
            f"choose constant or linear:END, END a finite number{' >= 0' if least == 0 else ''} "
            f"(0, or {FLOAT32_SIZE})",
        )


def _check_seeds(config: RunConfig) -> None:
    schedule, evaluation = config.schedule, config.evaluation
    counts = {"batch-envs": config.train.batch_envs, "eval-seeds": evaluation.eval_seeds}
    for flag, count in counts.items():
        allowed = f"give 2^32 = {SEED_LIMIT} at most: there are no more seeds"
        _require(count <= SEED_LIMIT, f"--{flag}", count, allowed)
    ranges = [
        ("--seed", schedule.seed, 1),
        ("--seed-start", schedule.seed_start, config.train.batch_envs),
        *(("--eval-seed-start", s, evaluation.eval_seeds) for s in evaluation.eval_seed_start),
    ]
    for flag, first, count in ranges:
        _require(
            0 <= first <= SEED_LIMIT - count, flag, first, f"give 0 <= seed <= {SEED_LIMIT - count}"
        )
    starts = evaluation.eval_seed_start
    _require(
        len(starts) > 0 and len(set(starts)) == len(starts),
        "--eval-seed-start",
        list(starts),
        "give at least one first seed, each once",
    )


def _check_checkpoint_use(config: RunConfig, variant: Variant) -> None:
    load, updates = config.output.load_checkpoint, config.schedule.updates
    only_evaluates = config.evaluation.eval_only or updates == 0
    fork_at = config.output.fork_at
    if fork_at is not None:
        _require(load is not None, "--fork-at", fork_at, "it goes with --load-checkpoint")
        _require(not only_evaluates, "--fork-at", fork_at, "a fork trains: give --updates >= 1")
        allowed = "a fork goes on with Adam's moments as they are; leave one of the two out"
        _require(not config.output.reset_optimizer, "--fork-at", fork_at, allowed)
    if load is not None:
        return
    _require(
        not variant.curriculum,
        "--load-checkpoint",
        None,
        f"curriculum variant {config.task.variant} continues from a checkpoint: give its path",
    )
    _require(
        not only_evaluates,
        "--eval-only" if config.evaluation.eval_only else "--updates",
        True if config.evaluation.eval_only else updates,
        "evaluating needs --load-checkpoint; training needs --updates >= 1",
    )
    _require(
        not config.output.reset_optimizer,
        "--reset-optimizer",
        True,
        "it goes with --load-checkpoint",
    )
