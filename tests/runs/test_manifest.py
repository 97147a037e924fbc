"""What is no manifest is refused in one line, whatever part of it is missing or of another kind."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pathb_jax.errors import InputError
from pathb_jax.runs.manifest import RecordedConfig, read_manifest
from pathb_jax.store.models import to_json
from pathb_jax.store.run_files import RunFiles

GOOD: dict[str, Any] = {
    "status": "completed",
    "config": {group: {} for group in RecordedConfig.model_fields}
    | {"evaluation": {"eval_seed_start": [10000], "eval_seeds": 4}},
    "update": 10,
    "first_update": 0,
    "env_steps": 81920,
    "train_seconds": 1.5,
    "diverged": None,
    "environment_changes": [{"resumed_after_update": 3, "changes": ["backend.cores: 2 -> 4"]}],
}


def read(content: Any, folder: Path) -> dict[str, Any]:
    files = RunFiles(folder, "slug")
    files.manifest.parent.mkdir(parents=True)
    files.manifest.write_text(json.dumps(content))
    return to_json(read_manifest(files))


def test_a_manifest(tmp_path: Path) -> None:
    assert read(GOOD, tmp_path / "now") == GOOD
    earlier = {name: value for name, value in GOOD.items() if name != "environment_changes"}
    assert read(earlier, tmp_path / "earlier") == earlier


@pytest.mark.parametrize("name", [name for name in GOOD if name != "environment_changes"])
def test_a_part_that_is_missing(name: str, tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    del content[name]
    with pytest.raises(InputError, match=name):
        read(content, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", 3),
        ("status", "diverged"),
        ("status", "over"),
        ("config", []),
        ("config", {"task": {}}),
        ("config", GOOD["config"] | {"evaluation": {"eval_seed_start": [], "eval_seeds": 4}}),
        ("update", "10"),
        ("update", True),
        ("evidence", {"logs/history.csv": 3}),
        ("train_seconds", None),
        ("environment_changes", "none"),
        ("environment_changes", ["backend.cores: 2 -> 4"]),
        ("environment_changes", [{"resumed_after_update": "3", "changes": []}]),
        ("environment_changes", [{"resumed_after_update": 3, "changes": [4]}]),
    ],
)
def test_a_part_of_another_kind(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        read(GOOD | {name: value}, tmp_path)


@pytest.mark.parametrize("content", [[], "x", 3, None])
def test_another_file(content: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another file"):
        read(content, tmp_path)
