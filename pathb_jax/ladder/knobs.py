"""The knobs that a protocol sets for all its runs, and those that a candidate may change."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetPydanticSchema, with_config
from typing_extensions import TypedDict

from pathb_jax.config import Hparams, ScheduleConfig, TrainConfig, is_single, schedule_end
from pathb_jax.ladder.limits import Epochs, LogStd, Minibatch, Rate, Table

Weight = Annotated[float, Field(ge=0, le=100)]
Step = Annotated[float, Field(gt=0, le=10)]


def _schedule(schedule: str) -> str:
    try:
        end = schedule_end(schedule)
    except ValueError:
        end = math.nan
    if end is not None and not (is_single(end) and end >= 0):
        raise ValueError("choose constant or linear:END, END a finite number >= 0")
    return schedule


Schedule = Annotated[str, Field(max_length=60), AfterValidator(_schedule)]


@with_config(Table.model_config)
class HparamsTable(TypedDict, total=False):
    """The table `hparams`. The first seven are required there."""

    lr: Step
    gamma: Rate
    gae_lambda: Rate
    clip_range: Annotated[float, Field(gt=0, le=100)]
    entropy_coef: Weight
    value_coef: Weight
    max_grad_norm: Annotated[float, Field(gt=0, le=1e6)]
    critic_lr: Step
    value_clip: Annotated[float, Field(gt=0, le=1e6)]
    lr_schedule: Schedule
    entropy_schedule: Schedule
    truncation: Literal["terminal", "bootstrap"]
    reshuffle_epochs: bool
    train_starts: Literal["fixed", "fresh"]


@with_config(Table.model_config)
class ChangeTable(HparamsTable, total=False):
    """What a candidate changes: any knob of `hparams`, and three of `run`."""

    epochs: Epochs
    minibatch_size: Minibatch
    log_std_init: LogStd


REQUIRED = (
    *("lr", "gamma", "gae_lambda", "clip_range", "entropy_coef", "value_coef", "max_grad_norm"),
)
"""Knobs that a protocol has to set; of the others the trainer knows what they are by default."""
OF_THE_RUN = ("epochs", "minibatch_size", "log_std_init")
"""Knobs that the protocol sets in its run."""

Knob = float | str | bool
Knobs = Annotated[
    dict[str, Knob], GetPydanticSchema(lambda _, handler: handler.generate_schema(HparamsTable))
]
"""Knobs as all runs have them."""
Change = Annotated[
    dict[str, Knob], GetPydanticSchema(lambda _, handler: handler.generate_schema(ChangeTable))
]
"""Knobs that a candidate changes."""


def trainer_default(knob: str) -> Any:
    """Return what the trainer does where neither protocol nor candidate sets a knob."""
    return next(
        getattr(group, knob)
        for group in (Hparams(), TrainConfig(), ScheduleConfig())
        if hasattr(group, knob)
    )


def knob_text(value: object) -> str:
    """Return a knob's value as text: 0.0001, bootstrap, true, and off for None."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
