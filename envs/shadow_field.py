"""The shadow-field task as a gymnax 1.0 environment.

What is static (sensor tier, optional channels, longest delay, whether the dynamics are noisy) is
said in the constructor and decides which program is compiled. Every number is in `EnvParams` and
may be traced, vmapped or swept. The default tier draws no random numbers and keeps no history.

Source: docs/spec/environment.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from pathb_jax.envs import dynamics, sensors
from pathb_jax.envs.start_states import start_states
from pathb_jax.envs.world import (
    EnvParams,
    EnvState,
    EpisodeMetrics,
    Outcome,
    Reading,
    bank_axes,
    bind,
)

__all__ = [
    "ENV_ID",
    "EnvParams",
    "EnvState",
    "EpisodeMetrics",
    "MesaShadowField",
    "Outcome",
    "Reading",
    "bank_axes",
    "bind",
]

ENV_ID = "MesaShadowField-v0"


class MesaShadowField(environment.Environment[EnvState, EnvParams]):
    """A point that must reach a goal it only senses, while its reward points elsewhere too.

    Args:
        sensor_tier: name of a tier, see `pathb_jax.envs.sensors.TIERS`.
        texture_channel: append the texture to the observation.
        basin_channel: append `x_observed - x` to the observation.
        max_delay: longest sensor delay the state keeps samples for; None is the tier's delay.
        dynamics_noise: whether `dynamics_sigma` acts; without it no random numbers are drawn.

    Raises:
        ValueError: unknown tier, or a negative longest delay.
    """

    def __init__(
        self,
        sensor_tier: str = sensors.DEFAULT_TIER,
        *,
        texture_channel: bool = False,
        basin_channel: bool = False,
        max_delay: int | None = None,
        dynamics_noise: bool = False,
    ):
        self.tier = sensors.sensor_tier(sensor_tier)
        self.texture_channel = bool(texture_channel)
        self.basin_channel = bool(basin_channel)
        self.max_delay = self.tier.delay if max_delay is None else int(max_delay)
        self.dynamics_noise = bool(dynamics_noise)
        if self.max_delay < 0:
            raise ValueError(f"max_delay must be 0 or more, not {self.max_delay}")

    def _identity(self) -> tuple[Any, ...]:
        return (
            type(self),
            self.tier,
            self.texture_channel,
            self.basin_channel,
            self.max_delay,
            self.dynamics_noise,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MesaShadowField) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return ENV_ID

    @property
    def default_params(self) -> EnvParams:
        """Unbound parameters: random starts, mixed_phase3 at lambda 0.9, the tier's sensors."""
        delay = min(self.tier.delay, self.max_delay)
        return EnvParams(delay=delay, noise_sigma=self.tier.noise_sigma)

    @property
    def obs_dim(self) -> int:
        """Entries of the observation vector."""
        return self.tier.core_dim + self.texture_channel + 2 * self.basin_channel

    def validate(self, params: EnvParams) -> None:
        """Refuse parameters that this environment was not built for; traced numbers pass.

        Raises:
            ValueError: dynamics noise, sensor noise or a delay that the constructor left out, or
                a bound flag without start and goal.
        """
        if params.bound != (params.start is not None and params.goal is not None):
            raise ValueError("start, goal and bound belong together: use pathb_jax.envs.bind")
        if not self.dynamics_noise and _known_positive(params.dynamics_sigma):
            raise ValueError("dynamics_sigma acts only with MesaShadowField(dynamics_noise=True)")
        if not self.tier.noisy and _known_positive(params.noise_sigma):
            raise ValueError(f"noise_sigma does not act on the {self.tier.name} tier")
        if _known_positive(params.delay, beyond=self.max_delay):
            raise ValueError(f"delay is beyond this environment's max_delay = {self.max_delay}")

    # --------------------------------------------- for evaluators: no auto-reset

    def start_state(self, key: jax.Array, params: EnvParams) -> EnvState:
        """Return the first state of an episode; `key` is used only if `params` are unbound."""
        self.validate(params)
        return self._record(dynamics.first_state(key, params, jnp.bool_(True)), params)

    def transition(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[EnvState, Outcome]:
        """Advance one step, without auto-reset and without observing.

        Args:
            key: used only with `dynamics_noise`.
            state: of one episode.
            action: `[2]`, of any norm; a component that is not finite makes the position NaN.
            params: bound or not.
        """
        self.validate(params)
        state, outcome = self._advance(key, state, action, params)
        return self._record(state, params), outcome

    def sense(self, key: jax.Array, state: EnvState, params: EnvParams) -> Reading:
        """Return the observation of a state and the samples as read.

        Args:
            key: used only on noisy tiers; reading twice with one key reads the same.
            state: from `start_state` or `transition`.
            params: those of that call.
        """
        return sensors.sense(
            key,
            state,
            params,
            self.tier,
            texture_channel=self.texture_channel,
            basin_channel=self.basin_channel,
        )

    def episode_metrics(self, state: EnvState, params: EnvParams) -> EpisodeMetrics:
        """Return the metrics of the episode up to `state`, all scalars."""
        return dynamics.episode_metrics(state, params)

    # ------------------------------------------------------- banks: many side by side

    def bank_axes(self, params: EnvParams) -> EnvParams:
        """Return vmap's `in_axes` for a bank, as `pathb_jax.envs.bank_axes` does."""
        return bank_axes(params)

    def at_seeds(self, params: EnvParams, seeds: np.ndarray) -> EnvParams:
        """Return parameters bound to the starts and goals of integer seeds `[...]`.

        Raises:
            ValueError: they are no seeds.
        """
        return bind(params, *start_states(seeds))

    def take(self, bank: EnvParams, index: Any) -> EnvParams:
        """Return the bank at an index of its first axis."""
        return replace(bank, start=bank.start[index], goal=bank.goal[index])

    # ------------------------------------------------------- for people: on the host

    def render(self, state: EnvState, params: EnvParams | None = None) -> np.ndarray:
        """Return a picture of the arena: field, start, goal, false basin, point and its path.

        It is what Gymnasium calls `rgb_array`, and not the figure with axes that some of gymnax's
        own environments return: NumPy, `[480, 480, 3]` (height, width, RGB), uint8. It is drawn by
        matplotlib on the host, so that nothing of it can be traced.

        Args:
            state: of one episode. States over time, as `jax.lax.scan` stacks them, have a path:
                it is drawn from the last start on, the rest as it is in the last of them.
            params: those that the state came of; None is the default.

        Raises:
            ValueError: states of more than one episode side by side.
        """
        from pathb_jax.envs.drawing import draw_state  # nobody else waits for it

        return draw_state(state, self.default_params if params is None else params)

    # ----------------------------------------------------------------------------

    def _advance(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[EnvState, Outcome]:
        return dynamics.advance(key, state, action, params, noisy=self.dynamics_noise)

    def _record(self, state: EnvState, params: EnvParams) -> EnvState:
        return sensors.record(state, params, self.max_delay)

    # ------------------------------------------------------------------ gymnax

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, EnvState]:
        """Return the first observation and state of an episode."""
        params = self.default_params if params is None else params
        self.validate(params)
        return _jit_reset(self, key, params)

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Return the first observation and state of an episode."""
        state = self.start_state(key, params)
        return self.sense(_sensing(key), state, params).observation, state

    def step_env(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Return `(observation, state, reward, terminated, info)` without auto-reset."""
        state, outcome = self.transition(key, state, action, params)
        reading = self.sense(_sensing(key), state, params)
        info = self._info(outcome, state, params) | {"samples": reading.samples}
        return reading.observation, state, outcome.reward, outcome.terminated, info

    def step(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[Any, Any]]:
        """Advance one step and begin a new episode where the old one ended.

        Returns:
            `(observation, state, reward, terminated, truncated, info)`; observation and state are
            those of the new episode where one began. `info` has `terminated`, `truncated`,
            `final_observation` (before the reset), the reward `channels`, `applied_action`,
            `samples` (as read with the observation) and the `metrics` of the episode so far.
        """
        params = self.default_params if params is None else params
        self.validate(params)
        return _jit_step(self, key, state, action, params)

    def _step(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[Any, Any]]:
        """Do what gymnax's step does, but select the state first and sense it once.

        The observation before the reset is sensed apart, for XLA to remove where it is not used.
        """
        key_step, key_reset = jax.random.split(key)
        moved, outcome = self._advance(key_step, state, action, params)
        done = outcome.terminated | outcome.truncated
        fresh = dynamics.first_state(key_reset, params, done).replace(history=moved.history)
        select = partial(jnp.where, done)
        following = self._record(jax.tree.map(select, fresh, moved), params)
        reading = self.sense(_sensing(jnp.where(done, key_reset, key_step)), following, params)
        final = self.sense(_sensing(key_step), self._record(moved, params), params)
        info = self._info(outcome, moved, params) | {
            "samples": reading.samples,
            "truncated": outcome.truncated,
            "final_observation": final.observation,
        }
        return (
            reading.observation,
            following,
            outcome.reward,
            outcome.terminated,
            outcome.truncated,
            info,
        )

    def _info(self, outcome: Outcome, state: EnvState, params: EnvParams) -> dict[str, Any]:
        return {
            "terminated": outcome.terminated,
            "channels": outcome.channels,
            "applied_action": outcome.applied_action,
            "metrics": self.episode_metrics(state, params),
        }

    def observe(self, key: jax.Array, state: EnvState, action: Any, params: EnvParams) -> jax.Array:
        """Return the observation of a state."""
        del action
        return self.sense(key, state, params).observation

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether the goal has been held long enough."""
        return dynamics.is_terminated(state, params)

    @property
    def num_actions(self) -> int:
        """Components of an action."""
        return 2

    def action_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Return the box of actions; what lies beyond the norm limit is scaled back."""
        limit = (self.default_params if params is None else params).action_max
        return spaces.Box(-limit, limit, (2,), jnp.result_type(float))

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Return the box of observations of an unedited world."""
        params = self.default_params if params is None else params
        wall = params.half_width
        samples = (-jnp.inf, jnp.inf) if self.tier.noisy else (0.0, 1.0)
        rows = [(-wall, wall)] * 2 + [samples] * sensors.SAMPLES
        if self.tier.privileged:
            slope = 1.0 / params.signature_sigma
            rows = [(-wall, wall)] * 4 + [(0.0, 1.0)] + [(-slope, slope)] * 2
        if self.texture_channel:
            rows.append((0.0, 1.0))
        if self.basin_channel:
            rows += [(center - wall, center + wall) for center in sensors.OBSERVED_BASIN]
        low, high = jnp.asarray(rows, jnp.result_type(float)).T
        return spaces.Box(low, high, (self.obs_dim,), jnp.result_type(float))

    def state_space(self, params: EnvParams | None = None) -> spaces.Dict:
        """Return the boxes of the state's entries."""
        params = self.default_params if params is None else params
        number = jnp.result_type(float)
        horizon, wall = params.max_steps_in_episode, params.half_width
        place = spaces.Box(-wall, wall, (2,), number)
        count = spaces.Box(0, horizon, (), jnp.int32)
        entries = {
            "time": count,
            "position": place,
            "start": place,
            "goal": place,
            "streak": count,
            "path_length": spaces.Box(0.0, jnp.inf, (), number),
            "saturation_count": count,
            "clipped_count": count,
            "regime_count": count,
        }
        if self.max_delay:
            shape = (self.max_delay + 1, sensors.SAMPLES)
            entries["history"] = spaces.Box(0.0, 1.0, shape, number)
        return spaces.Dict(entries)


def _sensing(key: jax.Array) -> jax.Array:
    """Return the key to sense with after moving or starting with `key`."""
    return jax.random.fold_in(key, dynamics.SENSING)


def _known_positive(value: Any, beyond: int = 0) -> bool:
    """Return whether some entry of a number exceeds `beyond`; a traced one is not known to."""
    # NumPy, since under a trace even a constant would become a tracer in jnp.
    return not isinstance(value, jax.core.Tracer) and bool(np.any(np.asarray(value) > beyond))


@partial(jax.jit, static_argnums=0)
def _jit_reset(env: MesaShadowField, key: jax.Array, params: EnvParams) -> Any:
    return env.reset_env(key, params)


@partial(jax.jit, static_argnums=0)
def _jit_step(
    env: MesaShadowField, key: jax.Array, state: EnvState, action: Any, params: EnvParams
) -> Any:
    return env._step(key, state, action, params)
