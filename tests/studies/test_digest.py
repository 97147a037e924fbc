import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_runs import small_config

from pathb_jax.errors import InputError
from pathb_jax.learn.training import MAY_BE_MISSING
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import WALL_CLOCK_COLUMNS, read_history
from pathb_jax.store.tables import write_table
from pathb_jax.studies.digest import digest


@pytest.fixture
def run(finished, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    shutil.copytree(finished.config.output.out, tmp_path / "run")
    return tmp_path / "run"


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_a_repetition_elsewhere_has_the_same_digest(finished, tmp_path: Path):
    train(small_config(tmp_path / "again"))
    assert digest(tmp_path / "again") == digest(finished.config.output.out)


def test_another_seed_has_another_digest_in_every_part_but_the_status(finished, tmp_path: Path):
    train(small_config(tmp_path / "other", seed=1))
    ours, theirs = digest(tmp_path / "other"), digest(finished.config.output.out)
    same = set(ours.values()) & set(theirs.values())
    assert same == {value for part, value in theirs.items() if part.endswith("status")}


def test_times_do_not_count_and_figures_do(run: Path):
    before = digest(run)["all"]
    path = only(run, "logs/*_history.csv")
    columns = read_history(path)
    for name in WALL_CLOCK_COLUMNS:
        columns[name] = columns[name] + 1.0
    write_table(path, columns, MAY_BE_MISSING)
    assert digest(run)["all"] == before
    columns["entropy"] = np.nextafter(columns["entropy"], 0)
    write_table(path, columns, MAY_BE_MISSING)
    assert digest(run)["all"] != before


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("policies/*.json", "action_scale"),
        ("logs/*_evaluation_summary.json", "success_rate"),
        ("logs/*_seed_20000_summary.json", "mean_steps"),
    ],
)
def test_every_file_of_figures_counts(run: Path, pattern: str, key: str):
    before = digest(run)["all"]
    path = only(run, pattern)
    content = json.loads(path.read_text())
    content[key] += 0.5
    path.write_text(json.dumps(content))
    assert digest(run)["all"] != before


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="--digest"):
        digest(tmp_path)
