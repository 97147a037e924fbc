"""Hyper-parameters as the compiled program gets them: data, with the ends of schedules."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pathb_jax.config import RunConfig


class TracedHparams(NamedTuple):
    """What an update computes with, each `[]`; None switches an option off in the program."""

    lr: jax.Array
    gamma: jax.Array
    gae_lambda: jax.Array
    clip_range: jax.Array
    entropy_coef: jax.Array
    value_coef: jax.Array
    max_grad_norm: jax.Array
    critic_lr: jax.Array | None
    """Of the critic, if it is not `lr`."""
    value_clip: jax.Array | None
    lr_end: jax.Array | None
    """`lr` of the run's last update, if it changes."""
    entropy_coef_end: jax.Array | None
    """`entropy_coef` of the run's last update, likewise."""


def traced(config: RunConfig) -> TracedHparams:
    """Return a configuration's hyper-parameters as strong-typed scalars."""
    return jax.tree.map(lambda value: jnp.asarray(value, float), _numbers(config))


def options(config: RunConfig) -> TracedHparams:
    """Return what of the hyper-parameters decides on the program: which of them are None."""
    return jax.tree.map(lambda _: 0.0, _numbers(config))


def _numbers(config: RunConfig) -> TracedHparams:
    ends = ("lr_end", "entropy_coef_end")
    numbers: dict[str, Any] = {
        name: getattr(config.schedule if name in ends else config.hparams, name)
        for name in TracedHparams._fields
    }
    return TracedHparams(**numbers)
