"""What the reproducibility check trains in this process, held against the reference runs.

`backend.select_backend` has to have made enough host devices of a CPU, and the reference runs have
to be there.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.evaluation.evaluator import SetResult, evaluate_policy
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.runs import side_by_side, trainer
from pathb_jax.runs.loading import load
from pathb_jax.runs.observer import Observer, Progress
from pathb_jax.store.checkpoints import resolve_checkpoint
from pathb_jax.studies.digest import digest
from pathb_jax.studies.reproducibility import BIT_EQUAL, Finding, Setting, bit_equality, within
from pathb_jax.studies.vmapped import ONE_UPDATE_TOLERANCE, deviations
from pathb_jax.system import signals

STOPS = 2
SEED_SETS = (10000, 20000)


def check(setting: Setting, tell: Callable[[str], None]) -> Iterator[Finding]:
    """Yield every row of the table; `tell` gets a line before each piece of work."""
    tell("same command twice")
    yield same_command_twice(setting)
    tell("stopped and resumed")
    yield stopped_and_resumed(setting)
    tell("evaluation cadence changed")
    yield cadence_changed(setting)
    for count in setting.devices:
        tell(f"beside others on {count} of {len(side_by_side.devices('auto'))} devices")
        yield beside_others(setting, count)
    tell(f"{setting.vmapped_runs} runs vmapped, and alone")
    yield from vmapped(setting)
    tell("seed sets in one pass and apart")
    yield seed_sets(setting)


def same_command_twice(setting: Setting) -> Finding:
    """Compare the two reference runs of seed 0."""
    return bit_equality(
        "same command twice",
        "two processes, each on one device, the first without cached programs",
        {"seed 0": (digest(setting.folder / "command"), _alone(setting, 0))},
    )


def stopped_and_resumed(setting: Setting) -> Finding:
    """Stop a run by real signals, resume it from its files, and compare it."""
    config = setting.run("stopped")
    stops, resumable = 0, True
    while resumable:
        observer = _Stopping() if stops < STOPS else Observer()
        try:
            with signals.stopping_at_safe_points():
                trainer.train(config, observer)
            resumable = False
        except signals.StopRequested:
            stops += 1
    name = "stopped and resumed"
    compared = f"stopped by SIGTERM {stops} times and resumed, against never stopped"
    if stops == 0:
        return _not_tried(name, compared, "it ended before it could be stopped")
    return bit_equality(name, compared, {"seed 0": (_alone(setting, 0), _of(config))})


class _Stopping(Observer):
    """Asks to stop after the first chunk."""

    def progress(self, progress: Progress) -> None:
        del progress
        os.kill(os.getpid(), signal.SIGTERM)


def cadence_changed(setting: Setting) -> Finding:
    """Evaluate more often, and compare all that is trained."""
    runs = {}
    for every in (1, 3):
        config = setting.run(f"cadence-{every}", eval_every=every)
        trainer.train(config)
        runs[f"every {every}"] = _alone(setting, 0), _of(config)
    return bit_equality(
        "evaluation cadence changed",
        f"evaluated every 1 and every 3 updates, against every {setting.updates}",
        runs,
        ignoring=("in-run evaluations",),
    )


def beside_others(setting: Setting, count: int) -> Finding:
    """Train runs side by side, each on a device of its own, and compare all of them."""
    name = f"beside others on {count} device{'s' * (count > 1)}"
    compared = f"{count} side by side here, against each alone in another process on one device"
    if count == 1:
        compared = "alone here, against alone in another process on one device"
    devices = side_by_side.devices("auto")
    if count > len(devices):
        kind = f"{devices[0].platform} device{'s' * (len(devices) > 1)}"
        return _not_tried(name, compared, f"only {len(devices)} {kind} here")
    configs = [setting.run(f"beside-{count}/{seed}", seed) for seed in range(count)]
    threads = _Threads()
    for _ in side_by_side.train_all(configs, threads, count):
        pass
    finding = bit_equality(
        name,
        compared,
        {f"seed {seed}": (_alone(setting, seed), _of(c)) for seed, c in enumerate(configs)},
    )
    if finding.verdict == "kept" and len(threads.names) < count:
        return _not_tried(name, compared, f"only {len(threads.names)} devices got a run")
    return finding


class _Threads(Observer):
    """Notes which threads train; each drives a device."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def progress(self, progress: Progress) -> None:
        del progress
        self.names.add(threading.current_thread().name)


def vmapped(setting: Setting) -> Iterator[Finding]:
    """Compare runs alone with the same runs vmapped, after each number of updates."""
    count = setting.vmapped_runs
    configs = [setting.run(f"vmapped/{seed}", seed) for seed in range(count)]
    for deviation in deviations(configs, setting.vmapped_updates, setting.eval_seeds):
        updates = deviation.updates
        alone, together = (
            " ".join(str(number) for number in numbers)
            for numbers in (deviation.successes_alone, deviation.successes_vmapped)
        )
        yield within(
            f"one of {count} vmapped, {updates} update{'s' * (updates > 1)}",
            f"parameters of each of {count} runs, against the run alone",
            deviation.largest,
            ONE_UPDATE_TOLERANCE if updates == 1 else None,
            f"successes of {deviation.seeds}: alone {alone}, vmapped {together}",
        )


def seed_sets(setting: Setting) -> Finding:
    """Evaluate seed sets in one pass, in either order, and one at a time."""
    config = setting.run("alone/0")
    state = load(resolve_checkpoint(setting.folder / "alone/0"), config.train, "--out").state
    env = make_env(config.train)

    def play(*starts: int) -> dict[int, SetResult]:
        results = evaluate_policy(
            config.train,
            env,
            task_params(config, env),
            state.params,
            state.normalizer,
            starts,
            setting.eval_seeds,
        )
        return {result.seed_start: result for result in results}

    apart = {start: play(start)[start] for start in SEED_SETS}
    passes = [play(*SEED_SETS), play(*reversed(SEED_SETS))]
    differing = [
        str(start)
        for start in SEED_SETS
        if not all(same_bits(apart[start].episodes, played[start].episodes) for played in passes)
    ]
    successes = " and ".join(str(apart[start].success_count) for start in SEED_SETS)
    equal = f"all episodes equal; successes {successes} of {setting.eval_seeds}"
    return Finding(
        "both seed sets in one pass",
        f"sets {SEED_SETS[0]} and {SEED_SETS[1]} in one pass, against one at a time",
        "equal",
        f"differ: set {', '.join(differing)}" if differing else equal,
        "broken" if differing else "kept",
    )


def same_bits(first: Any, second: Any) -> bool:
    """Say whether two trees of the same structure hold the same bits."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    arrays = ((np.asarray(a), np.asarray(b)) for a, b in pairs)
    return all(
        (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()) for a, b in arrays
    )


def _alone(setting: Setting, seed: int) -> dict[str, str]:
    return digest(setting.folder / "alone" / str(seed))


def _of(config: RunConfig) -> dict[str, str]:
    assert isinstance(config.output.out, Path)
    return digest(config.output.out)


def _not_tried(name: str, compared: str, reason: str) -> Finding:
    return Finding(name, compared, BIT_EQUAL, "", "not tried", reason)
