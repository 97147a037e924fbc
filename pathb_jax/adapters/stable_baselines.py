"""The task as a vectorised environment of Stable-Baselines3 and sbx: one compiled call a step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from pathb_jax.adapters.gymnasium_envs import MesaShadowFieldVectorEnv


class ShadowFieldVecEnv(VecEnv):
    """`num_envs` episodes side by side, as `MesaShadowFieldVectorEnv` steps them.

    Args:
        num_envs: N.
        seed: of the first episodes.
        **task: as `MesaShadowFieldVectorEnv`.
    """

    def __init__(self, num_envs: int, seed: int = 0, **task: Any) -> None:
        self._envs = MesaShadowFieldVectorEnv(num_envs, **task)
        self._actions: Any = None
        super().__init__(
            num_envs, self._envs.single_observation_space, self._envs.single_action_space
        )
        self.seed(seed)

    def reset(self) -> np.ndarray:
        """Begin all episodes anew: observations `[N, D]`."""
        seed = self._seeds[0]
        self._reset_seeds()
        obs, _ = self._envs.reset(seed=seed)
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions `[N, 2]` of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Do the step: observations `[N, D]`, rewards `[N]`, dones `[N]`, one info each.

        After an episode its info holds `terminal_observation`, `TimeLimit.truncated` and
        `is_success`.
        """
        obs, rewards, terminated, truncated, told = self._envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones = terminated | truncated
        for place in np.flatnonzero(dones):
            infos[place] = {
                "terminal_observation": told["final_obs"][place],
                "TimeLimit.truncated": bool(truncated[place]),
                "is_success": bool(told["success"][place]),
            }
        return obs, rewards, dones, infos

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once for each environment."""
        return [getattr(self._envs, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments are one program."""
        raise NotImplementedError("make another environment with the setting in its arguments")

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Refuse: the environments are one program."""
        raise NotImplementedError("there are no environments apart from each other")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:  # type: ignore[override, unused-ignore]
        """None is wrapped."""
        del wrapper_class
        return [False for _ in self._get_indices(indices)]
