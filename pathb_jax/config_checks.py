"""What a run's configuration may say: one clear line for everything else. Holds no JAX."""

import math
from typing import get_args

from pathb_jax.config import (
    SEED_LIMIT,
    TIERS,
    VARIANTS,
    Backend,
    MatmulPrecision,
    RunConfig,
    SensorTier,
    SignatureShapeName,
    Variant,
)
from pathb_jax.errors import InputError

_LEAST, _MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
FLOAT32_SIZE = f"{_LEAST:.1e} to {_MOST:.1e} in size, as float32 holds"
_INT32 = 2**31


def is_single(number: float) -> bool:
    """Whether float32 holds a number: 0, or what neither vanishes nor overflows there."""
    return number == 0 or _LEAST <= abs(number) <= _MOST


def check(config: RunConfig) -> None:
    """Refuse values that are not allowed, and combinations that make no sense.

    Raises:
        InputError: naming the flag.
    """
    _check_choices(config)
    variant = VARIANTS[config.task.variant]
    _check_reward(config, variant)
    _check_numbers(config)
    _check_schedules(config)
    _check_counts(config)
    _check_checkpoint_use(config, variant)


def schedule_end(flag: str, schedule: str, least: float) -> float | None:
    """Return END of "linear:END", None of "constant".

    Raises:
        InputError: neither of them, or END is less than `least`.
    """
    if schedule == "constant":
        return None
    kind, _, end = schedule.partition(":")
    try:
        number = float(end)
    except ValueError:
        number = math.nan
    _require(
        kind == "linear" and is_single(number) and number >= least,
        flag,
        schedule,
        f"choose constant or linear:END, END a finite number{' >= 0' if least == 0 else ''} "
        f"(0, or {FLOAT32_SIZE})",
    )
    return number


def _require(condition: bool, flag: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(flag, value, allowed)


def _check_choices(config: RunConfig) -> None:
    choices: list[tuple[str, object, tuple[str, ...]]] = [
        ("--variant", config.task.variant, tuple(VARIANTS)),
        ("--tier", config.train.tier, tuple(TIERS)),
        ("--sensor-tier", config.train.sensor_tier, get_args(SensorTier)),
        ("--reward-compose-form", config.task.reward_compose_form, ("canonical", "delta")),
        ("--backend", config.output.backend, get_args(Backend)),
        ("--matmul-precision", config.train.matmul_precision, get_args(MatmulPrecision)),
        ("--truncation", config.train.truncation, ("terminal", "bootstrap")),
        ("--train-starts", config.train.train_starts, ("fixed", "fresh")),
    ]
    if config.task.signature_shape is not None:
        shapes = get_args(SignatureShapeName)
        choices.append(("--signature-shape", config.task.signature_shape, shapes))
    for flag, value, allowed in choices:
        _require(value in allowed, flag, value, f"choose one of {', '.join(allowed)}")
    label = config.output.run_label
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
        _require(_LEAST <= mixed_lambda < below_one, "--mixed-lambda", mixed_lambda, allowed)
    if config.task.signature_shape is not None:
        _require(
            variant.signature_shape is not None,
            "--signature-shape",
            config.task.signature_shape,
            f"variant {config.task.variant} does not reward the signature",
        )


def _check_numbers(config: RunConfig) -> None:
    task, hparams = config.task, config.hparams
    schedule, evaluation = config.schedule, config.evaluation
    positive = {"lr": hparams.lr, "clip-range": hparams.clip_range}
    positive |= {"max-grad-norm": hparams.max_grad_norm}
    options = {"critic-lr": hparams.critic_lr, "value-clip": hparams.value_clip}
    positive |= {flag: number for flag, number in options.items() if number is not None}
    for flag, number in positive.items():
        allowed = f"give a number > 0 ({FLOAT32_SIZE})"
        _require(is_single(number) and number > 0, f"--{flag}", number, allowed)
    not_negative = {"entropy-coef": hparams.entropy_coef, "value-coef": hparams.value_coef}
    for flag, number in not_negative.items():
        allowed = f"give a number >= 0 (0, or {FLOAT32_SIZE})"
        _require(is_single(number) and number >= 0, f"--{flag}", number, allowed)
    fractions = {
        "gamma": hparams.gamma,
        "gae-lambda": hparams.gae_lambda,
        "success-floor": evaluation.success_floor,
        "signature-threshold": task.signature_threshold,
    }
    for flag, number in fractions.items():
        allowed = f"give 0 <= number <= 1 (0, or from {_LEAST:.1e} on)"
        _require(is_single(number) and 0 <= number <= 1, f"--{flag}", number, allowed)
    finite = {
        "false-basin-beta": task.false_basin_beta,
        "reward-channel-scale": task.reward_channel_scale,
        "log-std-init": schedule.log_std_init,
    }
    for flag, number in finite.items():
        allowed = f"give a finite number (0, or {FLOAT32_SIZE})"
        _require(is_single(number), f"--{flag}", number, allowed)


def _check_counts(config: RunConfig) -> None:
    train, schedule, evaluation = config.train, config.schedule, config.evaluation
    counts = {
        "batch-envs": train.batch_envs,
        "rollout-length": train.rollout_length,
        "minibatch-size": train.minibatch_size,
        "epochs": train.epochs,
        "eval-seeds": evaluation.eval_seeds,
    }
    if evaluation.eval_every is not None:
        counts["eval-every"] = evaluation.eval_every
    for flag, count in counts.items():
        _require(count >= 1, f"--{flag}", count, "give a whole number >= 1")
    allowed = f"give a whole number >= 1, below 2^31 = {_INT32}"
    _require(train.epochs < _INT32, "--epochs", train.epochs, allowed)
    _require(schedule.updates >= 0, "--updates", schedule.updates, "give a whole number >= 0")
    _require(schedule.updates <= 10**9, "--updates", schedule.updates, "give 10^9 at most")
    _require(
        train.batch_size % train.minibatch_size == 0,
        "--minibatch-size",
        train.minibatch_size,
        f"it must divide batch-envs x rollout-length = {train.batch_size}",
    )
    _check_seeds(config)


def _check_schedules(config: RunConfig) -> None:
    """Ends of schedules are what `validated` makes of the schedules' text: nothing else acts."""
    text, hparams = config.schedule, config.hparams
    for name, flag, schedule, end, least in (
        ("lr_end", "--lr-schedule", text.lr_schedule, hparams.lr_end, 0.0),
        (
            "entropy_coef_end",
            "--entropy-schedule",
            text.entropy_schedule,
            hparams.entropy_coef_end,
            -math.inf,
        ),
    ):
        said = schedule_end(flag, schedule, least)
        _require(end in (None, said), name, end, f"say it with {flag} linear:END")


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
