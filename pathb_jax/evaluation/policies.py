"""What acts in an evaluation: a learned policy with its mean, or a reference controller.

An `Actor` is static (it decides which program is compiled); the numbers it acts with are data.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import NetworkSize
from pathb_jax.envs import controllers
from pathb_jax.envs.controllers import Controller
from pathb_jax.envs.shadow_field import EnvParams, MesaShadowField
from pathb_jax.envs.worlds import World
from pathb_jax.learn import networks, normalizer
from pathb_jax.learn.normalizer import NormalizerState
from pathb_jax.store.policy_file import PolicyFile

ControllerName = Literal["oracle", "hc-signature"]


class Actor(Protocol):
    """Makes the controller that plays; hashable, so that equal ones share a program."""

    def controller(self, env: Any, env_params: Any, data: Any) -> Controller:
        """Return the controller. `data` are traced numbers, in the form this actor needs."""


class PolicyData(NamedTuple):
    """Numbers of a learned policy: the actor network, and how observations are normalised."""

    actor: Any
    obs_mean: jax.Array
    obs_std: jax.Array
    action_scale: jax.Array


@dataclass(frozen=True)
class MeanPolicy:
    """A learned policy acting with its mean."""

    size: NetworkSize

    def controller(self, env: World, env_params: Any, data: PolicyData) -> Controller:
        """Return the policy as a controller without state."""
        del env, env_params

        def act(
            state: tuple[()], observation: jax.Array, samples: jax.Array, step_index: jax.Array
        ) -> tuple[tuple[()], jax.Array]:
            del samples, step_index
            return state, mean_action(self.size, data, observation)

        return Controller(init=lambda: (), act=act)


def mean_action(size: NetworkSize, data: PolicyData, observation: jax.Array) -> jax.Array:
    """Return the mean of a policy, of any norm, for one observation `[D]` as it is shown."""
    normalized = (observation - data.obs_mean) / data.obs_std
    return data.action_scale * networks.actor_mean({"actor": data.actor}, size, normalized)


@dataclass(frozen=True)
class ReferenceController:
    """Oracle or HC-Signature; needs no data."""

    name: ControllerName

    def controller(self, env: MesaShadowField, env_params: EnvParams, data: None) -> Controller:
        """Return the reference controller.

        Raises:
            ValueError: the Oracle on a tier that does not show the true gradient.
        """
        del data
        if self.name == "oracle":
            return controllers.oracle(env)
        return controllers.hc_signature(env, env_params)


def policy_data(params: networks.Params, statistics: NormalizerState) -> PolicyData:
    """Numbers of a policy in training: parameters and statistics of the same moment."""
    scale = jnp.ones((), statistics.mean.dtype)
    return PolicyData(params["actor"], statistics.mean, normalizer.std(statistics), scale)


def policy_file_data(policy: PolicyFile) -> tuple[MeanPolicy, PolicyData]:
    """Actor and numbers of a policy file."""
    layers = {
        f"Dense_{index}": {"kernel": jnp.asarray(layer.weight.T), "bias": jnp.asarray(layer.bias)}
        for index, layer in enumerate(policy.layers)
    }
    data = PolicyData(
        actor=layers,
        obs_mean=jnp.asarray(policy.normalization.obs_mean),
        obs_std=jnp.maximum(jnp.asarray(policy.normalization.obs_std), 1e-8),
        action_scale=jnp.asarray(np.float32(policy.action_scale)),
    )
    return MeanPolicy(NetworkSize(policy.depth, policy.hidden_size)), data
