"""One run's files against each other and against the world they claim to be of."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.store import checkpoints
from pathb_jax.store.artifacts import EVALUATIONS_COLUMNS, HISTORY_COLUMNS, RunFiles
from pathb_jax.store.integrity import CheckpointError
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.verification import float64_world
from pathb_jax.verification.findings import MISSING, Findings
from pathb_jax.verification.raw_files import (
    POLICY_LIMIT,
    UnreadableError,
    json_of,
    numbers_of,
    rows_of,
)
from pathb_jax.verification.replay import replay as replay_set
from pathb_jax.verification.rules import Facts

OWN_SETS = (20000, 30000)
"""Sets that every run evaluates beside those it was told to."""
FLOAT32 = 2e-5
"""What a figure of one row may differ from the others of its row: they are float32."""
MEANS = 1e-9
"""What a mean may differ for the order it was added in."""
TRAINED = ("task", "train", "hparams", "schedule")
"""Groups of settings that a checkpoint and the manifest have to agree in."""


class RunEvidence(NamedTuple):
    """A finished run: its manifest, and what its raw files say."""

    manifest: Mapping[str, Any]
    facts: Facts
    seconds: float
    env_steps: int


def check_run(files: RunFiles, found: Findings, replay: bool) -> RunEvidence | None:
    """Check one run's files.

    Args:
        files: the run's.
        found: takes what is found.
        replay: whether to play its policy too.

    Returns:
        What the run says; None if it is not over, or too broken to say.
    """
    try:
        manifest = json_of(files.manifest)
        if manifest["status"] not in ("completed", "diverged"):
            return None
        return _Run(files, manifest, found).check(replay)
    except UnreadableError as error:
        found.problem(f"{files.out.name}/{error.where}", error.what)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        found.problem(f"{files.out.name}/{files.manifest.name}", f"cannot be followed ({what})")
    return None


class _Run:
    """The checks of one run."""

    def __init__(self, files: RunFiles, manifest: Mapping[str, Any], found: Findings) -> None:
        self.files, self.manifest, self.found = files, manifest, found
        self.config = manifest["config"]
        self.completed = manifest["status"] == "completed"
        self.counts: dict[int, tuple[int, int]] = {}
        self.means: dict[int, tuple[float, float]] = {}

    def at(self, path: Path, field: str = "") -> str:
        return f"{self.files.out.name}/{path.name}" + (f": {field}" if field else "")

    def check(self, replay: bool) -> RunEvidence:
        manifest, found = self.manifest, self.found
        found.same(self.at(self.files.manifest, "slug"), manifest["slug"], self.files.slug)
        history = self._history()
        evaluations = self._evaluations()
        arrays = self._checkpoint(history, evaluations)
        policy = self._policy(arrays) if self.completed else None
        for index, start in enumerate(self._sets() if self.completed else []):
            self._set(start, index == 0, policy if replay else None)
        self._last_evaluation(evaluations)
        return RunEvidence(
            manifest,
            self._facts(history, evaluations),
            self._seconds(history),
            len(history["update"]) * self._batch_size(),
        )

    def _batch_size(self) -> int:
        return int(self.config["train"]["batch_envs"] * self.config["train"]["rollout_length"])

    def _seconds(self, history: Mapping[str, list[float]]) -> float:
        return history["wall_seconds"][-1] if history["wall_seconds"] else 0.0

    def _history(self) -> dict[str, list[float]]:
        """Read the history; compare it with the manifest."""
        path, manifest, found = self.files.history, self.manifest, self.found
        table = rows_of(path)
        history = {name: numbers_of(path, table, name) for name in HISTORY_COLUMNS}
        rows, batch = len(table), self._batch_size()
        planned, diverged = self.config["schedule"]["updates"], manifest["diverged"]
        if self.completed:
            found.same(self.at(path, "rows"), rows, planned)
        else:
            last = diverged["update"] - manifest["first_update"]
            # a run that diverged in its evaluation had a whole update before
            found.hold(self.at(path, "rows"), rows in (last - 1, last), f"{rows} of {last} rows")
        first, steps = manifest["first_update"], manifest["env_steps"]
        where = self.at(self.files.manifest)
        found.same(f"{where}: update", manifest["update"], first + rows)
        expected = {
            "update": [first + k for k in range(1, rows + 1)],
            "env_steps": [steps - (rows - k) * batch for k in range(1, rows + 1)],
        }
        for name, column in expected.items():
            found.hold(self.at(path, name), history[name] == column, "it does not count on")
        if first == 0:
            found.same(f"{where}: env_steps", steps, rows * batch)
        found.same(f"{where}: train_seconds", manifest["train_seconds"], self._seconds(history))
        return history

    def _evaluations(self) -> list[dict[str, float]]:
        """Read the in-run evaluations."""
        path = self.files.evaluations
        table = rows_of(path)
        columns = {name: numbers_of(path, table, name) for name in EVALUATIONS_COLUMNS}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(table))]

    def _checkpoint(
        self, history: Mapping[str, list[float]], evaluations: list[dict[str, float]]
    ) -> Mapping[str, np.ndarray] | None:
        """Compare history, evaluations and settings with the last checkpoint; return its arrays."""
        folder, found = self.files.checkpoints, self.found
        steps = complete_steps(folder) if folder.is_dir() else []
        if not steps:
            # one that diverged early never saved
            found.hold(
                self.at(folder), not self.completed, "there is no checkpoint to compare with"
            )
            return None
        where = self.at(folder / str(steps[-1]))
        try:
            arrays = checkpoints.named_arrays(folder / str(steps[-1]))
            meta = checkpoints.read_meta(folder / str(steps[-1]))
        except CheckpointError as error:
            found.problem(where, str(error))
            return None
        if self.completed:
            found.same(f"{where}: update", meta["update"], self.manifest["update"])
        for group in TRAINED:
            told, saved = self.config[group], meta["config"][group]
            found.same(self.at(self.files.manifest, f"config.{group}"), told, saved)
        saved_rows = arrays["history"] if "history" in arrays else np.zeros((0, 0))
        self._compare_history(history, saved_rows)
        found.hold(
            self.at(self.files.evaluations),
            evaluations == meta["evaluations"],
            "it is not what the last checkpoint holds",
        )
        return arrays

    def _compare_history(self, history: Mapping[str, list[float]], saved: np.ndarray) -> None:
        path, found = self.files.history, self.found
        rows = len(history["update"])
        enough = len(saved) == rows if self.completed else len(saved) <= rows
        found.hold(self.at(path, "rows"), enough, f"{rows} rows, the checkpoint has {len(saved)}")
        count = min(len(saved), rows)
        for index, name in enumerate(HISTORY_COLUMNS):
            if count == 0:
                return
            told, true = np.array(history[name][:count], np.float64), saved[:count, index]
            found.figures += 1
            if np.array_equal(told, true):
                found.reproduced += 1
                continue
            row = int(np.flatnonzero(told != true)[0])
            what = f"{told[row]!r} is told, the last checkpoint has {true[row]!r}"
            found.problem(self.at(path, f"line {row + 2}, {name}"), what)

    def _sets(self) -> list[int]:
        own = self.config["evaluation"]["eval_seed_start"]
        return [*own, *(start for start in OWN_SETS if start not in own)]

    def _set(self, start: int, first: bool, policy: Mapping[str, Any] | None) -> None:
        """Check one set's rows, its summary by them, and them by the policy."""
        path, found = self.files.evaluation_csv(start, first), self.found
        table = rows_of(path)
        rows: dict[str, list[Any]] = {
            name: numbers_of(path, table, name) for name in table[0] if name != "terminalOutcome"
        }
        outcomes = [row["terminalOutcome"] for row in table]
        for line, outcome in enumerate(outcomes, start=2):
            known = outcome in ("success", "timeout")
            found.hold(self.at(path, f"line {line}, terminalOutcome"), known, f"{outcome!r}")
        rows["terminalOutcome"] = [outcome == "success" for outcome in outcomes]
        seeds = self.config["evaluation"]["eval_seeds"]
        found.same(self.at(path, "seed"), rows["seed"], [start + k for k in range(seeds)])
        self._check_rows(path, rows)
        self.counts[start] = sum(rows["terminalOutcome"]), len(table)
        self.means[start] = _mean(rows["terminalAlignment"]), _mean(rows["steps"])
        self._summary(start, first)
        if policy is not None:
            self._replay(path, rows, policy)

    def _check_rows(self, path: Path, rows: Mapping[str, list[Any]]) -> None:
        """Hold the figures of each row against each other, by the geometry of the task."""
        for index, seed in enumerate(rows["seed"]):
            row = {name: column[index] for name, column in rows.items()}
            for name, wrong in _contradictions(int(seed), row).items():
                where = self.at(path, f"line {index + 2}, {name}")
                self.found.problem(where, f"{row[name]!r} is told, {wrong}")

    def _summary(self, start: int, first: bool) -> None:
        path, manifest = self.files.evaluation_summary(start, first), self.manifest
        told = json_of(path)
        count, seeds = self.counts[start]
        alignment, steps = self.means[start]
        checkpoint = f"checkpoints/{self.files.slug}/{manifest['update']}"
        expected = {
            "checkpoint": checkpoint,
            "sensor_tier": self.config["train"]["sensor_tier"],
            "seed_start": start,
            "seeds": seeds,
            "success_count": count,
            "success_rate": count / seeds,
            "mean_terminal_alignment": alignment,
            "mean_steps": steps,
            "env_config": manifest["env_config"],
            "env_steps": manifest["env_steps"],
        }
        for name, value in expected.items():
            self.found.same(self.at(path, name), told.get(name, MISSING), value, MEANS)

    def _last_evaluation(self, evaluations: list[dict[str, float]]) -> None:
        """Compare the in-run evaluation at the end with the rows that were written after it."""
        path, found = self.files.evaluations, self.found
        for start, (count, seeds) in self.counts.items():
            last = [
                row
                for row in evaluations
                if (row["update"], row["seed_start"]) == (self.manifest["update"], start)
            ]
            alignment, steps = self.means[start]
            expected = {
                "update": self.manifest["update"],
                "env_steps": self.manifest["env_steps"],
                "seed_start": start,
                "seeds": seeds,
                "success_rate": count / seeds,
                "mean_terminal_alignment": alignment,
                "mean_steps": steps,
            }
            where = self.at(path, f"the last of set {start}")
            found.same(where, last, [expected], MEANS)

    def _policy(self, arrays: Mapping[str, np.ndarray] | None) -> Mapping[str, Any]:
        """Compare the policy file with the last checkpoint; return its content."""
        path, found, config = self.files.policy, self.found, self.config
        policy: Mapping[str, Any] = json_of(path, POLICY_LIMIT)
        metadata = policy["metadata"]
        expected = {
            "update": self.manifest["update"],
            "env_steps": self.manifest["env_steps"],
            "seed": config["schedule"]["seed"],
            "run_label": config["output"]["run_label"],
            "sensor_tier": config["train"]["sensor_tier"],
            "mixed_lambda": config["hparams"]["mixed_lambda"],
        }
        for name, value in expected.items():
            where = self.at(path, f"metadata.{name}")
            found.same(where, metadata.get(name, MISSING), value)
        names = {"tier": config["train"]["tier"], "variant": config["task"]["variant"]}
        parameters = sum(np.size(part) for layer in policy["layers"] for part in layer.values())
        names |= {"format": "mesa-policy-json-v1", "activation": "tanh", "action_scale": 1.0}
        names |= {"parameter_count": parameters, "depth": len(policy["layers"]) - 1}
        for name, value in names.items():
            found.same(self.at(path, name), policy.get(name, MISSING), value)
        if arrays is not None:
            self._compare_weights(policy, arrays)
        return policy

    def _compare_weights(self, policy: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        told: dict[str, Any] = {}
        true: dict[str, np.ndarray] = {}
        for index, layer in enumerate(policy["layers"]):
            stem = f"state.params.actor.Dense_{index}"
            told |= {f"layers[{index}].{name}": layer[name] for name in ("weight", "bias")}
            true |= {
                f"layers[{index}].weight": arrays[f"{stem}.kernel"].T,
                f"layers[{index}].bias": arrays[f"{stem}.bias"],
            }
        told["metadata.log_std"] = policy["metadata"]["log_std"]
        true["metadata.log_std"] = arrays["state.params.log_std"]
        told["obs_mean"] = policy["normalization"]["obs_mean"]
        true["obs_mean"] = arrays["state.normalizer.mean"]
        told["obs_std"] = policy["normalization"]["obs_std"]
        true["obs_std"] = np.sqrt(np.maximum(arrays["state.normalizer.var"], np.float32(1e-8)))
        for name, value in told.items():
            numbers = np.array(value, np.float64)
            same = numbers.shape == true[name].shape
            tolerance = 1e-6 if name == "obs_std" else 0.0  # a root; the others are copies
            same = same and np.allclose(numbers, true[name], rtol=tolerance, atol=0.0)
            self.found.figures += 1
            self.found.reproduced += same
            what = "it is not what the last checkpoint holds"
            self.found.hold(self.at(self.files.policy, name), same, what)

    def _replay(self, path: Path, rows: Mapping[str, list[Any]], policy: Mapping[str, Any]) -> None:
        found, tier = self.found, self.config["train"]["sensor_tier"]
        found.sets += 1
        if tier not in float64_world.TIERS:
            found.noisy += 1
            return
        played = replay_set(rows, float64_world.policy_of(policy), tier)
        found.borderline += played.borderline
        found.replayed += not played.problems
        if played.problems:
            more = len(played.problems) - 1
            found.problem(
                self.at(path), played.problems[0] + (f" (and {more} more)" if more else "")
            )

    def _facts(
        self, history: Mapping[str, list[float]], evaluations: list[dict[str, float]]
    ) -> Facts:
        diverged = self.manifest["diverged"]
        text = None
        if not self.completed:
            text = f"{diverged['quantity']} not finite at update {diverged['update']}"
        updates = self.config["schedule"]["updates"]
        half = {
            int(row["seed_start"]): row["mean_terminal_alignment"]
            for row in reversed(evaluations)
            if row["update"] == self.manifest["first_update"] + updates // 2
        }
        return Facts(
            counts=self.counts,
            alignments={start: means[0] for start, means in self.means.items()},
            mean_steps={start: means[1] for start, means in self.means.items()},
            history=history,
            updates=updates,
            half_alignments=half,
            diverged=text,
        )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _contradictions(seed: int, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a row that its others contradict, each with why."""
    steps, success = row["steps"], row["terminalOutcome"]
    wrong: dict[str, str] = {}
    if not 1 <= steps <= float64_world.HORIZON:
        wrong["steps"] = "an episode has 1 to 200"
    elif not success and steps != float64_world.HORIZON:
        wrong["terminalOutcome"] = "the episode ended before its time was up"
    for name in ("saturationCount", "clippedCount"):
        if not 0 <= row.get(name, 0) <= steps:
            wrong[name] = f"there were {steps} steps"
    near = row.get("regimeRetention", 1.0) * steps
    if success and near < float64_world.SUCCESS_DWELL - 0.01:
        wrong["regimeRetention"] = "a success stays near the goal for 10 steps"
    distance = row["terminalDistance"]
    if success and distance >= float64_world.SUCCESS_RADIUS:
        wrong["terminalOutcome"] = f"the goal is {distance} away"
    expected = {"terminalAlignment": math.exp(-(distance**2) / (2 * 1.5**2))}
    if {"terminalX", "terminalY", "pathLength", "terminalBasinDistance"} <= row.keys():
        start, goal = float64_world.start_and_goal(seed)
        end = row["terminalX"], row["terminalY"]
        length = row["pathLength"]
        expected["terminalDistance"] = math.dist(end, goal)
        expected["terminalBasinDistance"] = math.dist(end, float64_world.BASIN)
        expected["pathEfficiency"] = math.dist(end, start) / length if length else 0.0
    for name, value in expected.items():
        if abs(row[name] - value) > FLOAT32 * max(1.0, abs(value)):
            wrong[name] = f"the row's other figures make it {value}"
    return wrong


def own_runs(folder: Path) -> list[RunFiles]:
    """Return the runs of a run's folder, by their manifests."""
    return [RunFiles(folder, path.stem) for path in sorted(folder.glob("manifests/*.json"))]
