"""The training task as other libraries expect an environment; imports none of them.

All of them step the very world that our trainer steps: 64 fixed starts, the reward of
mixed_ppo_phase3_lambda_0_9, episodes of at most 200 steps, auto-reset to the episode's own start.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.config import RunConfig, TaskConfig, Tier, TrainConfig
from pathb_jax.config_checks import validated
from pathb_jax.envs.shadow_field import EnvParams, EnvState
from pathb_jax.learn.task import make_env, task_params


def pinned(tier: Tier) -> RunConfig:
    """Return the run that is compared: the pinned shapes at a tier."""
    config = RunConfig(TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=TrainConfig(tier=tier))
    return validated(config)


class World:
    """One environment of a run's bank, which of them being drawn at its first reset.

    gymnax shares parameters between environments; ours differ in start and goal. An episode's
    state holds both, so a step takes them from there.
    """

    def __init__(self, config: RunConfig) -> None:
        self.env = make_env(config.train)
        self.bank = task_params(config, self.env)

    @property
    def horizon(self) -> int:
        """Most steps of an episode."""
        return int(self.bank.max_steps_in_episode)

    def params_of(self, state: EnvState) -> EnvParams:
        """Parameters bound to the episode's own start and goal."""
        return replace(self.bank, start=state.start, goal=state.goal)

    def reset(self, key: jax.Array) -> tuple[jax.Array, EnvState]:
        """Begin an episode in a random environment of the bank: observation `[D]` and state."""
        index = jax.random.randint(key, (), 0, len(self.bank.start))
        start, goal = self.bank.start[index], self.bank.goal[index]
        return self.env.reset(key, replace(self.bank, start=start, goal=goal))

    def step(self, key: jax.Array, state: EnvState, action: jax.Array) -> tuple[Any, ...]:
        """Do gymnax 1.0's step: observation, state, reward, terminated, truncated, info."""
        return self.env.step(key, state, action, self.params_of(state))


class FiveTupleWorld:
    """The interface of gymnax before 1.0, as rejax 0.1 expects it: a step returns one `done`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.default_params = world.bank

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, EnvState]:
        """Return the first observation and state of an episode."""
        del params
        return self._world.reset(key)

    def step(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams | None = None
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[str, Any]]:
        """Return observation, state, reward, done and an empty info."""
        del params
        obs, state, reward, terminated, truncated, _ = self._world.step(key, state, action)
        return obs, state, reward, terminated | truncated, {}

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Return gymnax's box of actions."""
        return self._world.env.action_space(params)

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Return gymnax's box of observations."""
        return self._world.env.observation_space(params)


class HostWorlds:
    """Environments stepped from the host, one compiled call a step; NumPy in and out.

    `N` environments, `D` observation entries. Follows the contract of Stable-Baselines3's
    vectorised environments.
    """

    def __init__(self, world: World, num_envs: int, seed: int = 0) -> None:
        self.num_envs = num_envs
        self._key = jax.random.key(seed)
        self._reset = jax.jit(jax.vmap(world.reset))

        def step(key: jax.Array, state: EnvState, action: jax.Array) -> tuple[Any, ...]:
            obs, state, reward, terminated, truncated, info = world.step(key, state, action)
            done = terminated | truncated
            return state, (obs, reward, done, truncated & ~terminated, info["final_observation"])

        # The task draws nothing in a step, so that one key serves all.
        self._step = jax.jit(jax.vmap(step, in_axes=(None, 0, 0)), donate_argnums=1)
        self._state: Any = None

    def reset(self) -> np.ndarray:
        """Begin all episodes anew; return their observations `[N, D]`."""
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(jax.random.split(key, self.num_envs))
        return np.array(obs)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Any]]:
        """Step all environments and reset those that are done.

        Args:
            actions: `[N, 2]`.

        Returns:
            Observations `[N, D]`, rewards `[N]`, dones `[N]`, and one dictionary an environment,
            which after an episode holds `terminal_observation` and `TimeLimit.truncated`.
        """
        self._state, results = self._step(self._key, self._state, jnp.asarray(actions))
        obs, rewards, dones, timed_out, final_obs = map(np.array, jax.device_get(results))
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in dones.nonzero()[0]:
            infos[index] = {
                "terminal_observation": final_obs[index],
                "TimeLimit.truncated": bool(timed_out[index]),
            }
        return obs, rewards, dones, infos
