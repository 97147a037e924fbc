"""One whole update in NumPy float64, on the noise and the sample order the trainer draws."""

from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np
import reference
from scalar_world import Numbers, World

from pathb_jax.config import TrainConfig
from pathb_jax.learn.training import TrainState
from pathb_jax.learn.update import random_order

EPISODE_FIGURES = ("episode_return", "episode_length", "episode_success")
NOTHING = [np.nan] * 3


class Draws(NamedTuple):
    """Random numbers of one update."""

    noise: np.ndarray
    """`[T, N, 2]`, standard normal."""
    orders: list[np.ndarray]
    """The samples' order, one per epoch."""


def draws_of_update(config: TrainConfig, state: TrainState) -> Draws:
    """Draw what the update after `state` draws, from the same keys."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.update + 1)
    rollout_key, shuffle_key = jax.random.split(key)
    noise_key, _ = jax.random.split(rollout_key)
    shape = (config.rollout_length, config.batch_envs, 2)
    keys = [shuffle_key] * config.epochs
    if config.reshuffle_epochs:
        keys = [jax.random.fold_in(shuffle_key, epoch) for epoch in range(config.epochs)]
    return Draws(
        np.asarray(jax.random.normal(noise_key, shape, np.float64)),
        [np.asarray(random_order(k, config.batch_size)) for k in keys],
    )


class Run:
    """A run's state, updated by the book.

    Attributes:
        ends: how many episodes ended how, over all updates.
    """

    def __init__(
        self, params: Any, starts: np.ndarray, goals: np.ndarray, numbers: Numbers
    ) -> None:
        self.learner = reference.Learner(params)
        self.worlds = [
            World(start, goal, numbers)
            for start, goal in zip(starts.tolist(), goals.tolist(), strict=True)
        ]
        self.statistics = reference.WholeSample()
        self.ends: Counter[str] = Counter()
        self.episodes = [[0.0, 0.0] for _ in self.worlds]
        self.obs = self._observe()

    def _observe(self) -> np.ndarray:
        """Look at what is acted on next, and merge it."""
        obs = np.array([world.observe() for world in self.worlds])
        self.statistics.merge(obs)
        return obs

    def update(self, config: TrainConfig, hparams: Any, draws: Draws) -> dict[str, float]:
        """One update; returns its row of metrics."""
        params, log_std = self.learner.params, self.learner.params["log_std"]
        columns: dict[str, list[Any]] = {
            name: [] for name in ("obs", "raw", "log_prob", "reward", "term", "trunc", "final")
        }
        ended: list[tuple[float, float, bool]] = []
        for noise in draws.noise:
            normalized = self.statistics.normalize(self.obs)
            mean = reference.actor_mean(params, normalized)
            raw = mean + np.exp(log_std) * noise
            steps, finals = [], []
            actions = np.clip(raw, -1.0, 1.0).tolist()
            for world, episode, action in zip(self.worlds, self.episodes, actions, strict=True):
                step = world.step(action)
                steps.append(step)
                finals.append(world.observe())
                episode[0] += step.reward
                episode[1] += 1
                if step.terminated or step.truncated:
                    ended.append((episode[0], episode[1], step.terminated))
                    episode[:] = [0.0, 0.0]
                    self.ends["success" if step.terminated else "time-out"] += 1
                    world.reset()
            self.obs = self._observe()
            final = self.statistics.normalize(np.array(finals))
            log_probs = reference.log_prob(raw, mean, log_std)
            now = (normalized, raw, log_probs, *zip(*steps, strict=True), final)
            for name, value in zip(columns, now, strict=True):
                columns[name].append(value)
        rollout = {name: np.array(column) for name, column in columns.items()}

        values = reference.critic_value(params, rollout["obs"])
        bootstrap = config.truncation == "bootstrap"
        advantages = reference.gae(
            rollout["reward"],
            values,
            reference.critic_value(params, self.statistics.normalize(self.obs)),
            rollout["term"],
            rollout["trunc"],
            hparams.gamma,
            hparams.gae_lambda,
            reference.critic_value(params, rollout["final"]) if bootstrap else None,
        )
        returns = advantages + values
        normalized = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
        samples = reference.Samples(
            rollout["obs"].reshape(-1, rollout["obs"].shape[-1]),
            rollout["raw"].reshape(-1, 2),
            rollout["log_prob"].ravel(),
            normalized.ravel(),
            returns.ravel(),
            values.ravel(),
        )
        figures = [
            self.learner.step(samples.at(indices), hparams)
            for order in draws.orders
            for indices in order.reshape(-1, config.minibatch_size)
        ]
        return {
            **{name: float(np.mean([f[name] for f in figures])) for name in figures[0]},
            "mean_reward": float(rollout["reward"].mean()),
            "episode_done_rate": float((rollout["term"] | rollout["trunc"]).mean()),
            "explained_variance": float(1.0 - np.var(returns - values) / np.var(returns)),
            "log_std": float(self.learner.params["log_std"].mean()),
            "advantage_mean": float(advantages.mean()),
            "advantage_std": float(advantages.std(ddof=1)),
            **dict(zip(EPISODE_FIGURES, np.mean(ended, axis=0) if ended else NOTHING, strict=True)),
        }
