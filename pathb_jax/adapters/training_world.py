"""The world that our trainer steps, as one gymnax environment with parameters that are shared.

gymnax shares parameters between environments; a run's environments differ in start and goal. Here
an episode draws them at its first reset, its state holds them, and a step takes them from there.
"""

from dataclasses import replace
from typing import Any

import jax
from gymnax.environments import environment, spaces
from gymnax.wrappers.compat import LegacyStepAPIWrapper

from pathb_jax.config import Hparams, RunConfig, TaskConfig, TrainConfig, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.envs.shadow_field import ENV_ID, EnvParams, EnvState, MesaShadowField
from pathb_jax.errors import InputError
from pathb_jax.learn.task import make_env, task_params

VARIANT: VariantName = "mixed_ppo_phase3_lambda_0_9"


class TrainingWorld(environment.Environment[EnvState, EnvParams]):
    """The environments of a run: fixed starts, the variant's reward, auto-reset to the own start.

    Args:
        config: the run's; None: `mixed_ppo_phase3_lambda_0_9` as it is pinned, with 64 starts.

    Raises:
        InputError: the configuration is not allowed.
    """

    def __init__(self, config: RunConfig | None = None) -> None:
        config = validated(config or RunConfig(TaskConfig(VARIANT)))
        env = make_env(config.train)
        if not isinstance(env, MesaShadowField):
            allowed = "the shadow field is adapted here; the environment itself is gymnax's"
            raise InputError("env", config.train.env, allowed)
        self.env: MesaShadowField = env
        self.bank: EnvParams = task_params(config, self.env)

    @property
    def name(self) -> str:
        """The environment's name."""
        return ENV_ID

    @property
    def num_actions(self) -> int:
        """Components of an action."""
        return self.env.num_actions

    @property
    def default_params(self) -> EnvParams:
        """The bank: start and goal `[N, 2]`, of which an episode draws one."""
        return self.bank

    @property
    def horizon(self) -> int:
        """Most steps of an episode."""
        return int(self.bank.max_steps_in_episode)

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[jax.Array, EnvState]:
        """Begin an episode in a random environment of the bank: observation `[D]` and state."""
        params = self.bank if params is None else params
        if params.bound:
            index = jax.random.randint(key, (), 0, len(params.start))
            params = replace(params, start=params.start[index], goal=params.goal[index])
        return self.env.reset(key, params)

    def step(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[Any, Any]]:
        """Do gymnax 1.0's step: observation, state, reward, terminated, truncated, info."""
        return self.env.step(key, state, action, self._own(state, params))

    def step_env(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Do a step without auto-reset: observation, state, reward, terminated, info."""
        return self.env.step_env(key, state, action, self._own(state, params))

    def _own(self, state: EnvState, params: EnvParams | None) -> EnvParams:
        """Return parameters bound to the episode's own start and goal."""
        params = self.bank if params is None else params
        return replace(params, start=state.start, goal=state.goal) if params.bound else params

    def action_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Return the box of actions, `[2]`."""
        return self.env.action_space(params)

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        """Return the box of observations, `[D]`."""
        return self.env.observation_space(params)

    def state_space(self, params: EnvParams | None = None) -> spaces.Dict:
        """Return the boxes of the state's entries."""
        return self.env.state_space(params)


class LegacyStepAPI(LegacyStepAPIWrapper):
    """Five values from a step, as before gymnax 1.0: what rejax 0.1 and PureJaxRL expect.

    gymnax's own wrapper looks `_env` up in itself for ever where a copy of it is made (copy,
    pickle), as rejax does: this one says that there is none yet. Its `info` is left empty, as
    PureJaxRL would stack it for every step.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "_env":
            raise AttributeError(name)
        return super().__getattr__(name)

    def step(
        self, key: jax.Array, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[Any, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Return observation, state, reward, done and an empty info."""
        *rest, _ = super().step(key, state, action, params)
        return (*rest, {})


def task_of(variant: VariantName, mixed_lambda: float | None = None, **train: Any) -> RunConfig:
    """Return the configuration of a variant's task, with fields of `TrainConfig`.

    Raises:
        InputError: it is not allowed.
    """
    hparams = Hparams(mixed_lambda=mixed_lambda)
    return validated(RunConfig(TaskConfig(variant), TrainConfig(**train), hparams))
