"""Stable-Baselines3 and sbx behind the interface of `peer_trainers`."""

from typing import Any

import flax.linen as nn
import numpy as np
from harness import timed
from peer_trainers import Counts
from peer_worlds import HostWorlds, World

from pathb_jax.config import TIERS, RunConfig


class _StableBaselines:
    """What Stable-Baselines3 and sbx share: `learn` on a vectorised environment from the host."""

    seeds = 1

    def __init__(self, config: RunConfig, ppo: Any, activation: Any) -> None:
        from stable_baselines3.common.vec_env import VecNormalize

        shapes, hparams = config.train, config.hparams
        self._batch_size = shapes.batch_size
        layers = [TIERS[shapes.tier].width] * TIERS[shapes.tier].depth
        self._model = ppo(
            "MlpPolicy",
            VecNormalize(vec_env(World(config), shapes.batch_envs), norm_reward=False),
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


class StableBaselines3(_StableBaselines):
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


class Sbx(_StableBaselines):
    """sbx: Stable-Baselines3's loop with policy and updates in JAX, one compiled call each."""

    def __init__(self, config: RunConfig) -> None:
        from sbx import PPO

        super().__init__(config, PPO, nn.tanh)

    def _minibatches(self) -> int:
        return int(self._model.policy.actor_state.step)


def vec_env(world: World, num_envs: int) -> Any:
    """Return the worlds as a vectorised environment of Stable-Baselines3."""
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import VecEnv

    class ShadowFields(VecEnv):
        def __init__(self) -> None:
            self._worlds = HostWorlds(world, num_envs)
            self._actions: Any = None
            seen, done = world.env.observation_space(), world.env.action_space()
            super().__init__(num_envs, *(_box(spaces, space) for space in (seen, done)))

        def reset(self) -> np.ndarray:
            return self._worlds.reset()

        def step_async(self, actions: np.ndarray) -> None:
            self._actions = actions

        def step_wait(self) -> Any:
            return self._worlds.step(self._actions)

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            del indices
            return [getattr(self, attr_name, None)] * num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError

        def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
            raise NotImplementedError

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            del wrapper_class, indices
            return [False] * num_envs

    return ShadowFields()


def _box(spaces: Any, space: Any) -> Any:
    low, high = (np.full(space.shape, x, np.float32) for x in (space.low, space.high))
    return spaces.Box(low, high, space.shape, np.float32)
