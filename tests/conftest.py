"""What all tests share: how JAX is set up, and one small trained run to look at."""

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# However busy the machine is.
hypothesis.settings.register_profile(
    "pathb", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("pathb")

# Before JAX is imported. Commands started by tests inherit all of it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")


def pytest_configure(config: pytest.Config) -> None:
    # Whoever runs tests again and again names a folder that stays: they are quicker from then on.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="pathb-test-compiled-")
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # Commands that tests start run the same programs: they need not compile them again.
    from pathb_jax.system import compiled_programs

    compiled_programs.verify()


@pytest.fixture(scope="session", autouse=True)
def _committed_program():
    """Take the program for committed: whoever works on it has a verdict's worth changed by that."""
    from pathb_jax.system import provenance, source

    with pytest.MonkeyPatch.context() as patch:
        committed = {**source.source_version(), "dirty": False}
        patch.setattr(provenance, "source_version", lambda: committed)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """A run of `small_runs.UPDATES` updates as it was left. Not to be written to."""
    from small_runs import FinishedRun, Watcher, small_config

    from pathb_jax.runs.trainer import train

    watcher = Watcher()
    config = small_config(tmp_path_factory.mktemp("finished") / "run")
    return FinishedRun(config, train(config, watcher), watcher)


@pytest.fixture
def one_update_per_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every chunk one update long, whatever the machine's speed."""
    from pathb_jax.runs import run

    monkeypatch.setattr(run, "CHUNK_SECONDS", 0.0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).parents[1]
