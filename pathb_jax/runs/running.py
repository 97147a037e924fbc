"""One run while it trains: chunks, evaluations, checkpoints, files.

Host work happens between compiled chunks. Training is a function of the configuration alone:
neither the length of the chunks, nor evaluations, nor a stop and a resume change a bit of it.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult, evaluate_policy
from pathb_jax.learn import training
from pathb_jax.learn.program import program, traced
from pathb_jax.learn.task import env_config, task_params
from pathb_jax.learn.training import METRICS, Chunk, TrainState
from pathb_jax.runs.evidence import digests
from pathb_jax.runs.loading import Loaded, load, load_parent
from pathb_jax.runs.outcome import (
    environment_changes,
    relative_to_run,
    training_differences,
    write_policy,
    write_set,
)
from pathb_jax.store import artifacts, checkpoints
from pathb_jax.store.artifacts import HISTORY_COLUMNS, RunFiles, evaluation_sets
from pathb_jax.store.run_tables import EVALUATIONS, HISTORY, evaluations_array
from pathb_jax.system import provenance, signals

CHUNK_SECONDS = 5.0
CHECKPOINT_SECONDS = 120.0


class Progress(NamedTuple):
    """What a run tells its observer after each chunk."""

    slug: str
    update: int
    """Updates done in this run, of `updates`."""
    updates: int
    env_steps_per_second: float
    seconds_left: float
    row: Mapping[str, float]
    """The last history row."""
    success_rate: float | None
    """Of the last evaluation, on the first set."""


class Observer:
    """What a run reports to; this one ignores everything."""

    def progress(self, progress: Progress) -> None:
        """Called after each chunk."""

    def notice(self, message: str) -> None:
        """Called with one line worth knowing, such as where a run resumes."""


def stop_if_requested(runs: "Sequence[Run]") -> None:
    """Save these runs and raise StopRequested, if a signal has asked to stop."""
    if signals.requested() is not None:
        for run in runs:
            run.save_incomplete()
    signals.stop_if_requested()


class Run:
    """One run while it trains."""

    def __init__(self, config: RunConfig, files: RunFiles, observer: Observer) -> None:
        self.config, self.files, self.observer = config, files, observer
        self.environment_changes: list[dict[str, Any]] = []
        self.first_update, self.first_env_steps = 0, 0
        self.parent_checkpoint: str | None = None
        self.started: str | None = provenance.utc_now()
        self.hparams = traced(config.hparams)
        self.history = np.zeros((0, len(HISTORY_COLUMNS)))
        self.evaluations: list[dict[str, Any]] = []
        self.last_results: list[SetResult] = []
        self.diverged: dict[str, Any] | None = None
        self.runs_together = 1
        self.seconds_per_update: float | None = None

    # Where the run stands.

    @property
    def done(self) -> int:
        """Updates of this run."""
        return len(self.history)

    @property
    def updates(self) -> int:
        """Updates this run is to do."""
        return self.config.schedule.updates

    @property
    def update(self) -> int:
        """Update index, counted through continued runs."""
        return self.first_update + self.done

    @property
    def env_steps(self) -> int:
        """Environment steps, counted through continued runs."""
        return self.first_env_steps + self.done * self.config.train.batch_size

    @property
    def train_seconds(self) -> float:
        """Seconds spent in training chunks, over all sessions."""
        return float(self.history[-1, HISTORY_COLUMNS.index("wall_seconds")]) if self.done else 0.0

    @property
    def success_rate(self) -> float | None:
        """Of the last evaluation, on the first set."""
        first = self.config.evaluation.eval_seed_start[0]
        rates = [row["success_rate"] for row in self.evaluations if row["seed_start"] == first]
        return rates[-1] if rates else None

    def evaluates_after(self, done: int) -> bool:
        """Whether the policy is evaluated after this many updates.

        Half the run is always among them: the failure modes compare it with the end.
        """
        at_cadence = done % self.config.eval_every == 0
        return at_cadence or done in (self.updates // 2, self.updates)

    # Beginning.

    def begin(self, manifest: Mapping[str, Any] | None, parent: Loaded | None) -> None:
        """Set up the first state (resumed, continued or fresh), then files that agree with it.

        Args:
            manifest: of the run to resume, or None.
            parent: the checkpoint to load, if it is loaded already. It is not needed once the
                run has a checkpoint of its own.
        """
        resumed = self._resume() if manifest is not None else None
        if resumed is not None:
            parent = None
        elif self.config.output.load_checkpoint is not None:
            parent = parent or self._load_parent(manifest)
            self._go_on_from(parent)
        if manifest is not None:
            self._take_over(manifest)
        if parent is not None:
            self.parent_checkpoint = str(parent.path)
        with signals.ending_at_once():  # compiling
            self.program = program(self.config)
        self.env_params = task_params(self.config, self.program.env)
        if resumed is not None:
            self.state = resumed.state
        elif parent is not None:
            self.state = self.program.continue_from(self.config, self.env_params, parent.state)
        else:
            self.state = self.program.init(self.config, self.env_params)
        self.store = checkpoints.CheckpointStore(self.files.checkpoints)
        self.saved_at = time.monotonic()
        self._write_manifest("running")
        artifacts.write_history(self.files.history, self.history)
        artifacts.write_evaluations(self.files.evaluations, self.evaluations)

    def _load_parent(self, manifest: Mapping[str, Any] | None) -> Loaded:
        """Load the state that the run began from if it is still there, else what is now.

        The run's bits depend on it, and its parent may have been trained on in the meantime.
        """
        recorded = None if manifest is None else manifest.get("parent_checkpoint")
        parent = load_parent(self.config, recorded)
        if recorded not in (None, str(parent.path)):
            self.observer.notice(
                f"{self.files.slug}: {recorded} is gone; beginning again from {parent.path}"
            )
        return parent

    def _take_over(self, manifest: Mapping[str, Any]) -> None:
        """Keep what the manifest of the run says of its past, and add what changed since."""
        self.parent_checkpoint = manifest.get("parent_checkpoint")
        self.started = manifest.get("started")  # None: an earlier program did not write it down
        self.environment_changes += manifest.get("environment_changes", [])
        if changes := environment_changes(self.config, self.files, manifest):
            entry = {"resumed_after_update": self.update, "changes": changes}
            self.environment_changes.append(entry)

    def _go_on_from(self, loaded: Loaded, own_updates: int = 0) -> None:
        """Count updates and steps from where a checkpoint's run began, or from its end."""
        self.first_update = loaded.meta["update"] - own_updates
        own_steps = own_updates * self.config.train.batch_size
        self.first_env_steps = loaded.meta["env_steps"] - own_steps

    def _resume(self) -> Loaded | None:
        """Take up the run's own newest undamaged checkpoint, if there is one."""
        good = checkpoints.latest_good(self.files.checkpoints)
        for aside in good.set_aside:
            self.observer.notice(
                f"checkpoint of update {aside.update} is damaged ({aside.reason}): "
                f"set aside as {aside.moved_to.name}, going on from an earlier one"
            )
        if good.path is None:
            return None
        loaded = load(good.path, self.config.train, "--out")
        differences = training_differences(loaded.meta["config"], self.config)
        if differences:
            raise InputError(
                "--out",
                str(self.files.out),
                f"its checkpoint of update {loaded.meta['update']} belongs to another run of this "
                f"name ({'; '.join(differences)}); choose another --out, or --fresh",
            )
        self.history, self.evaluations = loaded.history, loaded.evaluations
        self._go_on_from(loaded, own_updates=self.done)
        self.observer.notice(f"{self.files.slug}: resuming after update {self.update}")
        return loaded

    # Training.

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to train."""
        return self.done >= self.updates or self.diverged is not None

    def to_the_end(self) -> None:
        """Train chunk by chunk, evaluating and saving on the way."""
        with self.store:
            while not self.is_over:
                stop_if_requested([self])
                self._chunk(self.chunk_length())
                self.after_chunk()

    def save_incomplete(self) -> None:
        """Save, and say in the manifest that there is more to do."""
        if self.done:
            self._save(None)
        self._write_manifest("incomplete")

    def chunk_length(self) -> int:
        """About CHUNK_SECONDS of updates by the last measurement, to the next evaluation."""
        every = self.config.eval_every
        following = ((self.done // every + 1) * every, self.updates // 2, self.updates)
        until = min(done for done in following if done > self.done)
        measured = int(CHUNK_SECONDS / self.seconds_per_update) if self.seconds_per_update else 1
        return min(max(measured, 1), until - self.done, training.CHUNK_CAPACITY)

    @property
    def span(self) -> tuple[int, int]:
        """First update index and number of updates, for schedules."""
        return self.first_update, self.updates

    def _chunk(self, updates: int) -> None:
        started = time.perf_counter()
        state, chunk = self.program.train(
            self.state, self.hparams, self.env_params, updates, self.span
        )
        chunk = jax.device_get(chunk)
        self.take(state, chunk, time.perf_counter() - started)

    def take(self, state: TrainState, chunk: Chunk, seconds: float) -> None:
        """Take over what a chunk gave (on the host), and write its history."""
        self.state, ran = state, int(chunk.updates)
        self.seconds_per_update = seconds / ran
        metrics = np.asarray(chunk.metrics[:ran], np.float64)
        if not chunk.finite:
            bad = [name for name, x in zip(METRICS, metrics[-1], strict=True) if not np.isfinite(x)]
            quantity = bad[0] if bad else "parameters"
            self.diverged = {"update": self.update + ran, "quantity": quantity}
            metrics = metrics[:-1]
        self._append_history(metrics)

    def after_chunk(self) -> None:
        """Evaluate and save where that is due, and tell the observer."""
        if self.diverged is None:
            self._evaluate_and_save()
            self._tell()

    def _append_history(self, metrics: np.ndarray) -> None:
        assert self.seconds_per_update is not None
        batch_size = self.config.train.batch_size
        count = np.arange(1, len(metrics) + 1)
        rows = np.column_stack(
            [
                self.update + count,
                self.env_steps + count * batch_size,
                metrics,
                self.train_seconds + self.seconds_per_update * count,
                np.full(len(metrics), batch_size / self.seconds_per_update),
            ]
        )
        artifacts.append_history(self.files.history, rows)
        self.history = np.concatenate([self.history, rows])

    def _evaluate_and_save(self) -> None:
        due = self.evaluates_after(self.done)
        if due:
            self._evaluate()
        if self.diverged is None and (due or time.monotonic() - self.saved_at > CHECKPOINT_SECONDS):
            self._save(self.success_rate if due else None)

    def _save(self, success_rate: float | None) -> None:
        meta = {
            "config": self.config.to_dict(),
            "update": self.update,
            "env_steps": self.env_steps,
            "history_rows": self.done,
            "evaluation_rows": len(self.evaluations),
        }
        tables = {HISTORY: self.history, EVALUATIONS: evaluations_array(self.evaluations)}
        tree = {"state": self.state, **tables}
        self.store.save(self.update, tree, meta, success_rate)
        self.saved_at = time.monotonic()

    def _play(self) -> list[SetResult]:
        return evaluate_policy(
            self.config.train,
            self.program.env,
            self.env_params,
            self.state.params,
            self.state.normalizer,
            evaluation_sets(self.config.evaluation.eval_seed_start),
            self.config.evaluation.eval_seeds,
        )

    def _evaluate(self) -> None:
        self.last_results = self._play()
        if not all(np.isfinite(result.mean_terminal_alignment) for result in self.last_results):
            self.diverged = {"update": self.update, "quantity": "evaluation"}
            return
        self.evaluations += [
            {
                "update": self.update,
                "env_steps": self.env_steps,
                "seed_start": result.seed_start,
                "seeds": result.seeds,
                "success_rate": result.success_rate,
                "mean_terminal_alignment": result.mean_terminal_alignment,
                "mean_steps": result.mean_steps,
            }
            for result in self.last_results
        ]
        artifacts.write_evaluations(self.files.evaluations, self.evaluations)

    def _tell(self) -> None:
        row = dict(zip(HISTORY_COLUMNS, self.history[-1], strict=True))
        assert self.seconds_per_update is not None
        self.observer.progress(
            Progress(
                slug=self.files.slug,
                update=self.done,
                updates=self.updates,
                env_steps_per_second=row["env_steps_per_second"],
                seconds_left=(self.updates - self.done) * self.seconds_per_update,
                row=row,
                success_rate=self.success_rate,
            )
        )

    # Finishing.

    def finish(self) -> None:
        """Write evaluations, policy and, last, the manifest; a diverged run has only the latter."""
        if self.diverged is not None:
            self._write_manifest("diverged")
            return
        # A run stopped between its last checkpoint and here has its evaluation's rows already.
        results = self.last_results or self._play()
        checkpoint = relative_to_run(self.files, self.files.checkpoints / str(self.update))
        for index, result in enumerate(results):
            where = self.files.own_set(result.seed_start, first=index == 0)
            write_set(self.config, where, result, checkpoint, self.env_steps)
        write_policy(self.config, self.files, self.state, self.env_steps)
        self._write_manifest("completed")

    def _evidence(self) -> dict[str, str]:
        starts = evaluation_sets(self.config.evaluation.eval_seed_start)
        sets = [self.files.own_set(start, first=start == starts[0]) for start in starts]
        written = [self.files.history, self.files.evaluations]
        if self.diverged is None:
            written += [self.files.policy, *(path for files in sets for path in files)]
        return digests(self.files, written)

    def _write_manifest(self, status: str) -> None:
        artifacts.write_manifest(
            self.files,
            {
                "format": "pathb-run-v1",
                "status": status,
                "slug": self.files.slug,
                "started": self.started,
                "ended": provenance.utc_now() if status in ("completed", "diverged") else None,
                "host": socket.gethostname(),
                "config": self.config.to_dict(),
                "env_config": env_config(self.config),
                "parent_checkpoint": self.parent_checkpoint,
                "first_update": self.first_update,
                "update": self.update,
                "env_steps": self.env_steps,
                "train_seconds": self.train_seconds,
                "compile_seconds": self.program.compile_seconds,
                "diverged": self.diverged,
                "runs_together": self.runs_together,
                "environment_changes": self.environment_changes,
                "evidence": self._evidence() if status in ("completed", "diverged") else {},
                **provenance.environment(),
            },
        )
