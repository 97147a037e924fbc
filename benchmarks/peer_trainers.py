"""Our trainer and other libraries' behind one interface: train so many iterations, then count.

An iteration is one rollout and its updates. Each library is imported where it is used and driven
as its users drive it; what differs from its defaults is said in its class. "Counts" are the
library's own, read after each measurement, so that nothing is believed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import timed
from subjects import Runs

from pathb_jax.adapters.training_world import LegacyStepAPI, TrainingWorld
from pathb_jax.config import TIERS, RunConfig, TrainConfig
from pathb_jax.envs.own_world import OwnWorld
from pathb_jax.learn.task import make_env
from pathb_jax.learn.training import CHUNK_CAPACITY

MOST_ITERATIONS = CHUNK_CAPACITY
"""Most iterations of one measurement."""


class Counts(NamedTuple):
    """What a trainer has done so far."""

    env_steps: int
    """Environment steps, all seeds together."""
    minibatches: int | None
    """Optimizer steps of one network of one seed; None where the library shows no count."""


class Trainer(Protocol):
    """A trainer that goes on where it stopped."""

    seeds: int
    """Independent trainings side by side."""

    def train(self, iterations: int) -> Any:
        """Do that many iterations; what is returned can be waited for."""

    def counts(self) -> Counts:
        """Say what was done since the beginning."""


def steps_per_second(trainer: Trainer, config: TrainConfig, seconds: float) -> Callable[[], float]:
    """Warm a trainer up and return a measurement of about `seconds`, at least one iteration.

    All calls of the measurement are equal to one that has been made, so that none compiles.

    Raises:
        RuntimeError: (by the measurement) the trainer's own counts are not those of the pinned
            shapes.
    """
    timed(lambda: trainer.train(1))
    iterations = int(seconds / timed(lambda: trainer.train(1)))
    iterations = min(max(1, iterations), MOST_ITERATIONS)
    if iterations > 1:
        timed(lambda: trainer.train(iterations))
    env_steps = iterations * config.batch_size * trainer.seeds
    minibatches = iterations * config.epochs * config.batch_size // config.minibatch_size

    def measure() -> float:
        before = trainer.counts()
        elapsed = timed(lambda: trainer.train(iterations))
        after = trainer.counts()
        done = after.env_steps - before.env_steps
        updates = None
        if after.minibatches is not None and before.minibatches is not None:
            updates = after.minibatches - before.minibatches
        if done != env_steps or updates not in (None, minibatches):
            raise RuntimeError(
                f"{type(trainer).__name__} did {done} environment steps and {updates} minibatch "
                f"updates where {env_steps} and {minibatches} were asked for"
            )
        return env_steps / elapsed

    return measure


class Ours:
    """pathb_jax: calls of the compiled training program, as many runs as `seeds`."""

    def __init__(self, config: RunConfig, seeds: int = 1) -> None:
        self.seeds = seeds
        self._runs = Runs(config.train, seeds)
        self._batch_size = config.train.batch_size

    def train(self, iterations: int) -> None:
        """Do that many updates of every run."""
        self._runs.train(iterations)

    def counts(self) -> Counts:
        """Read the update indices and the first run's Adam count."""
        states = [training.state for training in self._runs.trainings]
        updates = sum(int(state.update) for state in states)
        return Counts(updates * self._batch_size, int(optax.tree.get(states[0].opt_state, "count")))


class Rejax:
    """rejax: its jitted `train` goes on from a train state; `seeds` of them are vmapped.

    Its own evaluation after `eval_freq` steps is replaced by one that returns nothing, which is
    rejax's way to say so; the first evaluation is skipped. rejax clips gradients element by
    element, each network by itself, and always clips the value loss.
    """

    def __init__(self, config: RunConfig, seeds: int) -> None:
        self.seeds = seeds
        self._config = config
        self._programs: dict[int, Callable[[Any], Any]] = {}
        keys = jax.random.split(jax.random.key(config.schedule.seed), seeds)
        init = self._algorithm(1).init_state
        # Weak types would compile the second call anew.
        self._state = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, leaf.dtype),
            jax.jit(jax.vmap(init) if seeds > 1 else lambda keys: init(keys[0]))(keys),
        )

    def _world(self) -> Any:
        """Return what is trained on, as a gymnax environment."""
        env = make_env(self._config.train)
        return env.env if isinstance(env, OwnWorld) else TrainingWorld(self._config)

    def _algorithm(self, iterations: int) -> Any:
        from rejax import PPO

        config, hparams = self._config.train, self._config.hparams
        return self._created(
            PPO,
            iterations,
            agent_kwargs={"activation": "tanh", "hidden_layer_sizes": self._layers},
            num_steps=config.rollout_length,
            num_epochs=config.epochs,
            num_minibatches=config.batch_size // config.minibatch_size,
            gae_lambda=hparams.gae_lambda,
            clip_eps=hparams.clip_range,
            ent_coef=hparams.entropy_coef,
            vf_coef=hparams.value_coef,
            max_grad_norm=hparams.max_grad_norm,
        )

    @property
    def _layers(self) -> tuple[int, ...]:
        size = TIERS[self._config.train.tier]
        return (size.width,) * size.depth

    def _created(self, algorithm: Any, iterations: int, **own: Any) -> Any:
        """Return an algorithm of rejax with what is the same for all of them, and its own."""
        config, hparams = self._config.train, self._config.hparams
        env = LegacyStepAPI(self._world())
        return algorithm.create(
            env=env,
            env_params=env.default_params,
            num_envs=config.batch_envs,
            total_timesteps=iterations * config.batch_size,
            eval_freq=iterations * config.batch_size,
            skip_initial_evaluation=True,
            normalize_observations=True,
            learning_rate=hparams.lr,
            gamma=hparams.gamma,
            **own,
        ).replace(eval_callback=lambda *_: ())

    def train(self, iterations: int) -> Any:
        """Call the jitted `train` of that length."""
        if iterations not in self._programs:
            algorithm = self._algorithm(iterations)

            def train(state: Any) -> Any:
                return algorithm.train(train_state=state)[0]

            self._programs[iterations] = jax.jit(jax.vmap(train) if self.seeds > 1 else train)
        self._state = self._programs[iterations](self._state)
        return self._state

    def counts(self) -> Counts:
        """Read its step counter and its optimizer's."""
        steps, updates = jax.device_get((self._state.global_step, self._state.actor_ts.step))
        return Counts(int(np.sum(steps)), int(np.max(updates)))
