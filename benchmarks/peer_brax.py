"""brax behind the interface of `peer_trainers`."""

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
from peer_trainers import Counts

from pathb_jax.adapters.training_world import TrainingWorld
from pathb_jax.config import TIERS, RunConfig


class Pausing:
    """Runs `work(pause)` in a thread of its own, which goes on only while `advance` waits.

    `work` calls `pause(value)` whenever it has done a part; `advance` returns that value.
    """

    def __init__(self, work: Callable[[Callable[[Any], None]], Any]) -> None:
        self._go: queue.Queue[bool] = queue.Queue()
        self._parts: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
        self._closed = False

        def body() -> None:
            with contextlib.suppress(_Closed):
                self._wait()
                try:
                    work(self._pause)
                    raise RuntimeError("the work ended before it was closed")
                except Exception as error:
                    self._parts.put((None, error))

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        if not self._go.get():
            raise _Closed

    def _pause(self, value: Any) -> None:
        self._parts.put((value, None))
        self._wait()

    def advance(self) -> Any:
        """Let the work do one more part; return what it paused with or raise its error."""
        if self._closed or not self._thread.is_alive():
            raise RuntimeError("the work has ended")
        self._go.put(True)
        value, error = self._parts.get()
        if error is not None:
            self._thread.join()
            raise error
        return value

    def close(self) -> None:
        """End the work at its pause."""
        if not self._closed:
            self._closed = True
            self._go.put(False)
            self._thread.join()


class _Closed(BaseException):
    """Unwinds paused work; no Exception, so that the work does not catch it."""


class Brax:
    """brax: its PPO `train`, one of its training epochs a call, held in its progress callback.

    An epoch is one compiled call of as many iterations as asked for; `run_evals` is off. brax
    has minibatches of whole unrolls and computes the advantages of each minibatch anew. With
    `unroll` 128 these reach as far as ours do: minibatches of 2 unrolls; a shorter unroll means
    the same steps and minibatch updates with advantages cut off sooner. It shows no count of its
    optimizer's steps; they are `num_updates_per_batch * num_minibatches` an iteration.

    brax 0.14.2 calls `jax.device_put_replicated`, which jax 0.10 no longer has: a stand-in is lent.
    """

    seeds = 1
    _EPOCHS = 100_000  # more than anybody measures

    def __init__(self, config: RunConfig, unroll: int) -> None:
        self._config, self._unroll = config, unroll
        self._iterations, self._env_steps, self._before = 0, 0, 0
        self._training: Pausing | None = None

    def train(self, iterations: int) -> Any:
        """Let brax train one epoch; one of another length starts a training of its own."""
        if iterations != self._iterations:
            if self._training is not None:
                self._training.close()
            self._iterations, self._before = iterations, self._env_steps
            self._training = Pausing(lambda pause: self._train(iterations, pause))
        assert self._training is not None
        self._env_steps = self._before + self._training.advance()

    def counts(self) -> Counts:
        """Return the steps that brax reports to its callback."""
        return Counts(self._env_steps, None)

    def _train(self, iterations: int, pause: Callable[[int], None]) -> None:
        from brax.training.agents.ppo import networks, train

        config, hparams = self._config.train, self._config.hparams
        size = TIERS[config.tier]
        layers = (size.width,) * size.depth
        env = brax_env(TrainingWorld(self._config))
        with _replication_lent():
            train.train(
                environment=env,
                num_timesteps=self._EPOCHS * iterations * config.batch_size,
                num_evals=self._EPOCHS + 1,
                run_evals=False,
                progress_fn=lambda steps, _: pause(steps),
                max_devices_per_host=1,
                episode_length=TrainingWorld(self._config).horizon,
                num_envs=config.batch_envs,
                unroll_length=self._unroll,
                batch_size=config.minibatch_size // self._unroll,
                num_minibatches=config.batch_size // config.minibatch_size,
                num_updates_per_batch=config.epochs,
                normalize_observations=True,
                network_factory=functools.partial(
                    networks.make_ppo_networks,
                    policy_hidden_layer_sizes=layers,
                    value_hidden_layer_sizes=layers,
                    activation=nn.tanh,
                    distribution_type="normal",
                    noise_std_type="log",
                ),
                learning_rate=hparams.lr,
                discounting=hparams.gamma,
                gae_lambda=hparams.gae_lambda,
                clipping_epsilon=hparams.clip_range,
                entropy_cost=hparams.entropy_coef,
                vf_loss_coefficient=hparams.value_coef,
                max_grad_norm=hparams.max_grad_norm,
                seed=self._config.schedule.seed,
            )


@contextlib.contextmanager
def _replication_lent() -> Iterator[None]:
    """Lend jax what brax expects of it: copies of a tree with a leading axis for the devices."""

    def replicate(tree: Any, devices: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), tree)

    if hasattr(jax, "device_put_replicated"):
        yield
        return
    with mock.patch.object(jax, "device_put_replicated", replicate, create=True):
        yield


def brax_env(world: TrainingWorld) -> Any:
    """Return the world as a brax environment; time limit and resets are brax's wrappers'."""
    from brax.envs.base import Env, State

    class ShadowField(Env):
        observation_size = world.env.obs_dim
        action_size = world.env.num_actions
        backend = "none"

        def reset(self, rng: jax.Array) -> State:
            obs, state = world.reset(rng)
            zero = jnp.zeros((), obs.dtype)
            return State(pipeline_state=state, obs=obs, reward=zero, done=zero)

        def step(self, state: State, action: jax.Array) -> State:
            inner = state.pipeline_state
            obs, inner, reward, terminated, _ = world.step_env(
                jax.random.key(0), inner, jnp.clip(action, -1.0, 1.0), world.bank
            )
            done = terminated.astype(obs.dtype)
            return state.replace(pipeline_state=inner, obs=obs, reward=reward, done=done)

    return ShadowField()
