"""What libraries learn from equally many environment steps, by one evaluation: PPO, rejax's SAC.

    python -m pip install -c constraints.txt -e '.[bench]'
    python benchmarks/learning.py --task shadow-field --steps 2000000 --json learning.json
    python benchmarks/learning.py --task Pendulum-v1 --steps 500000 --figure pendulum.png

Every library trains with the same shapes (64 environments x 128 steps an iteration, 4 epochs of 32
minibatches of 256), networks (2 x 64, tanh), learning rate, discount, clipping range and entropy
bonus; Pendulum-v1 and PointRobot-misc with those that suit them, which are printed. On the shadow
field all train from the same 64 starts. At ten points of the training the policy as it is then
plays the same seeds from 10000 on, acting with its mean, on one and the same evaluator: success and
alignment, or return. Seconds are those of training alone, without compiling and evaluating.

What differs is each library's own: rejax clips gradients element by element and clips the value
loss too, and starts its deviations at 1; sb3 and sbx bootstrap time-outs and run from the host.
rejax-sac has as many gradient steps of as many samples, and what is not said here is its own.
benchmarks/peers.py measures speed apart.
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import harness
import numpy as np
from rich.table import Table

from pathb_jax.cli import command
from pathb_jax.config import DefaultHint, VariantName
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.settings import config_of
from pathb_jax.system import backend

if TYPE_CHECKING:
    from learning_trainers import Act

    from pathb_jax.config import RunConfig

# What starts JAX is imported where it is used: the devices of a CPU are chosen before.

Task = Literal["shadow-field", "Pendulum-v1", "PointRobot-misc"]
Library = Literal["ours", "ours-bootstrap", "rejax", "rejax-sac", "sbx", "sb3"]
"""`ours-bootstrap`: with --truncation bootstrap, which sbx and sb3 do always."""

KNOBS: dict[Task, dict[str, Any]] = {
    "shadow-field": {"variant": "mixed_ppo_phase3_lambda_0_9"},
    "Pendulum-v1": {
        "env": "Pendulum-v1",
        "success_return": -300.0,
        "lr": 1e-3,
        "gamma": 0.9,
        "entropy_coef": 0.0,
        "train_starts": "fresh",
    },
    "PointRobot-misc": {
        "env": "PointRobot-misc",
        "success_return": 10.0,
        "lr": 1e-3,
        "train_starts": "fresh",
    },
}
"""Settings that are not the trainer's defaults."""

POINTS = 10
FIRST_SEED = 10000


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to compare."""

    task: Task = "shadow-field"
    """What is learned."""
    steps: int = 2_000_000
    """Environment steps of a training."""
    seeds: int = 4
    """Training seeds of each library: 0, 1, ..."""
    libraries: tuple[Library, ...] = ("ours", "rejax")
    """Which; sbx and sb3 train on the shadow field alone."""
    eval_seeds: int = 64
    """Episodes of an evaluation."""
    variant: Annotated[VariantName | None, DefaultHint("mixed_ppo_phase3_lambda_0_9")] = None
    """On the shadow field: what is rewarded."""
    json: Annotated[Path | None, DefaultHint("none")] = None
    """Write all figures here too."""
    figure: Annotated[Path | None, DefaultHint("none")] = None
    """Draw the curves into this file."""


class Point(NamedTuple):
    """How a policy does on the way."""

    env_steps: int
    success_rate: float
    measure: float
    """Mean alignment on the shadow field, else mean return."""


class Learned(NamedTuple):
    """One training."""

    seed: int
    points: list[Point]
    train_seconds: float


class Examiner:
    """Plays a policy's mean from fixed seeds, whoever's it is.

    Args:
        config: of the task.
        seeds: N.
    """

    def __init__(self, config: "RunConfig", seeds: int) -> None:
        import jax

        from pathb_jax.evaluation.evaluator import episode_keys
        from pathb_jax.learn.task import make_env, task_params

        env: Any = make_env(config.train)
        numbers = FIRST_SEED + np.arange(seeds)
        bank = env.at_seeds(task_params(config, env), numbers)
        axes, keys = env.bank_axes(bank), episode_keys(jax.numpy.asarray(numbers, "uint32"))
        box = getattr(env, "action_box", None)

        def begin(key: Any, params: Any) -> Any:
            return env.start_state(key, params)

        def move(key: Any, state: Any, action: Any, ended: Any, params: Any) -> Any:
            key = jax.random.fold_in(key, state.time)
            moved, outcome = env.transition(key, state, action, params)
            kept = jax.tree.map(lambda old, new: jax.numpy.where(ended, old, new), state, moved)
            return kept, ended | outcome.terminated | outcome.truncated

        def see(key: Any, state: Any, params: Any) -> Any:
            return env.sense(key, state, params).observation

        self._begin = jax.jit(lambda: jax.vmap(begin, in_axes=(0, axes))(keys, bank))
        self._see = jax.jit(lambda state: jax.vmap(see, in_axes=(0, 0, axes))(keys, state, bank))
        self._move = jax.jit(
            lambda state, action, ended: jax.vmap(move, in_axes=(0, 0, 0, 0, axes))(
                keys, state, action, ended, bank
            )
        )
        metrics = jax.vmap(env.episode_metrics, in_axes=(0, axes))
        self._metrics = jax.jit(lambda state: metrics(state, bank))
        self._box, self._seeds = box, seeds

    def point(self, env_steps: int, act: "Act") -> Point:
        """Play all episodes to their ends."""
        state, ended = self._begin(), np.zeros(self._seeds, bool)
        while not ended.all():
            action = np.asarray(act(self._see(state)))
            if self._box is not None:  # the environment's units to [-1, 1]
                low, high = self._box
                action = 2 * (action - low) / (high - low) - 1
            state, ended = self._move(state, action, ended)
            ended = np.asarray(ended)
        metrics = self._metrics(state)
        measure = getattr(metrics, "terminal_alignment", None)
        measure = metrics.episode_return if measure is None else measure
        return Point(env_steps, float(np.mean(metrics.success)), float(np.mean(measure)))


def trained(library: Library, config: "RunConfig", flags: Flags) -> list[Learned]:
    """Train a library's PPO with every seed, evaluating on the way."""
    from learning_trainers import make

    examiner = Examiner(config, flags.eval_seeds)
    iterations = max(1, flags.steps // config.train.batch_size // POINTS)
    learned = []
    for trainer in make(library, config, flags.seeds):
        points: list[list[Point]] = [[] for _ in trainer.training_seeds]
        seconds: list[float] = []
        for number in range(1, POINTS + 1):
            seconds.append(harness.timed(functools.partial(trainer.train, iterations)))
            steps = number * iterations * config.train.batch_size
            for place, act in enumerate(trainer.policies()):
                points[place].append(examiner.point(steps, act))
        # The first call compiles; the others are alike.
        each = float(np.median(seconds[1:])) * POINTS / len(trainer.training_seeds)
        learned += [
            Learned(s, p, each) for s, p in zip(trainer.training_seeds, points, strict=True)
        ]
        last = ", ".join(f"{p[-1].measure:.4g}" for p in points)
        print(f"{library}: seeds {list(trainer.training_seeds)} end at {last}", file=sys.stderr)
    return learned


def draw(results: dict[Library, list[Learned]], name: str, path: Path) -> None:
    """Draw every seed's curve, one colour a library."""
    from matplotlib.figure import Figure

    from pathb_jax.report.style import COLOURS

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for colour, (library, runs) in zip(COLOURS, results.items(), strict=False):
        curves = np.array([[point.measure for point in run.points] for run in runs])
        steps = [point.env_steps / 1e6 for point in runs[0].points]
        axes.plot(steps, curves.T, color=colour, alpha=0.35, linewidth=1)
        axes.plot(steps, np.median(curves, axis=0), color=colour, linewidth=2.5, label=library)
    axes.set(xlabel="million environment steps", ylabel=name)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def settings(flags: Flags) -> dict[str, Any]:
    """Return the settings of a task that are not defaults."""
    knobs = dict(KNOBS[flags.task])
    if flags.variant is not None:
        knobs["variant"] = flags.variant
    return knobs


def check(flags: Flags) -> None:
    """Raise InputError for what nothing can be learned with."""
    for name in ("steps", "seeds", "eval_seeds"):
        if (value := getattr(flags, name)) < 1:
            raise InputError(f"--{name.replace('_', '-')}", value, "give a whole number >= 1")
    for library in flags.libraries:
        if library in ("sbx", "sb3") and flags.task != "shadow-field":
            raise InputError("--libraries", library, "it trains on the shadow field alone here")
    if flags.variant is not None and flags.task != "shadow-field":
        raise InputError("--variant", flags.variant, "it goes with --task shadow-field")


def main() -> int:
    flags = command.parse(Flags, None, __doc__ or "")
    check(flags)
    backend.select_backend("auto")
    config = validated(config_of(settings(flags)))
    name = "mean alignment" if config.train.env is None else "mean return"
    before = harness.machine()
    results = {library: trained(library, config, flags) for library in flags.libraries}
    table = Table("library", "seed", "success", name, "best on the way", "seconds of training")
    for library, runs in results.items():
        for run in runs:
            last, best = run.points[-1], max(point.measure for point in run.points)
            cells = f"{last.success_rate:.3f}", f"{last.measure:.4g}", f"{best:.4g}"
            table.add_row(library, str(run.seed), *cells, f"{run.train_seconds:.1f}")
        table.add_section()
    content = harness.report(
        "learning",
        harness.CommonFlags(rounds=1, json=flags.json),
        {},
        before,
        settings=settings(flags),
        learned={library: _plain(runs) for library, runs in results.items()},
    )
    harness.show(content, table)
    if flags.figure is not None:
        draw(results, name, flags.figure)
    return 0


def _plain(runs: Sequence[Learned]) -> list[dict[str, Any]]:
    return [run._asdict() | {"points": [point._asdict() for point in run.points]} for run in runs]


if __name__ == "__main__":
    sys.exit(command.run(main))
