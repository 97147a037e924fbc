"""What memory a run takes, and what there is: sizes that cannot be are refused in one line.

The figures are what the largest arrays need, close to and rather below what XLA asks for, so that
nothing is refused that would have trained.
"""

import contextlib
from pathlib import Path
from typing import Any

import psutil

from pathb_jax.config import TIERS, RunConfig, Tier, TrainConfig
from pathb_jax.errors import InputError
from pathb_jax.system import backend

_FLOAT = 4
_OBSERVED, _ACTION, _OUTPUTS = 6, 2, 3
"""Entries of an observation (7 on one tier) and an action; outputs of actor and critic."""
_SETS, _PER_SEED = 8, 120
"""Seed sets that one pass has room for; bytes of an episode's seed, start, goal and metrics."""
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says what a container may use."""

_EPISODES = "so many episodes side by side take"


def parameters(tier: Tier) -> int:
    """Return the numbers in actor, critic and log_std."""
    depth, width = TIERS[tier]
    hidden = (depth - 1) * (width + 1) * width
    return 2 * ((_OBSERVED + 1) * width + hidden) + (width + 1) * _OUTPUTS + _ACTION


def training_bytes(config: TrainConfig) -> int:
    """Return what training takes.

    Parameters with Adam's two moments; of every step of the rollout observation, action and five
    numbers; and what is larger of two passes: the critic's over the whole rollout, of which a
    layer's input and output are there at a time (twice where time-outs bootstrap), or a gradient
    step's over a minibatch, for which both networks keep all layers, beside the gradient.
    """
    depth, width = TIERS[config.tier]
    networks = parameters(config.tier)
    rollout = config.batch_size * (_OBSERVED + _ACTION + 5)
    values = config.batch_size * 2 * width * (2 if config.truncation == "bootstrap" else 1)
    step = config.minibatch_size * depth * width * 2 + networks
    return _FLOAT * (3 * networks + rollout + max(values, step))


def evaluation_bytes(seeds: int, width: int, delay: int = 0) -> int:
    """Return what playing sets of so many seeds takes.

    Of every seed of the eight sets that one pass has room for its start, goal and metrics; of a
    set's seeds, which are played side by side, input and output of a layer and the four samples of
    each step of a sensor's delay.
    """
    return seeds * (_SETS * _PER_SEED + _FLOAT * (2 * width + 4 * delay))


def available(device: Any) -> int | None:
    """Return the bytes that a device has in all, None if nobody says."""
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    limits = [psutil.virtual_memory().total]
    for limit in _LIMITS:
        with contextlib.suppress(ValueError, OSError):  # it does not exist, or says "max"
            limits.append(int(limit.read_text()))
    return int(min(limits))


def check(config: RunConfig, runs: int = 1, flag: str = "--parallel-runs") -> None:
    """Refuse a run that takes more memory than the device that computes has.

    Args:
        config: the run.
        runs: how many like it are to share that memory.
        flag: what says so.

    Raises:
        InputError: naming the flag that is to blame, what it takes, and what there is.
    """
    train, seeds = config.train, config.evaluation.eval_seeds
    trains, plays = training_bytes(train), evaluation_bytes(seeds, TIERS[train.tier].width)
    needed, capacity = max(trains, plays), available(backend.current_device())
    if capacity is not None and needed > capacity:
        if plays > trains:
            raise _refusal("--eval-seeds", seeds, _EPISODES, plays, capacity)
        usual = TrainConfig()
        name = max(
            ("batch_envs", "rollout_length", "minibatch_size"),
            key=lambda name: getattr(train, name) / getattr(usual, name),
        )
        what = f"{train.batch_envs} environments x {train.rollout_length} steps take"
        raise _refusal(f"--{name.replace('_', '-')}", getattr(train, name), what, trains, capacity)
    if capacity is not None and needed * runs > capacity:
        what = f"so many {train.tier} runs of {size(needed)} take"
        raise _refusal(flag, runs, what, needed * runs, capacity)
    if train.batch_size >= 2**31:
        allowed = "batch-envs x rollout-length has to stay below 2^31"
        raise InputError("--batch-envs", train.batch_envs, allowed)


def check_evaluation(seeds: int, width: int, delay: int = 0) -> None:
    """Refuse sets of more seeds than the device that computes has memory for.

    Raises:
        InputError: naming the flag, what it takes, and what there is.
    """
    needed, capacity = evaluation_bytes(seeds, width, delay), available(backend.current_device())
    if capacity is not None and needed > capacity:
        raise _refusal("--eval-seeds", seeds, _EPISODES, needed, capacity)


def check_battery(policies: int, seeds: int) -> None:
    """Refuse an intervention battery whose paths the device that computes has no memory for.

    Of six sides of every policy and seed the positions, goals and actions of 200 steps.

    Raises:
        InputError: as `check_evaluation`.
    """
    needed, capacity = policies * seeds * 6 * 200 * 6 * _FLOAT, available(backend.current_device())
    if capacity is not None and needed > capacity:
        raise _refusal("--seeds", seeds, "paths of so many episodes take", needed, capacity)


def _refusal(flag: str, value: int, what: str, needed: int, capacity: int) -> InputError:
    return InputError(flag, value, f"{what} at least {size(needed)}, and {size(capacity)} are here")


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    number, unit = float(count), 0
    while number >= 999.5 and unit < 4:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[unit]}"
