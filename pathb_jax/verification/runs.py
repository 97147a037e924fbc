"""One run's files against its last checkpoint, its policy and each other."""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pathb_jax.errors import CheckpointError
from pathb_jax.runs.tables import (
    EARLIER_COLUMNS,
    HISTORY,
    Table,
    columns,
    length,
    saved_tables,
)
from pathb_jax.store import checkpoints
from pathb_jax.store.artifacts import RunFiles, measure_of
from pathb_jax.store.step_folders import complete_steps
from pathb_jax.verification.findings import MISSING, Findings
from pathb_jax.verification.raw_files import (
    POLICY_LIMIT,
    UnreadableError,
    json_of,
    numbers_of,
    rows_of,
)
from pathb_jax.verification.rules import Facts
from pathb_jax.verification.sets import MEANS, SetFacts, check_set

OWN_SETS = (20000, 30000)
"""Sets that every run evaluates beside those it was told to."""
DIFFERS = "it is not what the last checkpoint holds"
OF_EPISODES = ("episode_return", "episode_length", "episode_success")
"""Columns of the history that are empty where no episode ended."""
TRAINED = ("task", "train", "hparams", "schedule")
"""Groups of settings that a checkpoint and the manifest have to agree in."""


class RunEvidence(NamedTuple):
    """A finished run: its manifest, and what its raw files say."""

    manifest: Mapping[str, Any]
    facts: Facts
    seconds: float
    env_steps: int
    evaluations: list[dict[str, float]]
    """Rows of the in-run evaluations."""


def check_run(
    files: RunFiles, findings: Findings, replay: bool, wanted: tuple[list[int], int] | None = None
) -> RunEvidence | None:
    """Check one run's files.

    Args:
        files: the run's.
        findings: takes what is found.
        replay: whether to play its policy too.
        wanted: first seeds of the sets that facts are wanted of, and how many seeds each has; None:
            those that the run was told to evaluate.

    Returns:
        What the run says; None if it is not over, or too broken to say.
    """
    try:
        manifest = json_of(files.manifest)
        if manifest["status"] not in ("completed", "diverged"):
            return None
        return _Run(files, manifest, findings).check(replay, wanted)
    except UnreadableError as error:
        findings.problem(f"{files.out.name}/{error.where}", error.what)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        findings.problem(f"{files.out.name}/{files.manifest.name}", f"cannot be followed ({what})")
    return None


class _Run:
    """The checks of one run."""

    def __init__(self, files: RunFiles, manifest: Mapping[str, Any], findings: Findings) -> None:
        self.files, self.manifest, self.findings = files, manifest, findings
        self.config = manifest["config"]
        self.completed = manifest["status"] == "completed"
        self.env = self.config["train"].get("env")
        self.tier = self.config["train"]["sensor_tier"] if self.env is None else None
        self.measure = measure_of(self.env)
        self.sets: list[SetFacts] = []

    def at(self, path: Path, field: str = "") -> str:
        return f"{self.files.out.name}/{path.name}" + (f": {field}" if field else "")

    def check(self, replay: bool, wanted: tuple[list[int], int] | None) -> RunEvidence:
        manifest, findings = self.manifest, self.findings
        findings.same(self.at(self.files.manifest, "slug"), manifest["slug"], self.files.slug)
        history = self._history()
        evaluations = self._evaluations()
        arrays = self._checkpoint(history, evaluations)
        policy = self._policy(arrays) if self.completed else None
        if self.completed:
            self._check_sets(policy if replay else None, evaluations)
        self._digests()
        own = self.config["evaluation"]
        starts, seeds = wanted or (own["eval_seed_start"], own["eval_seeds"])
        return RunEvidence(
            manifest,
            self._facts(history, evaluations, starts, seeds),
            self._seconds(history),
            len(history["update"]) * self._batch_size(),
            evaluations,
        )

    def _batch_size(self) -> int:
        return int(self.config["train"]["batch_envs"] * self.config["train"]["rollout_length"])

    def _seconds(self, history: Mapping[str, list[float]]) -> float:
        return history["wall_seconds"][-1] if history["wall_seconds"] else 0.0

    def _history(self) -> dict[str, list[float]]:
        """Read the history; compare it with the manifest."""
        path, manifest, findings = self.files.history, self.manifest, self.findings
        table = rows_of(path)
        history = self._figures(table)
        rows, batch = len(table), self._batch_size()
        planned, diverged = self.config["schedule"]["updates"], manifest["diverged"]
        if self.completed:
            findings.same(self.at(path, "rows"), rows, planned)
        else:
            last = diverged["update"] - manifest["first_update"]
            # a run that diverged in its evaluation had a whole update before
            findings.hold(self.at(path, "rows"), rows in (last - 1, last), f"{rows} of {last} rows")
        first, steps = manifest["first_update"], manifest["env_steps"]
        where = self.at(self.files.manifest)
        findings.same(f"{where}: update", manifest["update"], first + rows)
        expected = {
            "update": [first + k for k in range(1, rows + 1)],
            "env_steps": [steps - (rows - k) * batch for k in range(1, rows + 1)],
        }
        for name, column in expected.items():
            findings.hold(self.at(path, name), history[name] == column, "it does not count on")
        if first == 0:
            findings.same(f"{where}: env_steps", steps, rows * batch)
        findings.same(f"{where}: train_seconds", manifest["train_seconds"], self._seconds(history))
        return history

    def _figures(self, table: list[dict[str, str]]) -> dict[str, list[float]]:
        """Read the history's columns; those of a run by an earlier program may be fewer."""
        path, always = self.files.history, EARLIER_COLUMNS[HISTORY]
        given = [
            name for name in columns(HISTORY) if name in always or (table and name in table[0])
        ]
        history = {name: numbers_of(path, table, name, name in OF_EPISODES) for name in given}
        for name in filter(history.__contains__, OF_EPISODES):
            pairs = zip(history[name], history["episode_done_rate"], strict=True)
            wrong = [row for row, (x, rate) in enumerate(pairs) if math.isnan(x) != (rate == 0)]
            if wrong:
                where = self.at(path, f"line {wrong[0] + 2}, {name}")
                self.findings.problem(where, "it has to be told exactly where episodes ended")
        return history

    def _evaluations(self) -> list[dict[str, float]]:
        """Read the in-run evaluations."""
        path = self.files.evaluations
        table = rows_of(path)
        read = {name: numbers_of(path, table, name) for name in self.measure.evaluations}
        return [{name: column[i] for name, column in read.items()} for i in range(len(table))]

    def _checkpoint(
        self, history: Mapping[str, list[float]], evaluations: list[dict[str, float]]
    ) -> Mapping[str, np.ndarray] | None:
        """Compare history, evaluations and settings with the last checkpoint; return its arrays."""
        folder, findings = self.files.checkpoints, self.findings
        steps = complete_steps(folder) if folder.is_dir() else []
        if not steps:
            # one that diverged early never saved
            findings.hold(
                self.at(folder), not self.completed, "there is no checkpoint to compare with"
            )
            return None
        where = self.at(folder / str(steps[-1]))
        try:
            step = folder / str(steps[-1])
            arrays = checkpoints.named_arrays(step, checkpoints.read_leaves(step))
            meta = checkpoints.read_meta(step)
            saved_history, saved_evaluations = saved_tables(meta, arrays)
        except (CheckpointError, LookupError, TypeError, ValueError) as error:
            findings.problem(where, str(error))
            return None
        if self.completed:
            findings.same(f"{where}: update", meta["update"], self.manifest["update"])
        for group in TRAINED:
            where_group = self.at(self.files.manifest, f"config.{group}")
            findings.same(where_group, self.config[group], meta["config"][group])
        self._compare_history(history, saved_history)
        same = all(
            [row[name] for row in evaluations] == column.tolist()
            for name, column in saved_evaluations.items()
        )
        findings.hold(self.at(self.files.evaluations), same, DIFFERS)
        return arrays

    def _compare_history(self, history: Mapping[str, list[float]], saved: Table) -> None:
        path, findings = self.files.history, self.findings
        rows, saved_rows = len(history["update"]), length(saved)
        enough = saved_rows == rows if self.completed else saved_rows <= rows
        findings.hold(
            self.at(path, "rows"), enough, f"{rows} rows, the checkpoint has {saved_rows}"
        )
        if not (count := min(saved_rows, rows)):
            return
        for name, column in saved.items():
            recorded, true = np.array(history[name][:count], np.float64), column[:count]
            differs = (recorded != true) & ~(np.isnan(recorded) & np.isnan(true))
            row = int(np.argmax(differs))  # the first that differs, or 0
            what = f"{recorded[row]!r} is told, the last checkpoint has {true[row]!r}"
            where = self.at(path, f"line {row + 2}, {name}")
            findings.figure(where, not differs.any(), what)

    def _check_sets(
        self, policy: Mapping[str, Any] | None, evaluations: list[dict[str, float]]
    ) -> None:
        """Check the sets that the run evaluated, and those evaluated when it was taken up."""
        manifest, evaluation = self.manifest, self.config["evaluation"]
        about = {
            "checkpoint": f"checkpoints/{self.files.slug}/{manifest['update']}",
            "sensor_tier": self.tier,
            "env_config": manifest["env_config"],
            "env_steps": manifest["env_steps"],
        }
        starts = evaluation["eval_seed_start"]
        for start in [*starts, *(start for start in OWN_SETS if start not in starts)]:
            path = self.files.evaluation_csv(start, start == starts[0])
            self.sets.append(
                check_set(path, start, evaluation["eval_seeds"], about, policy, self.findings)
            )
            self._last_evaluation(self.sets[-1], evaluations)
        stem = f"{self.files.slug}_evaluation_seed_"
        for path in sorted(self.files.history.parent.glob(f"{stem}*_seeds_*.csv")):
            if further := re.fullmatch(r"(\d+)_seeds_(\d+)", path.stem.removeprefix(stem)):
                start, seeds = int(further[1]), int(further[2])
                self.sets.append(check_set(path, start, seeds, about, policy, self.findings))

    def _last_evaluation(self, facts: SetFacts, evaluations: list[dict[str, float]]) -> None:
        """Compare the in-run evaluation at the end with the rows that were written after it."""
        end = {name: self.manifest[name] for name in ("update", "env_steps")}
        last = [
            row
            for row in evaluations
            if (row["update"], row["seed_start"]) == (end["update"], facts.start)
        ]
        where = self.at(self.files.evaluations, f"the last of set {facts.start}")
        self.findings.same(where, last, [{**end, **facts.figures}], MEANS)

    def _digests(self) -> None:
        """Compare the files with the SHA-256 that the manifest has of them, if it has."""
        for name, recorded in self.manifest.get("evidence", {}).items():
            path = self.files.out / name
            where = f"{self.files.out.name}/{Path(name).name}"
            if not path.is_file():
                self.findings.problem(where, "it is missing")
                continue
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            self.findings.same(f"{where}: sha256", sha256, recorded)

    def _policy(self, arrays: Mapping[str, np.ndarray] | None) -> Mapping[str, Any]:
        """Compare the policy file with the last checkpoint; return its content."""
        path, findings, config = self.files.policy, self.findings, self.config
        policy: Mapping[str, Any] = json_of(path, POLICY_LIMIT)
        metadata = policy["metadata"]
        expected = {
            "update": self.manifest["update"],
            "env_steps": self.manifest["env_steps"],
            "seed": config["schedule"]["seed"],
            "run_label": config["output"]["run_label"],
            "sensor_tier": self.tier,
            "mixed_lambda": config["hparams"]["mixed_lambda"],
        }
        for name, value in expected.items():
            findings.same(self.at(path, f"metadata.{name}"), metadata.get(name, MISSING), value)
        expected = {
            "tier": config["train"]["tier"],
            "variant": config["task"]["variant"],
            "format": "mesa-policy-json-v1",
            "activation": "tanh",
            "action_scale": 1.0,
            "parameter_count": sum(
                np.size(p) for layer in policy["layers"] for p in layer.values()
            ),
            "depth": len(policy["layers"]) - 1,
        }
        for name, value in expected.items():
            findings.same(self.at(path, name), policy.get(name, MISSING), value)
        if arrays is not None:
            self._compare_weights(policy, arrays)
        return policy

    def _compare_weights(self, policy: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        normalization, std = policy["normalization"], arrays["state.normalizer.var"]
        pairs = {
            "metadata.log_std": (policy["metadata"]["log_std"], arrays["state.params.log_std"]),
            "obs_mean": (normalization["obs_mean"], arrays["state.normalizer.mean"]),
            "obs_std": (normalization["obs_std"], np.sqrt(np.maximum(std, np.float32(1e-8)))),
        }
        for index, layer in enumerate(policy["layers"]):
            stem = f"state.params.actor.Dense_{index}"
            pairs[f"layers[{index}].weight"] = layer["weight"], arrays[f"{stem}.kernel"].T
            pairs[f"layers[{index}].bias"] = layer["bias"], arrays[f"{stem}.bias"]
        for name, (recorded, true) in pairs.items():
            numbers = np.array(recorded, np.float64)
            tolerance = 1e-6 if name == "obs_std" else 0.0  # a root; the others are copies
            same = numbers.shape == true.shape and np.allclose(numbers, true, tolerance, 0.0)
            self.findings.figure(self.at(self.files.policy, name), same, DIFFERS)

    def _facts(
        self,
        history: Mapping[str, list[float]],
        evaluations: list[dict[str, float]],
        starts: list[int],
        seeds: int,
    ) -> Facts:
        diverged = self.manifest["diverged"]
        text = None
        if not self.completed:
            text = f"{diverged['quantity']} not finite at update {diverged['update']}"
        updates = self.config["schedule"]["updates"]
        half = self.manifest["first_update"] + updates // 2
        starts = [*starts, *OWN_SETS]
        sets = {s.start: s for s in self.sets if s.seeds == seeds and s.start in starts}
        return Facts(
            counts={start: (s.successes, s.seeds) for start, s in sets.items()},
            alignments=self._by_set(sets, "mean_terminal_alignment"),
            returns=self._by_set(sets, "mean_return"),
            mean_steps={start: s.steps for start, s in sets.items()},
            history=history,
            updates=updates,
            half_alignments={
                int(row["seed_start"]): row["mean_terminal_alignment"]
                for row in reversed(evaluations)
                if (row["update"], row["seeds"]) == (half, seeds) and self.env is None
            },
            diverged=text,
        )

    def _by_set(self, sets: Mapping[int, SetFacts], mean: str) -> dict[int, float]:
        """Return a mean by set, if it is what is measured of this run's episodes."""
        told = sets.items() if mean == self.measure.mean else ()
        return {start: facts.mean for start, facts in told}


def own_runs(folder: Path) -> list[RunFiles]:
    """Return the runs of a run's folder, by their manifests."""
    return [RunFiles(folder, path.stem) for path in sorted(folder.glob("manifests/*.json"))]
