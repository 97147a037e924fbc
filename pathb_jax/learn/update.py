"""The PPO update: clipped surrogate, value loss and entropy over shuffled minibatches.

Source: Schulman et al. (2017), "Proximal Policy Optimization Algorithms", equations 7 and 9;
docs/spec/trainer.md, "Update". Axes: `B` samples, `M` minibatches, `D` observation
entries, `A` action entries.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from pathb_jax.config import NetworkSize, TrainConfig
from pathb_jax.learn import networks
from pathb_jax.learn.hparams import TracedHparams


@struct.dataclass
class Batch:
    """Samples to learn from; advantages are already normalised over the whole rollout."""

    obs: jax.Array
    """`[B, D]`, normalised as it was acted on."""
    raw_action: jax.Array
    """`[B, A]`, before any clipping."""
    log_prob: jax.Array
    """`[B]`, of the raw action under the policy that acted."""
    advantage: jax.Array
    """`[B]`"""
    returns: jax.Array
    """`[B]`"""
    value: jax.Array | None = None
    """`[B]`, of the critic that acted; None unless values are clipped."""


class UpdateMetrics(NamedTuple):
    """Means over the minibatches of one update, each `[]`."""

    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    approx_kl: jax.Array
    clip_frac: jax.Array
    grad_norm: jax.Array
    actor_grad_norm: jax.Array
    """Of the policy's parameters, log_std among them."""
    critic_grad_norm: jax.Array


def clipped_surrogate(
    ratio: jax.Array, advantage: jax.Array, clip_range: jax.Array | float
) -> jax.Array:
    """mean(max(-A r, -A clip(r, 1 - c, 1 + c))), `[B]`, `[B]` to `[]` (PPO, equation 7).

    Example:
        A good action gains no more from a ratio beyond 1 + c, a bad one loses without bound.

        >>> [float(clipped_surrogate(jnp.array([1.5]), jnp.array([a]), 0.25)) for a in (1.0, -1.0)]
        [-1.25, 1.5]
    """
    chex.assert_rank([ratio, advantage], 1)
    clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return jnp.mean(jnp.maximum(-advantage * ratio, -advantage * clipped))


def normalize_advantages(advantage: jax.Array) -> jax.Array:
    """(A - mean) / (sample standard deviation with n - 1, plus 1e-8), over all axes."""
    return (advantage - jnp.mean(advantage)) / (jnp.std(advantage, ddof=1) + 1e-8)


def optimizer(hparams: TracedHparams) -> optax.GradientTransformation:
    """Adam after scaling the whole gradient to its largest norm; all numbers may be traced.

    The state has the same structure with and without `critic_lr`.
    """
    adam = optax.adam(hparams.lr, b1=0.9, b2=0.999, eps=1e-8)
    if hparams.critic_lr is not None:
        adam = optax.chain(optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8), _two_rates(hparams))
    return optax.chain(limit_norm(hparams.max_grad_norm), adam)


def limit_norm(max_norm: jax.Array | float) -> optax.GradientTransformation:
    """Scale the whole gradient by min(1, max_norm / its norm).

    optax.clip_by_global_norm says the same with a choice per element, which costs a pass over all
    of them: 5 % of a Large or Small update.
    """

    def scale(updates: networks.Params, _: networks.Params | None) -> networks.Params:
        return optax.tree.scale(jnp.minimum(1.0, max_norm / optax.tree.norm(updates)), updates)

    return optax.stateless(scale)


def _two_rates(hparams: TracedHparams) -> optax.GradientTransformation:
    """Scale the critic's updates by `critic_lr`, all others by `lr`."""

    def scale(updates: networks.Params, _: networks.Params | None) -> networks.Params:
        assert hparams.critic_lr is not None
        rates = {part: hparams.critic_lr if part == "critic" else hparams.lr for part in updates}
        return {
            part: optax.tree.scale(-rates[part], part_updates)
            for part, part_updates in updates.items()
        }

    return optax.stateless(scale)


def value_error(
    value: jax.Array, old_value: jax.Array, returns: jax.Array, value_clip: jax.Array | float
) -> jax.Array:
    """mean(0.5 max((v - R)^2, (v_old + clip(v - v_old, -c, c) - R)^2)), `[B]` each to `[]`.

    Example:
        >>> value, old_value, returns = jnp.array([3.0]), jnp.array([0.0]), jnp.array([3.0])
        >>> float(value_error(value, old_value, returns, 1.0))  # of 0 + 1, not of 3
        2.0
    """
    chex.assert_equal_shape([value, old_value, returns])
    clipped = old_value + jnp.clip(value - old_value, -value_clip, value_clip)
    worse = jnp.maximum(jnp.square(value - returns), jnp.square(clipped - returns))
    return jnp.mean(0.5 * worse)


def loss(
    params: networks.Params, size: NetworkSize, batch: Batch, hparams: TracedHparams
) -> tuple[jax.Array, UpdateMetrics]:
    """PPO's loss on one minibatch, with its parts (norms of the gradient still 0)."""
    mean = networks.actor_mean(params, size, batch.obs)
    log_ratio = (
        networks.gaussian_log_prob(batch.raw_action, mean, params["log_std"]) - batch.log_prob
    )
    ratio = jnp.exp(log_ratio)
    policy_loss = clipped_surrogate(ratio, batch.advantage, hparams.clip_range)
    value = networks.critic_value(params, size, batch.obs)
    if hparams.value_clip is None:
        value_loss = jnp.mean(0.5 * jnp.square(value - batch.returns))
    else:
        assert batch.value is not None
        value_loss = value_error(value, batch.value, batch.returns, hparams.value_clip)
    entropy = networks.gaussian_entropy(params["log_std"])
    total = policy_loss + hparams.value_coef * value_loss - hparams.entropy_coef * entropy
    return total, UpdateMetrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        approx_kl=jnp.mean((ratio - 1.0) - log_ratio),
        clip_frac=jnp.mean((jnp.abs(ratio - 1.0) > hparams.clip_range).astype(ratio.dtype)),
        grad_norm=jnp.zeros_like(entropy),
        actor_grad_norm=jnp.zeros_like(entropy),
        critic_grad_norm=jnp.zeros_like(entropy),
    )


def minibatch_step(
    params: networks.Params, opt_state: Any, size: NetworkSize, batch: Batch, hparams: TracedHparams
) -> tuple[networks.Params, Any, UpdateMetrics]:
    """One gradient step. Norms of the gradient are global norms before scaling."""
    grads, metrics = jax.grad(loss, has_aux=True)(params, size, batch, hparams)
    updates, opt_state = optimizer(hparams).update(grads, opt_state)
    metrics = metrics._replace(
        grad_norm=optax.tree.norm(grads),
        actor_grad_norm=optax.tree.norm((grads["actor"], grads["log_std"])),
        critic_grad_norm=optax.tree.norm(grads["critic"]),
    )
    return optax.apply_updates(params, updates), opt_state, metrics


def random_order(key: jax.Array, count: int) -> jax.Array:
    """A random permutation of 0..count-1, `[count]` int32.

    One sort of one array: random high bits with the index in the low bits, a tenth of the time of
    jax.random.permutation. Two indices whose random bits agree keep their order: with 8 192
    samples and 19 random bits that is one pair of indices in 524 288. Counts that leave fewer
    than 16 random bits are left to jax.random.permutation.
    """
    index_bits = max(count - 1, 1).bit_length()
    if index_bits > 16:
        return jax.random.permutation(key, count)
    low = jnp.uint32(2**index_bits - 1)
    noise = jax.random.bits(key, (count,), jnp.uint32)
    order = jnp.sort((noise & ~low) | jnp.arange(count, dtype=jnp.uint32))
    return (order & low).astype(jnp.int32)


def minibatches(batch: Batch, key: jax.Array, minibatch_size: int) -> Batch:
    """Shuffle the batch and cut it into consecutive slices: leaves `[M, B / M, ...]`."""
    order = random_order(key, batch.log_prob.shape[0])
    return jax.tree.map(lambda x: x[order].reshape((-1, minibatch_size, *x.shape[1:])), batch)


def run_epochs(
    params: networks.Params,
    opt_state: Any,
    config: TrainConfig,
    size: NetworkSize,
    batch: Batch,
    hparams: TracedHparams,
    key: jax.Array,
) -> tuple[networks.Params, Any, UpdateMetrics]:
    """All epochs over one rollout.

    One permutation is drawn and used by every epoch; with `reshuffle_epochs`, one per epoch.

    Returns:
        Parameters, optimizer state, and the metrics' means over all minibatches.
    """
    slices = minibatches(batch, key, config.minibatch_size)

    def step(carry: Any, minibatch: Batch) -> tuple[Any, UpdateMetrics]:
        params, opt_state = carry
        params, opt_state, metrics = minibatch_step(params, opt_state, size, minibatch, hparams)
        return (params, opt_state), metrics

    def epoch(carry: Any, index: jax.Array) -> tuple[Any, UpdateMetrics]:
        if config.reshuffle_epochs:
            reshuffled = minibatches(batch, jax.random.fold_in(key, index), config.minibatch_size)
            return jax.lax.scan(step, carry, reshuffled)
        return jax.lax.scan(step, carry, slices)

    (params, opt_state), metrics = jax.lax.scan(
        epoch, (params, opt_state), jnp.arange(config.epochs)
    )
    return params, opt_state, jax.tree.map(jnp.mean, metrics)
