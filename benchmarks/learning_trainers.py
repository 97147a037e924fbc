"""Trainers that learn on and show their policies, for `learning`. Importing this starts JAX."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from peer_trainers import Rejax

from pathb_jax.config import TIERS, RunConfig
from pathb_jax.evaluation.acting import Policy
from pathb_jax.evaluation.policies import policy_data
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import task_params
from pathb_jax.learn.training import CHUNK_CAPACITY

Act = Callable[[Any], Any]
"""Observations `[N, D]`, as the environment shows them, to its actions `[N, A]`."""


class Trainer(Protocol):
    """One training or several."""

    training_seeds: range

    def train(self, iterations: int) -> Any:
        """Do that many iterations; what is returned can be waited for."""

    def policies(self) -> list[Act]:
        """Return the policy of each seed as it is now, acting with its mean."""


def make(library: str, config: RunConfig, seeds: int) -> Iterator[Trainer]:
    """Yield trainers that have all seeds between them, each when it is its turn."""
    if library == "rejax":
        yield RejaxLearning(config, seeds)
        return
    if library == "rejax-sac":
        yield RejaxSac(config, seeds)
        return
    for seed in range(seeds):
        schedule = dataclasses.replace(config.schedule, seed=seed)
        of_seed = dataclasses.replace(config, schedule=schedule)
        if library == "ours-bootstrap":
            bootstrap = dataclasses.replace(config.train, truncation="bootstrap")
            of_seed = dataclasses.replace(of_seed, train=bootstrap)
        if library.startswith("ours"):
            yield Ours(of_seed)
        else:
            yield _baselines(library, of_seed)


class Ours:
    """One run of ours."""

    def __init__(self, config: RunConfig) -> None:
        self.training_seeds = range(config.schedule.seed, config.schedule.seed + 1)
        self._config, self._program = config, program(config)
        self._params = task_params(config, self._program.env)
        self._state = self._program.init(config, self._params)

    def train(self, iterations: int) -> Any:
        """Do that many updates."""
        hparams = traced(self._config)
        while iterations:
            count = min(iterations, CHUNK_CAPACITY)
            self._state, chunk = self._program.train(self._state, hparams, self._params, count)
            iterations -= count
        return chunk

    def policies(self) -> list[Act]:
        """Return the policy as `load_policy` would."""
        data = policy_data(self._state.params, self._state.normalizer)
        train, env = self._config.train, self._program.env
        box = getattr(env, "action_box", None)
        policy = Policy(data, TIERS[train.tier], train.sensor_tier, train.env, box)
        return [functools.partial(_act, policy)]


@jax.jit
def _act(policy: Policy, obs: Any) -> Any:
    return policy(obs)


class RejaxLearning(Rejax):
    """rejax, all seeds in one vmapped training."""

    def __init__(self, config: RunConfig, seeds: int) -> None:
        super().__init__(config, seeds)
        self.training_seeds = range(seeds)

    def policies(self) -> list[Act]:
        """Return the mean of its Gaussian, in the environment's range, as its `act` clips it."""

        def of(place: int) -> Act:
            several = len(self.training_seeds) > 1
            state = jax.tree.map(lambda x: x[place], self._state) if several else self._state
            return functools.partial(self._compiled_act, state)

        return [of(place) for place in self.training_seeds]

    @functools.cached_property
    def _compiled_act(self) -> Callable[[Any, Any], Any]:
        algorithm = self._algorithm(1)

        def act(state: Any, obs: Any) -> Any:
            seen = algorithm.normalize_obs(state.obs_rms_state, obs)
            return algorithm.actor.apply(state.actor_ts.params, seen, method=self._mean)

        return jax.jit(act)

    @staticmethod
    def _mean(actor: Any, obs: Any) -> Any:
        return jnp.clip(actor.action_mean(actor.features(obs)), *actor.action_range)


class RejaxSac(RejaxLearning):
    """rejax's SAC: a gradient step of a minibatch's samples after each step of all environments."""

    def _algorithm(self, iterations: int) -> Any:
        from rejax import SAC

        return self._created(
            SAC,
            iterations,
            agent_kwargs={"activation": "tanh"},
            hidden_layer_sizes=self._layers,
            batch_size=self._config.train.minibatch_size,
        )

    @staticmethod
    def _mean(actor: Any, obs: Any) -> Any:
        mean = jnp.tanh(actor.action_mean(actor.features(obs)))
        return actor.action_loc + mean * actor.action_scale


def _baselines(library: str, config: RunConfig) -> Trainer:
    """Return sb3 on one of PyTorch's threads, or sbx; both only where they are installed."""
    from peer_stable_baselines import StableBaselines

    class Learning(StableBaselines):
        """One training of it."""

        training_seeds = range(config.schedule.seed, config.schedule.seed + 1)

        def policies(self) -> list[Act]:
            """Return what its `predict` does deterministically."""
            model = self._model
            normalize = model.get_vec_normalize_env().normalize_obs

            def act(obs: Any) -> Any:
                return model.predict(normalize(np.asarray(obs)), deterministic=True)[0]

            return [act]

    if library == "sbx":
        import sbx
        from flax import linen

        return Learning(config, sbx.PPO, linen.tanh)
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    return Learning(config, PPO, torch.nn.Tanh)
