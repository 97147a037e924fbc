"""What one update has to compute and to move, counted from shapes alone.

Matrix products only: everything else an update computes is of lower order in the width. A product
of `[m, k]` and `[k, n]` is 2 m k n floating-point operations.
"""

import itertools
from typing import NamedTuple

from pathb_jax.config import TIERS, NetworkSize, TrainConfig
from pathb_jax.learn import networks
from pathb_jax.learn.task import make_env

FLOAT_BYTES = 4
ADAM_ARRAYS = 7
"""Arrays of the parameters' size that Adam cannot avoid: it reads gradient, parameters and two
moments, and writes parameters and moments."""

Layers = list[tuple[int, int]]
"""Inputs and outputs of every layer of one network."""


class UpdateWork(NamedTuple):
    """The work of one update."""

    rollout_flops: int
    """Actor on every step, critic on every observation and on the last ones."""
    learning_flops: int
    """Forward and backward passes of all minibatches."""
    parameters: int
    """Numbers that Adam updates."""
    gradient_steps: int
    """How often it does."""

    @property
    def flops(self) -> int:
        """All of it."""
        return self.rollout_flops + self.learning_flops

    @property
    def adam_bytes(self) -> int:
        """What Adam moves at least, float32."""
        return ADAM_ARRAYS * FLOAT_BYTES * self.parameters * self.gradient_steps


def layers(size: NetworkSize, inputs: int, outputs: int) -> Layers:
    """Return the layers of a perceptron."""
    widths = [inputs, *[size.width] * size.depth, outputs]
    return list(itertools.pairwise(widths))


def forward_flops(network: Layers, samples: int) -> int:
    """Return the operations of a forward pass."""
    return 2 * samples * sum(fan_in * fan_out for fan_in, fan_out in network)


def gradient_flops(network: Layers, samples: int) -> int:
    """Return the operations of a forward and a backward pass.

    Every layer's weights get a gradient, and so do all inputs but the first layer's.
    """
    return 2 * forward_flops(network, samples) + forward_flops(network[1:], samples)


def update_work(config: TrainConfig) -> UpdateWork:
    """Count one update of runs of these shapes."""
    size, obs_dim = TIERS[config.tier], make_env(config).obs_dim
    actor = layers(size, obs_dim, networks.ACTION_DIM)
    critic = layers(size, obs_dim, 1)
    rollout = forward_flops(actor, config.batch_size)
    rollout += forward_flops(critic, config.batch_size + config.batch_envs)
    learnt = config.epochs * config.batch_size
    weights = sum((fan_in + 1) * fan_out for fan_in, fan_out in actor + critic)
    return UpdateWork(
        rollout_flops=rollout,
        learning_flops=gradient_flops(actor, learnt) + gradient_flops(critic, learnt),
        parameters=weights + networks.ACTION_DIM,
        gradient_steps=learnt // config.minibatch_size,
    )
