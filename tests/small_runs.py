"""Runs that take a second: few environments, short rollouts, few updates."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pathb_jax import config as c
from pathb_jax.config_checks import validated
from pathb_jax.learn.training import MAY_BE_MISSING
from pathb_jax.runs.loading import load
from pathb_jax.runs.observer import Observer, Progress
from pathb_jax.runs.outcome import RunOutcome
from pathb_jax.store.artifacts import WALL_CLOCK_COLUMNS
from pathb_jax.store.checkpoints import resolve_checkpoint
from pathb_jax.store.run_files import RunFiles

SHAPES = {"batch_envs": 4, "rollout_length": 16, "minibatch_size": 16, "epochs": 2}
BATCH_SIZE = 64
UPDATES = 6
SEEDS = 4
VARIANT = "mixed_ppo_phase3_lambda_0_9"

FLAGS: dict[str, Any] = {
    "variant": VARIANT,
    "updates": UPDATES,
    "eval_seeds": SEEDS,
    "eval_every": 3,
    "success_floor": 0.0,
    **SHAPES,
}
"""Every small run is this, but for what a test changes. Checkpoints after updates 3 and 6."""

_GROUPS = {
    "task": c.TaskConfig,
    "train": c.TrainConfig,
    "hparams": c.Hparams,
    "schedule": c.ScheduleConfig,
    "evaluation": c.EvaluationConfig,
    "output": c.OutputConfig,
}


def build(**flags: Any) -> c.RunConfig:
    """Return the configuration that these flags make, not yet validated."""
    made = {}
    for name, group in _GROUPS.items():
        fields = getattr(group, "_fields", None) or [f.name for f in dataclasses.fields(group)]
        made[name] = group(**{field: flags.pop(field) for field in fields if field in flags})
    assert not flags, f"no such flags: {flags}"
    return c.RunConfig(**made)


def small_config(out: Path, **flags: Any) -> c.RunConfig:
    """Return the validated configuration of a small run."""
    return validated(build(**{**FLAGS, "out": out, **flags}))


def command_line(**flags: Any) -> list[str]:
    """Return the words that set these flags; True is a switch, None leaves the flag out."""
    words: list[str] = []
    for name, value in flags.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, tuple) else (value,))]
    return words


class Watcher(Observer):
    """Remembers what it was told; calls `then` after each chunk."""

    def __init__(self, then: Callable[[Progress], None] = lambda progress: None) -> None:
        self.then = then
        self.chunks: list[Progress] = []
        self.notices: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.chunks.append(progress)
        self.then(progress)

    def notice(self, message: str) -> None:
        self.notices.append(message)


class FinishedRun(NamedTuple):
    """A run, its files and what its observer was told."""

    config: c.RunConfig
    outcome: RunOutcome
    watcher: Watcher

    @property
    def files(self) -> RunFiles:
        return self.outcome.files


def stored_state(config: c.RunConfig) -> Any:
    """Return the train state of a run's last checkpoint."""
    assert config.output.out is not None
    return load(resolve_checkpoint(config.output.out), config.train, "--out").state


def assert_same_bits(first: Any, second: Any) -> None:
    """Fail unless two trees hold the same bits under the same names."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(jax.device_get(first))
    others, other_structure = jax.tree.flatten(jax.device_get(second))
    assert structure == other_structure  # type: ignore[operator]  # a gap in JAX's types
    for (path, a), b in zip(leaves, map(np.asarray, others), strict=True):
        name, a = jax.tree_util.keystr(path), np.asarray(a)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name
        assert a.tobytes() == b.tobytes(), f"{name} differs"


def rows(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows as text."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def figures(row: dict[str, str]) -> list[float]:
    """Return a history row's figures; those of episodes may be missing."""
    return [float(cell) for name, cell in row.items() if cell or name not in MAY_BE_MISSING]


def lasting_history(path: Path) -> list[dict[str, str]]:
    """Return a history without its wall-clock columns."""
    return [
        {name: cell for name, cell in row.items() if name not in WALL_CLOCK_COLUMNS}
        for row in rows(path)
    ]


def read(path: Path) -> Any:
    """Return a JSON file's content, as another reader would read it."""
    return json.loads(path.read_text(encoding="utf-8"))


def tree_of(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder with its content, and every folder with nothing."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def bad_input_line(
    main: Callable[[list[str]], int], words: list[str], capsys: Any, folder: Path
) -> str:
    """Return the one line of error that bad input gives, with exit code 2 and nothing written."""
    before = tree_of(folder)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert tree_of(folder) == before
    return line
