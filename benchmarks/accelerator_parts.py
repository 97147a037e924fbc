"""What `accelerator.py` measures, one part per process.

A part returns plain figures. Importing this starts JAX: after `backend.select_backend`.
"""

import dataclasses
import functools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from accelerator import PARTS, Part, shapes
from cost_model import GPUS, RUN_STEPS, Device, predict
from env_steps import measurement
from harness import timed
from kernels import Kernel, kernels
from peer_trainers import Rejax, steps_per_second
from rates import bandwidths, matmul_rates
from subjects import Training, run_config
from work import update_work

from pathb_jax.config import TIERS, RunConfig, TrainConfig
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import together
from pathb_jax.learn.task import task_params
from pathb_jax.learn.training import CHUNK_CAPACITY
from pathb_jax.system import backend, provenance

LAUNCH_SECONDS = 3e-6
"""Assumed least time of a GPU kernel, as in cost_model.py."""

Figures = dict[str, Any]


def measure(part: Part, smoke: bool, rounds: int, seconds: float) -> Figures:
    """Measure one part in this process.

    Args:
        part: which.
        smoke: at reduced sizes.
        rounds: measurements of each quantity; all are returned.
        seconds: what one of them takes, roughly.
    """
    if smoke:
        part = dataclasses.replace(part, runs=min(part.runs, 2))
    if part.kind == "device":
        return device(seconds)
    if part.kind == "train":
        return train(part, smoke, rounds, seconds)
    if part.kind == "rejax":
        return rejax(part, smoke, rounds, seconds)
    if part.kind == "predict":
        return predictions(smoke)
    if part.kind == "environments":
        return environments(smoke, rounds, seconds)
    if part.kind == "evaluation":
        return evaluation(smoke, rounds)
    return reproducibility(smoke)


def device(seconds: float) -> Figures:
    """Report the device, its rate of products and that of its memory."""
    figures: Figures = {"report": provenance.device_report(), "processor": backend.processor()}
    for tier, size in TIERS.items():
        rows = TrainConfig().minibatch_size
        for name, rate in matmul_rates(rows, size.width, seconds / 4).items():
            if name.endswith("XLA"):
                figures[f"{tier} {name}, GFLOP/s"] = rate()
    length = update_work(TrainConfig(tier="Large")).parameters
    for name, rate in bandwidths(length, seconds / 4).items():
        if name.endswith("XLA"):
            figures[f"{name}, GB/s"] = rate()
    return figures


class Several:
    """Runs that go on and on as one vmapped program."""

    def __init__(self, config: RunConfig, runs: int) -> None:
        self._program = together(config, runs)
        self.compile_seconds = self._program.compile_seconds
        single = Training(config.train)
        self._hparams = [traced(config)] * runs
        self._env_params = [task_params(config, single.program.env)] * runs
        self._states = [
            single.program.init(_with_seed(config, seed), self._env_params[0])
            for seed in range(runs)
        ]

    def train(self, updates: int) -> None:
        """Run updates of every run and wait for them."""
        runs = len(self._states)
        self._states, chunks = self._program.train(
            self._states, self._hparams, self._env_params, [updates] * runs, [(0, 0)] * runs
        )
        jax.block_until_ready((self._states, chunks))


def train(part: Part, smoke: bool, rounds: int, seconds: float) -> Figures:
    """Measure training of so many runs on one device: environment steps per second, in total."""
    config = run_config(shapes(part, smoke))
    subject: Any = Training(config.train) if part.runs == 1 else Several(config, part.runs)
    compile_seconds = (subject.program if part.runs == 1 else subject).compile_seconds
    subject.train(1)
    updates = min(CHUNK_CAPACITY, max(1, int(seconds / timed(lambda: subject.train(1)))))
    steps = part.runs * updates * config.train.batch_size
    rates = [steps / timed(lambda: subject.train(updates)) for _ in range(rounds)]
    per_run = statistics.median(rates) / part.runs
    memory = backend.current_device().memory_stats() or {}
    return {
        "env_steps_per_second": rates,
        "compile_seconds": compile_seconds,
        "minutes_of_all_runs": RUN_STEPS / per_run / 60,
        "peak_bytes": memory.get("peak_bytes_in_use"),
    }


def rejax(part: Part, smoke: bool, rounds: int, seconds: float) -> Figures:
    """Measure rejax at the same shapes, so many seeds vmapped as it does."""
    config = run_config(shapes(part, smoke))
    measure_rate = steps_per_second(Rejax(config, part.runs), config.train, seconds)
    return {"env_steps_per_second": [measure_rate() for _ in range(rounds)]}


def predictions(smoke: bool) -> Figures:
    """Predict every training part on the devices of cost_model.py, from the CPU's kernels."""
    counted: dict[str, list[Kernel]] = {}
    figures: Figures = {}
    for part in PARTS:
        if part.kind != "train":
            continue
        config = shapes(part, smoke)
        if part.tier not in counted:
            single = Training(dataclasses.replace(config, matmul_precision="float32"))
            counted[part.tier] = kernels(single.program.compiled.as_text())
        vmapped = [
            kernel._replace(flops=kernel.flops * part.runs, bytes=kernel.bytes * part.runs)
            for kernel in counted[part.tier]
        ]
        for name, published in GPUS.items():
            rate = published.tera_flops[_PUBLISHED_NAMES[part.precision]]
            gpu = Device(LAUNCH_SECONDS, 1e12 * rate, 1e12 * published.tera_bytes)
            seconds = predict(vmapped, gpu).seconds
            figures.setdefault(part.name, {})[name] = part.runs * config.batch_size / seconds
    return {"env_steps_per_second": figures}


_PUBLISHED_NAMES = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}


def environments(smoke: bool, rounds: int, seconds: float) -> Figures:
    """Measure the environment alone, million steps per second by the number side by side."""
    counts = (256, 1024) if smoke else (2**12, 2**14, 2**16, 2**18, 2**20)
    figures: Figures = {}
    for count in counts:
        rate: Callable[[], float] = measurement(count, seconds)
        figures[str(count)] = [rate() for _ in range(rounds)]
    return {"million_steps_per_second": figures}


def evaluation(smoke: bool, rounds: int) -> Figures:
    """Measure one evaluation of one large set with a policy of each tier."""
    seeds = 256 if smoke else 65_536
    figures: Figures = {}
    for tier in TIERS:
        if smoke and tier != "Small":
            continue
        training = Training(TrainConfig(tier=tier))

        play = functools.partial(training.evaluate, (10000,), seeds)
        timed(play)  # compiles
        figures[tier] = [timed(play) for _ in range(rounds)]
    return {"seeds": seeds, "seconds": figures}


def reproducibility(smoke: bool) -> Figures:
    """Run `check_reproducibility` and return its table."""
    root = Path(__file__).resolve().parent.parent
    table = Path("reproducibility.json").absolute()  # the part's own folder
    arguments = ["--tier", "Small", "--json", str(table)]
    if smoke:
        arguments += ["--updates", "4", "--vmapped-updates", "1", "--vmapped-runs", "2"]
    command = [sys.executable, str(root / "scripts/check_reproducibility.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not table.exists():
        raise RuntimeError(done.stderr.strip()[-500:] or f"exit status {done.returncode}")
    return {"exit_status": done.returncode, "table": json.loads(table.read_text())}


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, seed=seed))
