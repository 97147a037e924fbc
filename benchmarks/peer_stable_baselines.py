"""Stable-Baselines3 and sbx behind the interface of `peer_trainers`."""

from typing import Any

import flax.linen as nn
from harness import timed
from peer_trainers import Counts

from pathb_jax.config import TIERS, RunConfig


class StableBaselines:
    """What Stable-Baselines3 and sbx share: `learn` on a vectorised environment from the host."""

    seeds = 1

    def __init__(self, config: RunConfig, ppo: Any, activation: Any) -> None:
        from stable_baselines3.common.vec_env import VecNormalize

        from pathb_jax.adapters.stable_baselines import ShadowFieldVecEnv

        shapes, hparams = config.train, config.hparams
        envs = ShadowFieldVecEnv(
            shapes.batch_envs,
            config.schedule.seed,
            variant=config.task.variant,
            mixed_lambda=hparams.mixed_lambda,
            sensor_tier=shapes.sensor_tier,
            fresh_starts=shapes.train_starts == "fresh",
        )
        self._batch_size = shapes.batch_size
        layers = [TIERS[shapes.tier].width] * TIERS[shapes.tier].depth
        self._model = ppo(
            "MlpPolicy",
            VecNormalize(envs, norm_reward=False),
            learning_rate=hparams.lr,
            n_steps=shapes.rollout_length,
            batch_size=shapes.minibatch_size,
            n_epochs=shapes.epochs,
            gamma=hparams.gamma,
            gae_lambda=hparams.gae_lambda,
            clip_range=hparams.clip_range,
            ent_coef=hparams.entropy_coef,
            vf_coef=hparams.value_coef,
            max_grad_norm=hparams.max_grad_norm,
            policy_kwargs={
                "net_arch": {"pi": layers, "vf": layers},
                "activation_fn": activation,
                "log_std_init": config.schedule.log_std_init,
            },
            seed=config.schedule.seed,
        )

    def train(self, iterations: int) -> Any:
        """Learn on, without logging."""
        steps = iterations * self._batch_size
        self._model.learn(steps, log_interval=None, reset_num_timesteps=False)

    def counts(self) -> Counts:
        """Read its step counter and its optimizer's."""
        return Counts(self._model.num_timesteps, self._minibatches())

    def _minibatches(self) -> int:
        raise NotImplementedError


class StableBaselines3(StableBaselines):
    """Stable-Baselines3 (PyTorch), on the device it chooses.

    Small networks are often faster on one of PyTorch's threads than on all: it gets what is
    faster for one iteration here.
    """

    def __init__(self, config: RunConfig) -> None:
        import torch
        from stable_baselines3 import PPO

        super().__init__(config, PPO, torch.nn.Tanh)
        self.train(1)

        def with_threads(threads: int) -> float:
            torch.set_num_threads(threads)
            return timed(lambda: self.train(1))

        torch.set_num_threads(min((torch.get_num_threads(), 1), key=with_threads))

    def _minibatches(self) -> int:
        optimizer = self._model.policy.optimizer
        return max((int(state["step"]) for state in optimizer.state.values()), default=0)


class Sbx(StableBaselines):
    """sbx: Stable-Baselines3's loop with policy and updates in JAX, one compiled call each."""

    def __init__(self, config: RunConfig) -> None:
        from sbx import PPO

        super().__init__(config, PPO, nn.tanh)

    def _minibatches(self) -> int:
        return int(self._model.policy.actor_state.step)
