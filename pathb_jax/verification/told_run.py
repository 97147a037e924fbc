"""A run's files while they are checked: what its manifest tells, and names for what is found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathb_jax.store.run_files import RunFiles
from pathb_jax.verification.findings import Findings

DIFFERS = "it is not what the last checkpoint holds"


@dataclass(frozen=True)
class ToldRun:
    """A finished run, as its manifest tells it, and what takes the findings."""

    files: RunFiles
    manifest: Mapping[str, Any]
    findings: Findings

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings, by group."""
        return self.manifest["config"]

    @property
    def completed(self) -> bool:
        """Whether it came to its end; else it diverged."""
        return self.manifest["status"] == "completed"

    @property
    def env(self) -> str | None:
        """Which environment, where it is not the shadow field."""
        return self.config["train"].get("env")

    @property
    def tier(self) -> str | None:
        """The sensors; None of another environment."""
        return self.config["train"]["sensor_tier"] if self.env is None else None

    @property
    def batch_size(self) -> int:
        """Environment steps of an update."""
        return int(self.config["train"]["batch_envs"] * self.config["train"]["rollout_length"])

    def at(self, path: Path, field: str = "") -> str:
        """Name a place in one of its files."""
        return f"{self.files.out.name}/{path.name}" + (f": {field}" if field else "")
