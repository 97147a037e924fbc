"""Steps per second of the environment alone, and how their cost grows with their number.

    python benchmarks/env_steps.py
    python benchmarks/env_steps.py --envs 1024 4096 16384 65536 --rounds 5 --json env_steps.json

The default tier as training steps it: a compiled scan over vmapped steps that begin a new episode
where one ended, starts and goals bound to the training seeds. Actions are uniform in the square and
drawn within the call before the scan, as training draws its noise. Everything a step returns to a
learner (observation, reward, ends) is consumed, so that none of it is optimised away.

"against linear" is the cost of one step of one environment relative to the smallest number of
environments, with a 95 % interval over rounds: 1 if twice the environments take twice the time, and
the goal is at most 1.3 from 1 024 to 65 536. The other goal is 20 million steps per second with
4 096 environments on two cores.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from harness import (
    CommonFlags,
    Figure,
    in_turn,
    machine,
    median_and_range,
    paired_ratio,
    parsed,
    report,
    show,
    timed,
)
from rich.table import Table
from subjects import run_config

from pathb_jax.cli import command
from pathb_jax.config import TrainConfig
from pathb_jax.envs.world import bank_axes
from pathb_jax.errors import InputError
from pathb_jax.learn.rollout import reset_bank
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.system import backend

MOST_ENVS = 2**24


@dataclasses.dataclass(frozen=True)
class Flags(CommonFlags):
    """What to measure."""

    envs: tuple[int, ...] = (4096,)
    """Numbers of environments stepped side by side."""
    seconds: float = 1.0
    """Seconds each number is stepped for per round, roughly."""

    def check(self) -> None:
        """Raise InputError for values nothing can be measured with."""
        super().check()
        if not self.envs or not all(1 <= count <= MOST_ENVS for count in self.envs):
            raise InputError("--envs", self.envs, f"give numbers from 1 to {MOST_ENVS}")


class Environments:
    """A number of environments that go on and on."""

    def __init__(self, count: int, steps: int = 128) -> None:
        config = run_config(TrainConfig(batch_envs=count, minibatch_size=count))
        env = make_env(config.train)
        self.env_params = task_params(config, env)
        self.steps = count * steps
        obs, state = reset_bank(env, self.env_params, jax.random.key(0), count)
        totals = (jnp.zeros_like(obs), jnp.zeros(count, obs.dtype))
        self.carry = (state, totals, jnp.zeros((), jnp.int32))
        self.run = jax.jit(functools.partial(step_all, env, steps), donate_argnums=0)

    def step(self, calls: int) -> None:
        """Step all environments `calls` times the length of the scan."""
        for _ in range(calls):
            self.carry = self.run(self.carry, self.env_params)
        jax.block_until_ready(self.carry)


def step_all(env: Any, steps: int, carry: Any, env_params: Any) -> Any:
    """Step all environments `steps` times with random actions.

    Args:
        env: the environment (static).
        steps: how many (static).
        carry: environment states, sums of all that was observed `[N, D]` and of all that was paid
            or ended `[N]`, and the number of steps done so far.
        env_params: bound to starts and goals `[N, 2]`.
    """
    step_env = jax.vmap(env.step, in_axes=(0, 0, 0, bank_axes(env_params)))
    state, totals, done = carry
    count, dtype = len(totals[1]), totals[1].dtype
    action_key, env_key = jax.random.split(jax.random.fold_in(jax.random.key(0), done))
    drawn = jax.random.uniform(action_key, (steps, count, 2), dtype, -1.0, 1.0)
    keys = jax.random.split(env_key, count)  # of no use: nothing is drawn with them

    def body(carry: Any, actions: jax.Array) -> tuple[Any, None]:
        state, (observed, paid) = carry
        obs, state, reward, terminated, truncated, _ = step_env(keys, state, actions, env_params)
        ended = (terminated | truncated).astype(dtype)
        return (state, (observed + obs, paid + reward + ended)), None

    state, totals = jax.lax.scan(body, (state, totals), drawn)[0]
    return state, totals, done + steps


def measurement(count: int, seconds: float) -> Callable[[], float]:
    """Return a measurement of million steps per second."""
    subject = Environments(count)
    subject.step(1)  # compiles
    subject.step(1)
    calls = max(1, round(seconds / timed(lambda: subject.step(1))))
    return lambda: 1e-6 * calls * subject.steps / timed(lambda: subject.step(calls))


def main() -> int:
    flags = parsed(Flags, __doc__)
    backend.select_backend("auto", deterministic=False)  # JAX has started by now
    before = machine()
    counts = sorted(set(flags.envs))
    measurements = {f"{count} envs": measurement(count, flags.seconds) for count in counts}
    figures = in_turn(measurements, flags.rounds, "million steps/s")
    show(report("env_steps", flags, figures, before), table(figures))
    return 0


def table(figures: dict[str, Figure]) -> Table:
    """Return the table, one row per number of environments; the first row is the smallest."""
    shown = Table("environments", "million steps/s", "range", "against linear [95 %]")
    smallest = next(iter(figures.values()))
    for name, figure in figures.items():
        against = "1" if figure is smallest else str(paired_ratio(smallest.values, figure.values))
        shown.add_row(name.split()[0], *median_and_range(figure.values, 1), against)
    return shown


if __name__ == "__main__":
    sys.exit(command.run(main))
