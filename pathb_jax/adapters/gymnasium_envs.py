"""The task as a Gymnasium environment, and as a vectorised one; importing this registers both.

    import gymnasium
    import pathb_jax.adapters.gymnasium_envs
    env = gymnasium.make("MesaShadowField-v0")

NumPy in and out, one compiled call a step. gymnax's own wrappers for Gymnasium hand out JAX arrays
and begin a new episode before the last observation has been seen.
"""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from pathb_jax.adapters.training_world import VARIANT, TrainingWorld, task_of
from pathb_jax.config import SensorTier, VariantName
from pathb_jax.envs.shadow_field import ENV_ID, EnvParams, EnvState

LIMIT = 2**31


class MesaShadowFieldEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One episode at a time, without auto-reset.

    Args:
        variant: what is rewarded, a variant of docs/spec/trainer.md.
        mixed_lambda: weight of the reward channel of a mixed variant; None: the variant's own.
        sensor_tier: what is observed.
        fresh_starts: draw every start anew, in place of one of the run's 64.
        render_mode: None or "rgb_array".

    Raises:
        InputError: variant, lambda or tier is not allowed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        variant: VariantName = VARIANT,
        mixed_lambda: float | None = None,
        sensor_tier: SensorTier = "local-probe-field",
        fresh_starts: bool = False,
        render_mode: str | None = None,
    ) -> None:
        world = _world(variant, mixed_lambda, sensor_tier, fresh_starts)
        self.observation_space = _box(world.observation_space())
        self.action_space = _box(world.action_space())
        self.render_mode = render_mode
        self._world = world
        self._reset = jax.jit(world.reset)
        self._step = jax.jit(self._one_step)
        self._key = jax.random.key(0)
        self._states: list[EnvState] = []

    def _one_step(self, key: jax.Array, state: EnvState, action: jax.Array, bank: EnvParams) -> Any:
        return self._world.step_env(jax.random.fold_in(key, state.time), state, action, bank)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode: its observation `[D]`, float32, and an empty info."""
        super().reset(seed=seed, options=options)
        self._key = jax.random.key(self.np_random.integers(LIMIT))
        obs, state = self._reset(self._key, self._world.bank)
        self._states = [state]
        return np.asarray(obs), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Do a step: observation `[D]`, reward, terminated, truncated, info.

        `info` has `success` and `terminal_alignment` of the episode so far.
        """
        action = np.asarray(action, np.float32)
        results = self._step(self._key, self._states[-1], action, self._world.bank)
        obs, state, reward, terminated, info = results
        if self.render_mode is None:
            self._states.clear()  # a path is for pictures
        self._states.append(state)
        obs, reward, terminated, time, metrics = jax.device_get(
            (obs, reward, terminated, state.time, info["metrics"])
        )
        ended = bool(terminated)
        told = {
            "success": bool(metrics.success),
            "terminal_alignment": float(metrics.terminal_alignment),
        }
        return obs, float(reward), ended, not ended and int(time) >= self._world.horizon, told

    def render(self) -> np.ndarray | None:
        """Return the arena with the path so far, `[480, 480, 3]`; None without a render mode."""
        if self.render_mode is None:
            return None
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *self._states)
        return self._world.env.render(stacked, self._world.bank)


class MesaShadowFieldVectorEnv(VectorEnv):
    """`num_envs` episodes side by side; one that ends begins again at its own start in that step.

    Args:
        num_envs: N.
        variant: as `MesaShadowFieldEnv`, and so are the rest.
        mixed_lambda: see there.
        sensor_tier: see there.
        fresh_starts: see there.

    Raises:
        InputError: variant, lambda or tier is not allowed.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        variant: VariantName = VARIANT,
        mixed_lambda: float | None = None,
        sensor_tier: SensorTier = "local-probe-field",
        fresh_starts: bool = False,
    ) -> None:
        self.num_envs = num_envs
        world = _world(variant, mixed_lambda, sensor_tier, fresh_starts)
        self.single_observation_space = _box(world.observation_space())
        self.single_action_space = _box(world.action_space())
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._world = world
        self._reset = jax.jit(jax.vmap(world.reset, in_axes=(0, None)))
        self._step = jax.jit(self._all_step, donate_argnums=1)
        self._key = jax.random.key(0)
        self._state: Any = None

    def _all_step(self, key: jax.Array, state: EnvState, actions: jax.Array) -> Any:
        following, key = jax.random.split(key)
        keys = jax.random.split(key, self.num_envs)
        step = jax.vmap(self._world.step, in_axes=(0, 0, 0, None))
        obs, state, reward, terminated, truncated, info = step(
            keys, state, actions, self._world.bank
        )
        metrics = info["metrics"]
        told = obs, reward, terminated, truncated & ~terminated, info["final_observation"]
        return following, state, (*told, metrics.success, metrics.terminal_alignment)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes: observations `[N, D]`, float32, and an empty info.

        Raises:
            ValueError: there is not one seed for each environment.
        """
        if isinstance(seed, list):
            if len(seed) != self.num_envs:
                raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
            keys = jax.numpy.stack([jax.random.key(number) for number in seed])
            self._key = jax.random.fold_in(keys[0], 1)
        else:
            super().reset(seed=seed, options=options)
            self._key = jax.random.key(self.np_random.integers(LIMIT))
            self._key, key = jax.random.split(self._key)
            keys = jax.random.split(key, self.num_envs)
        obs, self._state = self._reset(keys, self._world.bank)
        return np.array(obs), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Do a step of all: observations `[N, D]`, rewards, terminated, truncated `[N]`, infos.

        Infos have `success` and `terminal_alignment` `[N]` of the episodes so far and, where some
        have ended, `final_obs` with the mask `_final_obs`.
        """
        actions = np.asarray(actions, np.float32)
        self._key, self._state, results = self._step(self._key, self._state, actions)
        obs, rewards, terminated, truncated, final, success, alignment = map(
            np.array, jax.device_get(results)
        )
        infos: dict[str, Any] = {"success": success, "terminal_alignment": alignment}
        done = terminated | truncated
        if done.any():
            of_ended = np.full(self.num_envs, None, object)
            for place in np.flatnonzero(done):
                of_ended[place] = final[place]
            infos |= {"final_obs": of_ended, "_final_obs": done}
        return obs, rewards, terminated, truncated, infos


def _world(
    variant: VariantName, mixed_lambda: float | None, sensor_tier: SensorTier, fresh_starts: bool
) -> TrainingWorld:
    starts = "fresh" if fresh_starts else "fixed"
    return TrainingWorld(
        task_of(variant, mixed_lambda, sensor_tier=sensor_tier, train_starts=starts)
    )


def _box(space: Any) -> spaces.Box:
    low, high = (
        np.broadcast_to(x, space.shape).astype(np.float32) for x in (space.low, space.high)
    )
    return spaces.Box(low, high, space.shape, np.float32)


if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        ENV_ID,
        entry_point=f"{__name__}:MesaShadowFieldEnv",
        vector_entry_point=f"{__name__}:MesaShadowFieldVectorEnv",
    )
