"""Any gymnax environment with boxes, in the form that training and evaluation work with.

The environment's own `step_env`, `reset_env` and `is_truncated` are called, which gymnax 1.0 asks
every environment for; auto-reset is done here, so that an episode can begin where an integer seed
says. Actions are in [-1, 1] per component and are scaled to the environment's box.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax import registration
from gymnax.environments import environment, spaces

from pathb_jax.envs.shadow_field import ENV_ID
from pathb_jax.errors import InputError

_START_STREAM = 0x57A27
"""Folded into the key of a start's seed."""


@struct.dataclass
class OwnParams:
    """What an `OwnWorld` steps with.

    Attributes:
        env: the environment's own parameters.
        success_return: the return from which on an episode is a success.
        starts: `[..., 2]` uint32, keys that episodes begin with; None: each with a key of its own.
    """

    env: Any
    success_return: Any
    starts: Any = None


@struct.dataclass
class OwnState:
    """State of one episode.

    Attributes:
        env: the environment's own.
        observation: `[D]`, what is seen of it.
        time: int32, steps taken.
        episode_return: sum of rewards, undiscounted.
    """

    env: Any
    observation: jax.Array
    time: jax.Array
    episode_return: jax.Array


class OwnOutcome(NamedTuple):
    """What a step pays and how it ends: scalars, `applied_action` `[A]` in [-1, 1]."""

    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    applied_action: jax.Array


class OwnReading(NamedTuple):
    """An observation `[D]`; there are no samples."""

    observation: jax.Array
    samples: jax.Array


@struct.dataclass
class OwnMetrics:
    """What an episode up to some state amounts to."""

    steps: jax.Array
    episode_return: jax.Array
    success: jax.Array


@final
class OwnWorld:
    """A gymnax environment whose observations and actions are boxes.

    Args:
        name: as gymnax registers it, `Pendulum-v1`, or `module:Class` of one's own.

    Raises:
        InputError: there is no such environment, or its spaces are no boxes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.env = _made(name)
        self.params = jax.tree.map(_fixed, self.env.default_params)
        try:
            action = self.env.action_space(self.env.default_params)
            seen = self.env.observation_space(self.env.default_params)
        except (AttributeError, NotImplementedError, TypeError) as error:
            allowed = f"its action_space and observation_space cannot be asked ({error})"
            raise InputError("--env", name, allowed) from None
        for what, space in (("actions", action), ("observations", seen)):
            if not isinstance(space, spaces.Box):
                allowed = f"its {what} are {type(space).__name__}; they have to be a Box"
                raise InputError("--env", name, allowed)
        self.action_shape = tuple(action.shape)
        low, high = (np.broadcast_to(x, action.shape).ravel() for x in (action.low, action.high))
        if not (np.isfinite([low, high]).all() and (low < high).all()):
            allowed = "its box of actions has to have finite limits, low below high"
            raise InputError("--env", name, allowed)
        self.action_box = np.stack([low, high]).astype(np.float32)
        """`[2, A]`: lowest and highest."""
        try:
            shapes = jax.eval_shape(self.env.reset_env, jax.random.key(0), self.params)
            self._state_types = jax.tree.map(lambda leaf: leaf.dtype, shapes[1])
            self.obs_dim = int(np.prod(shapes[0].shape, dtype=int))
        except Exception as error:  # whatever a program of somebody else's raises
            allowed = f"it cannot be reset ({' '.join(str(error).split())[:200]})"
            raise InputError("--env", name, allowed) from None

    @property
    def num_actions(self) -> int:
        """A, components of an action."""
        return self.action_box.shape[1]

    @property
    def description(self) -> dict[str, Any]:
        """What this environment is, as JSON: name, where its code is from, parameters, actions."""
        described = {field: _plain(value) for field, value in vars(self.env.default_params).items()}
        return {
            "env": self.name,
            "env_source": _source(self.env),
            "env_params": described,
            "action_low": self.action_box[0].tolist(),
            "action_high": self.action_box[1].tolist(),
        }

    # ------------------------------------------------------------ banks of environments

    def bank_axes(self, params: OwnParams) -> OwnParams:
        """Return vmap's `in_axes` for a bank: 0 for starts, None for everything else."""
        axes: OwnParams = jax.tree.map(lambda _: None, params)
        return axes if params.starts is None else replace(axes, starts=0)

    def at_seeds(self, params: OwnParams, seeds: np.ndarray) -> OwnParams:
        """Return parameters whose episodes begin where the seeds `[...]` say."""
        flat = jax.vmap(_start_key)(jnp.asarray(seeds.ravel(), jnp.uint32))
        return replace(params, starts=flat.reshape((*seeds.shape, -1)))

    def take(self, bank: OwnParams, index: Any) -> OwnParams:
        """Return the bank at an index of its first axis."""
        return replace(bank, starts=bank.starts[index])

    # --------------------------------------------------------------- without auto-reset

    def start_state(self, key: jax.Array, params: OwnParams) -> OwnState:
        """Return the first state of an episode; `key` is used only without `starts`."""
        if params.starts is not None:
            key = jax.random.wrap_key_data(params.starts)
        observation, state = self.env.reset_env(key, params.env)
        zero = jnp.zeros((), jnp.int32)
        return OwnState(self._typed(state), _flat(observation), zero, jnp.zeros(()))

    def transition(
        self, key: jax.Array, state: OwnState, action: Any, params: OwnParams
    ) -> tuple[OwnState, OwnOutcome]:
        """Advance one step; `action` is `[A]`, in [-1, 1] or beyond, which is clipped."""
        applied = jnp.clip(action, -1.0, 1.0)
        given = in_box(applied, self.action_box).reshape(self.action_shape)
        seen, following, reward, terminated, _ = self.env.step_env(
            key, state.env, given, params.env
        )
        reward = jnp.asarray(reward, state.episode_return.dtype)
        moved = OwnState(
            self._typed(following),
            _flat(seen),
            state.time + 1,
            state.episode_return + reward,
        )
        truncated = jnp.asarray(self.env.is_truncated(following, params.env), bool)
        return moved, OwnOutcome(reward, jnp.asarray(terminated, bool), truncated, applied)

    def sense(self, key: jax.Array, state: OwnState, params: OwnParams) -> OwnReading:
        """Return the observation of a state."""
        del key, params
        return OwnReading(state.observation, jnp.zeros((0,), state.observation.dtype))

    def episode_metrics(self, state: OwnState, params: OwnParams) -> OwnMetrics:
        """Return the metrics of the episode up to `state`, all scalars."""
        success = state.episode_return >= params.success_return
        return OwnMetrics(state.time, state.episode_return, success)

    # ------------------------------------------------------------------ with auto-reset

    def reset(self, key: jax.Array, params: OwnParams) -> tuple[jax.Array, OwnState]:
        """Return the first observation `[D]` and state of an episode."""
        state = self.start_state(key, params)
        return state.observation, state

    def step(
        self, key: jax.Array, state: OwnState, action: Any, params: OwnParams
    ) -> tuple[jax.Array, OwnState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Advance one step and begin a new episode where the old one ended, as gymnax does.

        `info` has `final_observation` (before the reset) and `success`.
        """
        key_step, key_reset = jax.random.split(key)
        moved, outcome = self.transition(key_step, state, action, params)
        done = outcome.terminated | outcome.truncated
        fresh = self.start_state(key_reset, params)
        following: OwnState = jax.tree.map(functools.partial(jnp.where, done), fresh, moved)
        info = {
            "final_observation": moved.observation,
            "success": done & self.episode_metrics(moved, params).success,
        }
        ended = outcome.terminated, outcome.truncated
        return following.observation, following, outcome.reward, *ended, info

    def _typed(self, state: Any) -> Any:
        """Return a state whose leaves have the types of a first state, none of them weak."""
        return jax.tree.map(jnp.asarray, state, self._state_types)


def in_box(action: jax.Array, box: Any) -> jax.Array:
    """Return an action `[A]`, in [-1, 1] or clipped to it, in a box `[2, A]`."""
    low, high = jnp.asarray(box)
    return low + (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (high - low)


@functools.cache
def own_world(name: str) -> OwnWorld:
    """Return the world of a name: one object, so that one program serves all its runs.

    Raises:
        InputError: as `OwnWorld`.
    """
    return OwnWorld(name)


def _made(name: str) -> environment.Environment[Any, Any]:
    if ":" not in name:
        if name == ENV_ID:
            raise InputError("--env", name, "it is what runs train on anyway; leave it out")
        if name not in registration.registered_envs:
            known = ", ".join(filter(_has_boxes, registration.registered_envs))
            allowed = f"give module:Class of your own, or one of gymnax's with boxes: {known}"
            raise InputError("--env", name, allowed)
        return registration.make(name)[0]
    module, _, path = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # a console script does not look in the folder where it is started
        sys.path.insert(0, here)
    try:
        kind: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
        made = kind()
    except Exception as error:  # whatever a program of somebody else's raises
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        allowed = f"give module:Class, importable from here and made without arguments ({why})"
        raise InputError("--env", name, allowed) from None
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not isinstance(made, environment.Environment):
        allowed = f"it makes a {type(made).__name__}, which is no gymnax environment"
        raise InputError("--env", name, allowed)
    return made


def _has_boxes(name: str) -> bool:
    if name == ENV_ID:
        return False
    try:
        env, params = registration.make(name)
        both = env.action_space(params), env.observation_space(params)
    except Exception:  # an environment that lacks something of its own
        return False
    return all(isinstance(space, spaces.Box) for space in both)


def _start_key(seed: jax.Array) -> jax.Array:
    return jax.random.key_data(jax.random.fold_in(jax.random.key(seed), _START_STREAM))


def _flat(observation: Any) -> jax.Array:
    return jnp.asarray(observation, jnp.result_type(float)).ravel()


def _fixed(leaf: Any) -> np.ndarray:
    """Return a number as an array of the type that JAX gives it, on no device."""
    return np.asarray(jnp.asarray(leaf))


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist()


def _source(env: Any) -> str:
    """Return where an environment's code is from: gymnax, or a file with its SHA-256.

    gymnax's version is among those that every manifest has.
    """
    module = inspect.getmodule(type(env))
    if module is None or module.__name__.partition(".")[0] == "gymnax":
        return "gymnax"
    file = Path(inspect.getfile(type(env)))
    return f"{module.__name__} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
