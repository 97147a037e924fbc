"""An environment of one's own: a cart on a line has to come to rest at the origin.

`pathb train --env examples.cart:Cart --success-return -40` trains on it, from the repository's
folder. All that is asked of an environment is here: gymnax 1.0's methods, boxes, and `time` in the
state. docs/OWN_ENVIRONMENT.md goes through it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


@struct.dataclass
class CartState(environment.EnvState):
    """Where the cart is, and how fast."""

    time: jax.Array
    position: jax.Array
    velocity: jax.Array


@struct.dataclass
class CartParams(environment.EnvParams):
    """Numbers of the task: of those an experiment may sweep over."""

    max_steps_in_episode: int = 100
    force: float = 1.0
    dt: float = 0.1


def seen(state: CartState) -> jax.Array:
    """Return the observation of a state: position and velocity."""
    return jnp.stack([state.position, state.velocity])


class Cart(environment.Environment[CartState, CartParams]):
    """Observes position and velocity, pushes with up to `force`, pays minus the distance."""

    @property
    def default_params(self) -> CartParams:
        """The numbers that it is trained with."""
        return CartParams()

    def reset_env(self, key: jax.Array, params: CartParams) -> tuple[jax.Array, CartState]:
        """Begin somewhere in [-2, 2], at rest."""
        position = jax.random.uniform(key, (), minval=-2.0, maxval=2.0)
        state = CartState(jnp.int32(0), position, jnp.zeros(()))
        return seen(state), state

    def step_env(
        self, key: jax.Array, state: CartState, action: Any, params: CartParams
    ) -> tuple[jax.Array, CartState, jax.Array, jax.Array, dict[Any, Any]]:
        """Push for one step."""
        velocity = state.velocity + params.dt * action[0]
        position = state.position + params.dt * velocity
        state = CartState(state.time + 1, position, velocity)
        reward = -jnp.abs(position)
        # It never ends by itself: gymnax ends an episode after `max_steps_in_episode`.
        return seen(state), state, reward, jnp.zeros((), bool), {}

    def action_space(self, params: CartParams) -> spaces.Box:
        """A force."""
        return spaces.Box(-params.force, params.force, (1,), jnp.float32)

    def observation_space(self, params: CartParams) -> spaces.Box:
        """Anywhere on the line."""
        return spaces.Box(-jnp.inf, jnp.inf, (2,), jnp.float32)
