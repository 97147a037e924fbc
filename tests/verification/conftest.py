"""A finished ladder to verify: one candidate that diverges, one that is adopted, two seeds."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ladder(tmp_path_factory) -> Path:
    """The ladder's folder. Not to be written to."""
    from small_protocol import small_table, write_toml

    from pathb_jax.ladder.ladder import run_ladder
    from pathb_jax.ladder.plan import LadderPlan
    from pathb_jax.ladder.protocol import load_protocol, planned_run

    folder = tmp_path_factory.mktemp("verified")
    table = small_table(passes=True)
    table["candidates"][0]["change"] = {"lr": 10.0, "entropy_coef": 100.0}
    protocol = load_protocol(write_toml(folder / "small.toml", table))
    run_ladder(LadderPlan(protocol, planned_run(protocol), folder / "ladder", train_seeds=2))
    return folder / "ladder"


@pytest.fixture
def copy(ladder, tmp_path) -> Path:
    """A copy of it to write to."""
    return Path(shutil.copytree(ladder, tmp_path / "ladder"))
