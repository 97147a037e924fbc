"""What a run says of itself: its manifest, and beside each checkpoint's arrays its meta."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.store.models import Model, Number, parse, to_json
from pathb_jax.store.run_files import RunFiles

Group = dict[str, Any]
"""Settings by name; those of another program may be others."""


Status = Literal["running", "incomplete", "completed", "diverged"]


class Recorded(Model):
    """A part of a record; keys that only another program knows are kept."""

    model_config = ConfigDict(extra="allow")


class RecordedEvaluation(Recorded):
    """`EvaluationConfig` of a run; what others rest on is there."""

    eval_seed_start: Annotated[list[int], Field(min_length=1)]
    eval_seeds: Annotated[int, Field(ge=1)]


class RecordedConfig(Recorded):
    """A run's configuration, one group of flags each, as `RunConfig.to_dict` gives it."""

    task: Group
    train: Group
    hparams: Group
    schedule: Group
    evaluation: RecordedEvaluation
    output: Group

    @property
    def settings(self) -> Group:
        """What decides how it trains, by its flags' names."""
        return {**self.task, **self.train, **self.hparams, **self.schedule}


class Divergence(Recorded):
    """Where a figure became non-finite."""

    update: int
    quantity: str

    @property
    def text(self) -> str:
        """As receipts say it."""
        return f"{self.quantity} not finite at update {self.update}"


class EnvironmentChange(Recorded):
    """What of program, versions and device was not as before when a run went on."""

    resumed_after_update: int
    changes: list[str]


class Lineage(Recorded):
    """What a fork goes on from."""

    parent: str
    """The parent's folder."""
    slug: str
    update: int
    """The parent's update after which it goes on."""
    change: Group
    """Settings of task, hyper-parameters and schedules that are not the parent's, by name."""
    seed: int
    """The parent's training seed. A fork of this seed has the parent's own noise."""
    first_update: int
    """The update index after which the schedules of both begin."""
    updates: int
    """How many updates those schedules span."""


class RunManifest(Recorded):
    """Everything needed to repeat a run, and how far it is."""

    format: str = "pathb-run-v1"
    status: Status
    slug: str = ""
    started: str | None = None
    """None: an earlier program did not write it down."""
    ended: str | None = None
    host: str | None = None
    config: RecordedConfig
    env_config: Group = Field(default_factory=dict)
    parent_checkpoint: str | None = None
    first_update: int
    update: int
    env_steps: int
    train_seconds: Number
    compile_seconds: Number = 0.0
    diverged: Divergence | None
    runs_together: int = 1
    environment_changes: list[EnvironmentChange] = Field(default_factory=list)
    fork: Lineage | None = None
    """Of a run that goes on from another's exact state."""
    evidence: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the run's files by their path in its folder."""
    source: Group = Field(default_factory=dict)
    backend: Group = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_end(self) -> "RunManifest":
        if (self.status == "diverged") != (self.diverged is not None):
            allowed = f"diverged is {self.diverged and to_json(self.diverged)}"
            raise InputError("status", self.status, allowed)
        return self

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.status in ("completed", "diverged")

    @property
    def environment(self) -> dict[str, Any]:
        """The environment that the run was last at work in."""
        return {"source": self.source, "backend": self.backend}


class CheckpointMeta(Recorded):
    """What a checkpoint says beside its arrays."""

    config: RecordedConfig
    update: int
    """Updates done, counted through continued runs."""
    env_steps: int
    columns: dict[str, list[str]] = Field(default_factory=dict)
    """Of each table's array, from left to right; none: an earlier program's."""


def recorded(config: RunConfig) -> RecordedConfig:
    """Return a configuration as manifests and checkpoints hold it."""
    return RecordedConfig.model_validate(config.to_dict())


def read_manifest(files: RunFiles) -> RunManifest:
    """Read a run's manifest.

    Raises:
        InputError: there is none, or it is not one: a part that others rest on is missing.
    """
    content = read_json(files.manifest)
    if not isinstance(content, dict):
        raise InputError(str(files.manifest), "another file", "it has to be a run's manifest")
    return parse(RunManifest, content, f"{files.manifest}: ")


def write_manifest(files: RunFiles, manifest: RunManifest) -> None:
    """Write ``manifests/<slug>.json``, keys sorted; errors as ``write_json``."""
    write_json(files.manifest, to_json(manifest), sort_keys=True)
