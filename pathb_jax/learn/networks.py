"""Actor, critic and the Gaussian policy between them.

Source: docs/spec/trainer.md, "Networks" and "Acting".
Shapes: `B` any leading axes, `D` observation entries, `A` action entries.
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from pathb_jax.config import NetworkSize

ACTION_DIM = 2
"""Of the shadow field."""
ACTION_SCALE = 1.0
_LOG_2PI = 1.8378770664093453

Params = dict[str, Any]
"""`{"actor": ..., "critic": ..., "log_std": [A]}`; the first two as flax gives them."""


def _uniform_fan_in(fan_in: int) -> jax.nn.initializers.Initializer:
    """Uniform on +-1/sqrt(fan_in), for weights and biases alike."""
    bound = fan_in**-0.5

    def init(key: chex.PRNGKey, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        del out_sharding
        return jax.random.uniform(key, shape, dtype or float, -bound, bound)

    return init


class MLP(nn.Module):
    """tanh perceptron: `size.depth` hidden layers of `size.width`, then a linear layer.

    Maps `[*B, D]` to `[*B, outputs]`.
    """

    size: NetworkSize
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the last layer's linear output."""
        for _ in range(self.size.depth):
            x = nn.tanh(self._dense(x, self.size.width))
        return self._dense(x, self.outputs)

    def _dense(self, x: jax.Array, features: int) -> jax.Array:
        init = _uniform_fan_in(x.shape[-1])
        # param_dtype None: the default float type, so that x64 tests run in float64.
        return nn.Dense(
            features,
            kernel_init=init,
            bias_init=init,
            param_dtype=jnp.zeros(()).dtype,
            dot_general=lambda x, kernel, *_, **__: dense_product(x, kernel),
        )(x)


@jax.custom_vjp
def dense_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A layer's product `x kernel`, `[*B, I]` and `[I, O]` to `[*B, O]`.

    It has a gradient of its own, which differs from JAX's in rounding alone: on a CPU the weights'
    product x^T g is taken of a transposed copy of x. XLA hands `[I, B] [B, O]` to a fast library
    and the product it would make of x itself to a slower one; docs/PERFORMANCE.md has the figures.
    """
    return x @ kernel


def _product_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return x @ kernel, (x, kernel)


def _product_backward(saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    rows, outputs = (a.reshape((-1, a.shape[-1])) for a in (x, gradient))
    weights = jax.lax.platform_dependent(
        rows, outputs, cpu=_product_of_copy, default=lambda rows, outputs: rows.T @ outputs
    )
    return gradient @ kernel.T, weights


def _product_of_copy(rows: jax.Array, outputs: jax.Array) -> jax.Array:
    """`rows^T outputs` for a CPU, `[B, I]` and `[B, O]` to `[I, O]`."""
    if outputs.shape[-1] == 1:  # no matrix product to XLA, and the copy would cost
        return rows.T @ outputs
    return jax.lax.optimization_barrier(rows.T) @ outputs


dense_product.defvjp(_product_forward, _product_backward)


def init_params(
    key: chex.PRNGKey,
    size: NetworkSize,
    obs_dim: int,
    log_std_init: Any,
    action_dim: int = ACTION_DIM,
) -> Params:
    """Draw fresh parameters; `log_std` starts at `log_std_init` in each dimension."""
    actor_key, critic_key = jax.random.split(key)
    obs = jnp.zeros((1, obs_dim))
    return {
        "actor": MLP(size, action_dim).init(actor_key, obs)["params"],
        "critic": MLP(size, 1).init(critic_key, obs)["params"],
        "log_std": jnp.full((action_dim,), log_std_init, dtype=obs.dtype),
    }


def actor_mean(params: Params, size: NetworkSize, obs: jax.Array) -> jax.Array:
    """Mean of the policy, `[*B, D]` normalised observations to `[*B, A]` in (-1, 1)."""
    outputs = params["actor"][f"Dense_{size.depth}"]["bias"].shape[-1]
    return ACTION_SCALE * jnp.tanh(_apply(MLP(size, outputs), params["actor"], obs))


def critic_value(params: Params, size: NetworkSize, obs: jax.Array) -> jax.Array:
    """Value of normalised observations, `[*B, D]` to `[*B]`."""
    return _apply(MLP(size, 1), params["critic"], obs)[..., 0]


def _apply(network: MLP, params: Any, obs: jax.Array) -> jax.Array:
    outputs: Any = network.apply({"params": params}, obs)  # flax types it as output and state
    return outputs


def gaussian_log_prob(raw_action: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Log-density of N(mean, exp(log_std)) at `raw_action`, summed over dimensions.

    Shapes `[*B, A]`, `[*B, A]`, `[A]` to `[*B]`. The action is the one before any clipping.

    Example:
        At the mean, with unit deviations, it is -log(2 pi); one deviation off costs a half.

        >>> zeros = jnp.zeros(2)
        >>> print(f"{gaussian_log_prob(zeros, zeros, zeros):.4f}")
        -1.8379
        >>> print(f"{gaussian_log_prob(jnp.array([1.0, 0.0]), zeros, zeros):.4f}")
        -2.3379
    """
    log_std = log_std.reshape((1,) * (raw_action.ndim - 1) + log_std.shape)
    z = (raw_action - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * jnp.square(z) - log_std - 0.5 * _LOG_2PI, axis=-1)


def gaussian_entropy(log_std: jax.Array) -> jax.Array:
    """Entropy in nats, summed over dimensions: sum(log_std + 0.5 log(2 pi e)). `[A]` to `[]`.

    Example:
        >>> print(f"{gaussian_entropy(jnp.array([-0.5, -0.5])):.4f}")  # where training starts
        1.8379
    """
    return jnp.sum(log_std + 0.5 * (_LOG_2PI + 1.0))
