"""Learned policies as controllers: what acts in an evaluation."""

import jax

from envs.controllers import Controller
from pathb_jax.config import NetworkSize
from pathb_jax.learn import networks
from pathb_jax.learn.normalizer import NormalizerState, normalize


def mean_policy(
    params: networks.Params, size: NetworkSize, statistics: NormalizerState
) -> Controller:
    """The policy acting with its mean, on observations normalised with `statistics`."""

    def act(
        state: tuple, observation: jax.Array, samples: jax.Array, step_index: jax.Array
    ) -> tuple[tuple, jax.Array]:
        del samples, step_index
        return state, networks.actor_mean(params, size, normalize(statistics, observation))

    return Controller(init=lambda: (), act=act)
