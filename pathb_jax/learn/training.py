"""The training loop: whole updates, scanned inside one compiled call.

`init` gives a fresh state, `train_chunk` runs a number of updates that is data, so that one
compiled program serves every chunk of every run of the same shapes. Source: docs/spec/trainer.md.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from pathb_jax.config import TIERS, TrainConfig
from pathb_jax.envs.worlds import World
from pathb_jax.learn import episodes, networks, normalizer, rollout, update
from pathb_jax.learn.advantages import gae, next_state_values
from pathb_jax.learn.hparams import TracedHparams

CHUNK_CAPACITY = 1024
"""Most updates one call can run: rows of its table of metrics."""


class RolloutMetrics(NamedTuple):
    """What one update tells beside its epochs, each `[]`."""

    mean_reward: jax.Array
    episode_done_rate: jax.Array
    explained_variance: jax.Array
    """Of the returns, by the values before the update."""
    log_std: jax.Array
    """Mean over action dimensions, after the update."""
    advantage_mean: jax.Array
    """Over the batch, before normalisation."""
    advantage_std: jax.Array
    """Likewise, with n - 1."""


METRICS = (
    *RolloutMetrics._fields,
    *update.UpdateMetrics._fields,
    *episodes.EpisodeMetrics._fields,
)
"""Names of all figures that an update tells: of a chunk, and of the history's columns."""

MAY_BE_MISSING = episodes.EpisodeMetrics._fields
"""Those that are NaN where there is nothing to say: no episode ended."""


@struct.dataclass
class TrainState:
    """Everything a run needs to go on, as one unit. Axes: `N` environments, `D` observation."""

    params: networks.Params
    opt_state: Any
    env_state: Any
    obs: jax.Array
    """`[N, D]`, to be acted on next, raw, already merged into the statistics."""
    normalizer: normalizer.NormalizerState
    key: jax.Array
    """`[2]` uint32, of the training seed. Never advanced: update u draws from fold_in(key, u)."""
    update: jax.Array
    """`[]` int32, updates done, counted through continued runs."""
    ongoing: episodes.Ongoing
    """Of the episodes under way; only metrics need it."""


class Span(NamedTuple):
    """Which updates a run does; schedules go from its first to its last."""

    first_update: Any
    """Update index the run begins after."""
    updates: Any
    """How many it does."""


class Chunk(NamedTuple):
    """What one call returns beside the state."""

    metrics: dict[str, jax.Array]
    """Each of METRICS `[CHUNK_CAPACITY]`; the first `updates` entries are filled."""
    updates: jax.Array
    """`[]` int32, updates run: fewer than asked if a figure became non-finite."""
    finite: jax.Array
    """`[]` bool, whether all figures and parameters are finite."""


def reset_envs(
    env: World,
    env_params: Any,
    statistics: normalizer.NormalizerState,
    key: jax.Array,
    num_envs: int,
) -> tuple[Any, jax.Array, normalizer.NormalizerState]:
    """Reset all environments and merge their first observations into the statistics."""
    obs, env_state = rollout.reset_bank(env, env_params, key, num_envs)
    return env_state, obs, normalizer.merge(statistics, obs)


def init(
    config: TrainConfig,
    env: World,
    env_params: Any,
    hparams: TracedHparams,
    seed: jax.Array,
    log_std_init: jax.Array,
) -> TrainState:
    """Fresh parameters, optimizer, environments and statistics for a training seed."""
    base = jax.random.key(seed)
    # Updates count from 1, so index 0 is free for initialisation.
    params_key, reset_key = jax.random.split(jax.random.fold_in(base, 0))
    params = networks.init_params(
        params_key, TIERS[config.tier], env.obs_dim, log_std_init, env.num_actions
    )
    env_state, obs, statistics = reset_envs(
        env, env_params, normalizer.init_normalizer(env.obs_dim), reset_key, config.batch_envs
    )
    return TrainState(
        params=params,
        opt_state=update.optimizer(hparams).init(params),
        env_state=env_state,
        obs=obs,
        normalizer=statistics,
        key=jax.random.key_data(base),
        update=jnp.zeros((), jnp.int32),
        ongoing=episodes.none_begun(config.batch_envs),
    )


def continue_from(
    config: TrainConfig,
    env: World,
    env_params: Any,
    hparams: TracedHparams,
    seed: jax.Array,
    loaded: TrainState,
    reset_optimizer: jax.Array,
) -> TrainState:
    """Start a new run from an old one's parameters, statistics and update index.

    Environments reset and their first observations are merged again; noise goes on with
    fold_in(key(seed), update index), so that none repeats.
    """
    base = jax.random.key(seed)
    reset_key = jax.random.fold_in(jax.random.fold_in(base, 0), loaded.update)
    env_state, obs, statistics = reset_envs(
        env, env_params, loaded.normalizer, reset_key, config.batch_envs
    )
    fresh_optimizer = update.optimizer(hparams).init(loaded.params)
    return TrainState(
        params=loaded.params,
        opt_state=jax.tree.map(
            lambda fresh, old: jnp.where(reset_optimizer, fresh, old),
            fresh_optimizer,
            loaded.opt_state,
        ),
        env_state=env_state,
        obs=obs,
        normalizer=statistics,
        key=jax.random.key_data(base),
        update=loaded.update,
        ongoing=episodes.none_begun(config.batch_envs),
    )


class Collected(NamedTuple):
    """A rollout, and what of it is learnt from. Axes: `T` steps, `N` environments."""

    batch: update.Batch
    """`[T * N, ...]`, before it is shuffled."""
    shuffle_key: jax.Array
    """What it is shuffled with."""
    env_state: Any
    obs: jax.Array
    """`[N, D]`, to be acted on next."""
    normalizer: normalizer.NormalizerState
    steps: rollout.Rollout
    values: jax.Array
    """`[T, N]`, before the update."""
    advantages: jax.Array
    """`[T, N]`, before they are normalised."""
    returns: jax.Array
    """`[T, N]`, advantages plus values."""


def collect(
    config: TrainConfig, env: World, state: TrainState, hparams: TracedHparams, env_params: Any
) -> Collected:
    """Play what one update learns from, with its values and advantages."""
    size = TIERS[config.tier]
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.update + 1)
    rollout_key, shuffle_key = jax.random.split(key)

    carry, steps = rollout.collect(
        env,
        env_params,
        state.params,
        size,
        (state.env_state, state.obs, state.normalizer),
        rollout_key,
        config.rollout_length,
        bootstrap=config.truncation == "bootstrap",
    )
    env_state, obs, statistics = carry

    values = networks.critic_value(state.params, size, steps.obs)
    last_value = networks.critic_value(state.params, size, normalizer.normalize(statistics, obs))
    next_values = next_state_values(values, last_value, steps.done)
    if steps.final_obs is not None and steps.timed_out is not None:
        final_values = networks.critic_value(state.params, size, steps.final_obs)
        next_values = jnp.where(steps.timed_out, final_values, next_values)
    advantages = gae(
        steps.reward, values, next_values, steps.done, hparams.gamma, hparams.gae_lambda
    )
    returns = advantages + values

    batch = update.Batch(
        obs=steps.obs,
        raw_action=steps.raw_action,
        log_prob=steps.log_prob,
        advantage=update.normalize_advantages(advantages),
        returns=returns,
        value=None if hparams.value_clip is None else values,
    )
    flat = jax.tree.map(lambda x: x.reshape((config.batch_size, *x.shape[2:])), batch)
    return Collected(
        flat, shuffle_key, env_state, obs, statistics, steps, values, advantages, returns
    )


def train_update(
    config: TrainConfig,
    env: World,
    state: TrainState,
    hparams: TracedHparams,
    env_params: Any,
    span: Span,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One PPO update: rollout, advantages, epochs of minibatches.

    Returns:
        The next state, and its figures by name: `METRICS`.
    """
    played = collect(config, env, state, hparams, env_params)
    params, opt_state, metrics = update.run_epochs(
        state.params,
        state.opt_state,
        config,
        TIERS[config.tier],
        played.batch,
        scheduled(hparams, state.update, span),
        played.shuffle_key,
    )

    steps, advantages = played.steps, played.advantages
    of_rollout = RolloutMetrics(
        mean_reward=jnp.mean(steps.reward),
        episode_done_rate=jnp.mean(steps.done.astype(advantages.dtype)),
        explained_variance=explained_variance(played.values, played.returns),
        log_std=jnp.mean(params["log_std"]),
        advantage_mean=jnp.mean(advantages),
        advantage_std=jnp.std(advantages, ddof=1),
    )
    ongoing, of_episodes = episodes.ended(state.ongoing, steps.reward, steps.success, steps.done)
    next_state = TrainState(
        params=params,
        opt_state=opt_state,
        env_state=played.env_state,
        obs=played.obs,
        normalizer=played.normalizer,
        key=state.key,
        update=state.update + 1,
        ongoing=ongoing,
    )
    return next_state, {**of_rollout._asdict(), **metrics._asdict(), **of_episodes._asdict()}


def scheduled(hparams: TracedHparams, update: jax.Array, span: Span) -> TracedHparams:
    """Hyper-parameters of the update after `update`: linear where an end is given."""

    def value(start: Any, end: Any) -> Any:
        if end is None:
            return start
        done = (update - span.first_update) / jnp.maximum(span.updates - 1, 1)
        return start + (end - start) * done.astype(start.dtype)

    return hparams._replace(
        lr=value(hparams.lr, hparams.lr_end),
        entropy_coef=value(hparams.entropy_coef, hparams.entropy_coef_end),
    )


def explained_variance(values: jax.Array, returns: jax.Array) -> jax.Array:
    """1 - var(R - v) / var(R), 0 where var(R) < 1e-8."""
    variance = jnp.var(returns)
    constant = variance < 1e-8
    return jnp.where(
        constant, 0.0, 1.0 - jnp.var(returns - values) / jnp.where(constant, 1.0, variance)
    )


def train_chunk(
    config: TrainConfig,
    env: World,
    state: TrainState,
    hparams: TracedHparams,
    env_params: Any,
    span: Span,
    updates: jax.Array,
) -> tuple[TrainState, Chunk]:
    """Run `updates` (int32, at most CHUNK_CAPACITY) updates; stop early at a non-finite figure."""
    table = jnp.zeros((CHUNK_CAPACITY, len(METRICS)), state.obs.dtype)
    missing = np.array([name in MAY_BE_MISSING for name in METRICS])

    def going(carry: Any) -> jax.Array:
        _, _, done, finite = carry
        return (done < updates) & finite

    def run_one(carry: Any) -> Any:
        state, table, done, _ = carry
        state, figures = train_update(config, env, state, hparams, env_params, span)
        row = jnp.stack([figures[name] for name in METRICS])
        told = jnp.isfinite(row) | (missing & jnp.isnan(row))
        # A sum of squares is non-finite where any parameter is.
        finite = jnp.isfinite(optax.tree.norm(state.params)) & jnp.all(told)
        return state, table.at[done].set(row), done + 1, finite

    state, table, done, finite = jax.lax.while_loop(
        going, run_one, (state, table, jnp.zeros((), jnp.int32), jnp.ones((), bool))
    )
    metrics = dict(zip(METRICS, table.T, strict=True))
    return state, Chunk(metrics=metrics, updates=done, finite=finite)
