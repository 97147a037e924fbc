"""A trained policy as a function, for programs of other people: observation in, action out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from pathb_jax.config import NetworkSize, SensorTier
from pathb_jax.envs.dynamics import limit_action
from pathb_jax.envs.own_world import in_box
from pathb_jax.evaluation.policies import PolicyData, mean_action


@struct.dataclass(eq=False)  # hashable, so that jax.jit takes it as a function too
class Policy:
    """A policy that acts with its mean. It is a pytree: pass it through `jax.jit` and `jax.vmap`.

    Example:
        >>> import numpy as np
        >>> from pathb_jax import load_policy
        >>> policy = load_policy("tests/stored/small.policy.json")
        >>> policy(np.zeros((3, policy.obs_dim))).shape
        (3, 2)
    """

    data: PolicyData
    """Its numbers: the actor network, and how observations are normalised."""
    size: NetworkSize = struct.field(pytree_node=False)
    sensor_tier: SensorTier = struct.field(pytree_node=False)
    """What it observes, the environment's argument of that name."""
    env: str | None = struct.field(pytree_node=False, default=None)
    """What it was trained on, if not on the shadow field."""
    action_box: Any = None
    """`[2, A]` of that environment: lowest and highest."""

    @property
    def obs_dim(self) -> int:
        """D, the entries of an observation."""
        return int(self.data.obs_mean.shape[-1])

    @property
    def action_dim(self) -> int:
        """A, components of an action."""
        return 2 if self.action_box is None else int(self.action_box.shape[-1])

    def __call__(self, observation: jax.Array | np.ndarray) -> jax.Array:
        """Act.

        Args:
            observation: `[..., D]`, as the environment shows it (not normalised).

        Returns:
            Actions `[..., 2]`, of norm 1 at most; or `[..., A]` in the box of `env`.

        Raises:
            ValueError: observations do not end in D.
        """
        seen = jnp.asarray(observation, self.data.obs_mean.dtype)
        if seen.shape[-1:] != (self.obs_dim,):
            raise ValueError(
                f"observations {seen.shape} do not end in {self.obs_dim}, which this policy of "
                f"{self.env or f'tier {self.sensor_tier}'} observes"
            )

        def act(one: jax.Array) -> jax.Array:
            mean = mean_action(self.size, self.data, one)
            if self.action_box is not None:
                return in_box(mean, self.action_box)
            return limit_action(mean, 1.0)[0]

        acted: jax.Array = jnp.vectorize(act, signature="(d)->(a)")(seen)
        return acted
