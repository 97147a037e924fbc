"""One run while it trains: chunks, evaluations, checkpoints, files.

Host work happens between compiled chunks. Training is a function of the configuration alone:
neither the length of the chunks, nor evaluations, nor a stop and a resume change a bit of it.
"""

import dataclasses
import socket
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pathb_jax.config import RunConfig
from pathb_jax.evaluation.evaluator import SetResult, evaluate_policy
from pathb_jax.learn import training
from pathb_jax.learn.hparams import TracedHparams
from pathb_jax.learn.program import Program
from pathb_jax.learn.task import env_config
from pathb_jax.learn.training import Chunk, TrainState
from pathb_jax.runs.manifest import (
    CheckpointMeta,
    Divergence,
    EnvironmentChange,
    Lineage,
    RunManifest,
    Status,
    recorded,
    write_manifest,
)
from pathb_jax.runs.observer import Observer, Progress
from pathb_jax.runs.output import digests, write_policy, write_set
from pathb_jax.runs.tables import (
    EVALUATIONS,
    HISTORY,
    Table,
    as_array,
    extended,
    length,
    row,
    table,
)
from pathb_jax.store import artifacts
from pathb_jax.store.checkpoint_store import CheckpointStore
from pathb_jax.store.models import to_json
from pathb_jax.store.run_files import RunFiles, evaluation_sets
from pathb_jax.system import provenance, signals

CHUNK_SECONDS = 5.0
CHECKPOINT_SECONDS = 120.0


def stop_if_requested(runs: "Sequence[Run]") -> None:
    """Save these runs and raise StopRequested, if a signal has asked to stop."""
    if signals.requested() is not None:
        for run in runs:
            run.save_incomplete()
    signals.stop_if_requested()


@dataclasses.dataclass
class Run:
    """One run while it trains; `beginning.begin` makes one."""

    config: RunConfig
    files: RunFiles
    observer: Observer
    program: Program
    hparams: TracedHparams
    env_params: Any
    store: CheckpointStore
    state: TrainState
    first_update: int
    """Update index that the run began after, counted through continued runs."""
    first_env_steps: int
    parent_checkpoint: str | None
    lineage: Lineage | None
    started: str | None
    environment_changes: list[EnvironmentChange]
    history: Table
    """A row per update of this run."""
    evaluations: Table
    """A row per in-run evaluation and seed set."""
    last_results: list[SetResult] = dataclasses.field(default_factory=list)
    diverged: Divergence | None = None
    runs_together: int = 1
    seconds_per_update: float | None = None
    saved_at: float = dataclasses.field(default_factory=time.monotonic)
    told: tuple[int, int] = (0, 0)
    """Rows of history and evaluations that the observer has."""

    # Where the run stands.

    @property
    def done(self) -> int:
        """Updates of this run."""
        return length(self.history)

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
        return float(self.history["wall_seconds"][-1]) if self.done else 0.0

    @property
    def success_rate(self) -> float | None:
        """Of the last evaluation, on the first set."""
        on_first = self.evaluations["seed_start"] == self.config.evaluation.eval_seed_start[0]
        rates = self.evaluations["success_rate"][on_first]
        return float(rates[-1]) if len(rates) else None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to train."""
        return self.done >= self.updates or self.diverged is not None

    @property
    def span(self) -> tuple[int, int]:
        """First update index and number of updates, for schedules; a fork's are its parent's."""
        if self.lineage is not None:
            return self.lineage.first_update, self.lineage.updates
        return self.first_update, self.updates

    # Training.

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
        self.write_manifest("incomplete")

    def chunk_length(self) -> int:
        """About CHUNK_SECONDS of updates by the last measurement, to the next stop at most.

        Stops are evaluations and states to keep.
        """
        every, kept = self.config.eval_every, self.config.output.keep_every
        following = [(self.done // every + 1) * every, *self._always_evaluated]
        if kept is not None:
            following.append((self.update // kept + 1) * kept - self.first_update)
        until = min(done for done in following if done > self.done)
        measured = int(CHUNK_SECONDS / self.seconds_per_update) if self.seconds_per_update else 1
        return min(max(measured, 1), until - self.done, training.CHUNK_CAPACITY)

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
        metrics = {name: np.asarray(x[:ran], np.float64) for name, x in chunk.metrics.items()}
        if not chunk.finite:
            told = [name for name in self.history if name not in training.MAY_BE_MISSING]
            bad = [name for name in told if not np.isfinite(metrics.get(name, [0])[-1])]
            quantity = bad[0] if bad else "parameters"
            self.diverged = Divergence(update=self.update + ran, quantity=quantity)
            metrics = {name: x[:-1] for name, x in metrics.items()}
            ran -= 1
        batch_size, count = self.config.train.batch_size, np.arange(1, ran + 1)
        rows = {
            **metrics,
            "update": self.update + count,
            "env_steps": self.env_steps + count * batch_size,
            "wall_seconds": self.train_seconds + self.seconds_per_update * count,
            "env_steps_per_second": np.full(ran, batch_size / self.seconds_per_update),
        }
        artifacts.append_history(
            self.files.history,
            {name: rows[name] for name in self.history},
            training.MAY_BE_MISSING,
        )
        self.history = extended(self.history, rows)

    def after_chunk(self) -> None:
        """Evaluate and save where that is due, and tell the observer."""
        if self.diverged is None:
            self._evaluate_and_save()
        if self.done > self.told[0]:
            self._tell()

    def evaluates_after(self, done: int) -> bool:
        """Whether the policy is evaluated after this many updates.

        Half the run is always among them: the failure modes compare it with the end.
        """
        return done % self.config.eval_every == 0 or done in self._always_evaluated

    @property
    def _always_evaluated(self) -> tuple[int, ...]:
        return (self.updates // 2, self.updates, *self.config.evaluation.eval_at)

    @property
    def is_kept(self) -> bool:
        """Whether the state as it is now stays for good."""
        every = self.config.output.keep_every
        return every is not None and self.update % every == 0

    def _evaluate_and_save(self) -> None:
        due = self.evaluates_after(self.done)
        if due:
            self._evaluate()
        late = time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
        if self.diverged is None and (due or self.is_kept or late):
            self._save(self.success_rate if due else None)

    def _save(self, success_rate: float | None) -> None:
        meta = CheckpointMeta(
            config=recorded(self.config),
            update=self.update,
            env_steps=self.env_steps,
            columns={HISTORY: list(self.history), EVALUATIONS: list(self.evaluations)},
        )
        tree = {
            "state": self.state,
            HISTORY: as_array(self.history),
            EVALUATIONS: as_array(self.evaluations),
        }
        self.store.save(self.update, tree, to_json(meta), success_rate, keep=self.is_kept)
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
        told = [result.means for result in self.last_results]
        if not all(np.isfinite(mean) for means in told for mean in means.values()):
            self.diverged = Divergence(update=self.update, quantity="evaluation")
            return
        rows = [
            {
                "update": self.update,
                "env_steps": self.env_steps,
                "seed_start": result.seed_start,
                "seeds": result.seeds,
                **means,
            }
            for result, means in zip(self.last_results, told, strict=True)
        ]
        self.evaluations = extended(self.evaluations, table(list(self.evaluations), rows))
        artifacts.write_evaluations(self.files.evaluations, self.evaluations)

    def _tell(self) -> None:
        last = row(self.history, -1)
        rows, evaluations = self.told
        self.told = self.done, length(self.evaluations)
        assert self.seconds_per_update is not None
        self.observer.progress(
            Progress(
                slug=self.files.slug,
                update=self.done,
                updates=self.updates,
                env_steps_per_second=last["env_steps_per_second"],
                seconds_left=(self.updates - self.done) * self.seconds_per_update,
                row=last,
                success_rate=self.success_rate,
                folder=self.files.out,
                settings=recorded(self.config).settings,
                rows={name: column[rows:] for name, column in self.history.items()},
                evaluations={
                    name: column[evaluations:] for name, column in self.evaluations.items()
                },
            )
        )

    # Finishing.

    def finish(self) -> None:
        """Write evaluations, policy and, last, the manifest; a diverged run has only the latter."""
        if self.diverged is not None:
            self.write_manifest("diverged")
            return
        # A run stopped between its last checkpoint and here has its evaluation's rows already.
        results = self.last_results or self._play()
        checkpoint = self.files.name(self.files.checkpoints / str(self.update))
        for index, result in enumerate(results):
            where = self.files.own_set(result.seed_start, first=index == 0)
            write_set(self.config, where, result, checkpoint, self.env_steps)
        write_policy(self.config, self.files, self.state, self.env_steps)
        self.write_manifest("completed")

    def _evidence(self) -> dict[str, str]:
        starts = evaluation_sets(self.config.evaluation.eval_seed_start)
        sets = [self.files.own_set(start, first=start == starts[0]) for start in starts]
        written = [self.files.history, self.files.evaluations]
        if self.diverged is None:
            written += [self.files.policy, *(path for files in sets for path in files)]
        return digests(self.files, written)

    def write_manifest(self, status: Status) -> None:
        """Write the manifest as the run stands now."""
        is_finished = status in ("completed", "diverged")
        manifest = RunManifest(
            format="pathb-run-v1",
            status=status,
            slug=self.files.slug,
            started=self.started,
            ended=provenance.utc_now() if is_finished else None,
            host=socket.gethostname(),
            config=recorded(self.config),
            env_config=env_config(self.config),
            parent_checkpoint=self.parent_checkpoint,
            first_update=self.first_update,
            update=self.update,
            env_steps=self.env_steps,
            train_seconds=self.train_seconds,
            compile_seconds=self.program.compile_seconds,
            diverged=self.diverged,
            runs_together=self.runs_together,
            environment_changes=self.environment_changes,
            evidence=self._evidence() if is_finished else {},
            **provenance.environment(),
        )
        if self.lineage is not None:
            manifest.fork = self.lineage
        write_manifest(self.files, manifest)
