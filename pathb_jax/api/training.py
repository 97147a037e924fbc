"""Describing runs and training them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from pathb_jax.api.calling import computing, naming_parameters
from pathb_jax.config import RunConfig, Tier, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.settings import config_of
from pathb_jax.system import backend

if TYPE_CHECKING:
    from pathb_jax.runs.observer import Observer
    from pathb_jax.runs.outcome import RunOutcome


def make_config(
    variant: VariantName | None = None,
    tier: Tier = "Small",
    *,
    env: str | None = None,
    updates: int = 1221,
    seed: int = 0,
    out: str | Path | None = None,
    eval_seeds: int = 64,
    **knobs: Any,
) -> RunConfig:
    """Describe a run by names alone, whatever group of the configuration they belong to.

    Args:
        variant: what the run is rewarded with; None with `env`.
        tier: network size.
        env: another environment than the shadow field: one of gymnax's with boxes, "Pendulum-v1",
            or "module:Class". It takes `success_return` too, from which on an episode is a success.
        updates: PPO updates, each 8 192 environment steps as long as the shapes are the default.
        seed: training seed.
        out: folder for its files; None: `results/mesa/<variant>`, `results/<env>`.
        eval_seeds: episodes per evaluation set.
        **knobs: any other field of `TaskConfig`, `TrainConfig`, `Hparams`, `ScheduleConfig`,
            `EvaluationConfig` or `OutputConfig`: `lr=1e-4`, `mixed_lambda=0.95`, `eval_every=50`.

    Returns:
        The configuration, with everything left out filled in.

    Raises:
        InputError: no such knob, or a value that is not allowed.
    """
    given: dict[str, Any] = {"tier": tier, "updates": updates, "seed": seed, "env": env}
    given |= {} if variant is None else {"variant": variant}
    given |= {"eval_seeds": eval_seeds, "out": None if out is None else Path(out), **knobs}
    with naming_parameters():
        return validated(config_of(given))


@overload
def train(
    config: RunConfig, *, progress: bool | None = None, observers: "Sequence[Observer]" = ()
) -> "RunOutcome": ...


@overload
def train(
    config: RunConfig,
    *,
    seeds: int,
    progress: bool | None = None,
    observers: "Sequence[Observer]" = (),
) -> "list[RunOutcome]": ...


def train(
    config: RunConfig,
    *,
    seeds: int | None = None,
    progress: bool | None = None,
    observers: "Sequence[Observer]" = (),
) -> "RunOutcome | list[RunOutcome]":
    """Train, evaluate and write all files of one run, or of several that differ by their seed.

    A run that was stopped goes on from its last checkpoint; one that had finished is only read.

    Args:
        config: the configuration; it need not be validated.
        seeds: train so many runs side by side, with the configuration's seed and those after it,
            each in `seed_<n>` below its folder. None: that one run, in its folder.
        progress: whether to show a progress bar; None: as the configuration says.
        observers: told about progress.

    Returns:
        The outcome; with `seeds` a list of them, in the order of the seeds.

    Raises:
        InputError: something in the configuration is not allowed or cannot be had here any more,
            the folder holds another run under the same name, or the checkpoint to load does not
            fit.
        CheckpointError: checkpoints exist but none of them is whole, or saving one failed.
        OSError: a file cannot be written; what is on disk stays valid.
    """
    with naming_parameters():
        config = validated(config)
        if seeds is not None and seeds < 1:
            raise InputError("seeds", seeds, "give a whole number >= 1")
        configs = [config] if seeds is None else [_of_seed(config, n) for n in range(seeds)]
        output, devices = config.output, backend.host_devices("auto", config.train.tier)
        host_devices = None if seeds is None else devices
        with computing(
            output.backend, deterministic=output.deterministic, host_devices=host_devices
        ):
            from pathb_jax.display.progress import ProgressBar
            from pathb_jax.runs import side_by_side, trainer
            from pathb_jax.runs.observer import Observers

            with ProgressBar(quiet=not (output.progress if progress is None else progress)) as bar:
                observer = Observers([bar, *observers]) if observers else bar
                if seeds is None:
                    return trainer.train(config, observer)
                ended = side_by_side.train_all(configs, observer)
                outcomes = {finished.position: finished.outcome for finished in ended}
        return [outcomes[place] for place in range(seeds)]


def _of_seed(config: RunConfig, offset: int) -> RunConfig:
    """Return the run of a later seed, in a folder of its own."""
    seed, out = config.schedule.seed + offset, config.output.out
    assert out is not None  # filled in by `validated`
    return validated(
        dataclasses.replace(
            config,
            schedule=dataclasses.replace(config.schedule, seed=seed),
            output=dataclasses.replace(config.output, out=out / f"seed_{seed}"),
        )
    )


def evaluate_only(config: RunConfig) -> list[dict[str, Any]]:
    """Evaluate a checkpoint on exactly the configured sets; write the suffixed files.

    Returns:
        One summary per set.

    Raises:
        InputError: as `train`.
    """
    with naming_parameters():
        config = validated(config)
        with computing(config.output.backend, deterministic=config.output.deterministic):
            from pathb_jax.runs import evaluating

            return evaluating.evaluate_only(config)
