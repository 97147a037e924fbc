"""Stopping on request, starting over, and resuming in another environment."""

import os
import signal
from pathlib import Path

import pytest
from small_runs import small_config

from pathb_jax.errors import InputError
from pathb_jax.runs.observer import Observer, Progress
from pathb_jax.runs.trainer import train
from pathb_jax.store.json_files import read_json
from pathb_jax.studies.digest import digest
from pathb_jax.system import provenance, signals
from pathb_jax.system.signals import StopRequested, stopping_at_safe_points


class SendsSignal(Observer):
    """Asks to stop after the first chunk, and keeps the notices."""

    def __init__(self, signum: int | None = None) -> None:
        self.signum, self.notices = signum, []

    def progress(self, progress: Progress) -> None:
        if self.signum is not None:
            os.kill(os.getpid(), self.signum)

    def notice(self, message: str) -> None:
        self.notices.append(message)


def manifest(folder: Path) -> dict:
    (path,) = (folder / "manifests").glob("*.json")
    return read_json(path)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_the_resumed_run_is_the_same(
    signum, finished, tmp_path, one_update_per_chunk, monkeypatch
):
    config = small_config(tmp_path / "run")
    with pytest.raises(StopRequested) as stop, stopping_at_safe_points():
        train(config, SendsSignal(signum))
    assert stop.value.signum == signum
    stopped = manifest(tmp_path / "run")
    assert (stopped["status"], stopped["ended"]) == ("incomplete", None)
    later = "2999-01-01T00:00:00Z"
    monkeypatch.setattr(provenance, "utc_now", lambda: later)
    observer = SendsSignal()
    assert train(config, observer).status == "completed"
    assert any("resuming after update 1" in notice for notice in observer.notices)
    assert digest(tmp_path / "run") == digest(finished.config.output.out)
    ended = manifest(tmp_path / "run")
    assert (ended["started"], ended["ended"]) == (stopped["started"], later)


def interrupt_twice() -> None:
    with stopping_at_safe_points():
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.requested() == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal was not obeyed")


def test_a_second_interrupt_is_obeyed_at_once():
    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert signals.requested() is None


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with stopping_at_safe_points():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_fresh_moves_the_old_run_aside_and_trains_anew(tmp_path: Path):
    first = train(small_config(tmp_path / "run"))
    observer = SendsSignal()
    again = train(small_config(tmp_path / "run", fresh=True), observer)
    assert first.trained
    assert again.trained
    assert digest(tmp_path / "run.superseded-1") == digest(tmp_path / "run")
    assert "run.superseded-1" in observer.notices[0]


def test_another_environment_is_refused_or_recorded(tmp_path, monkeypatch, one_update_per_chunk):
    config = small_config(tmp_path / "run")
    with pytest.raises(StopRequested), stopping_at_safe_points():
        train(config, SendsSignal(signal.SIGTERM))
    now = provenance.environment()
    changed = now | {"source": now["source"] | {"program": "f" * 64}}
    monkeypatch.setattr(provenance, "environment", lambda: changed)
    with pytest.raises(InputError, match=f"source.program: .* -> '{'f' * 64}'"):
        train(config)
    accepting = small_config(tmp_path / "run", accept_environment_change=True)
    assert train(accepting).status == "completed"
    (entry,) = manifest(tmp_path / "run")["environment_changes"]
    assert entry["resumed_after_update"] == 1
    assert "f" * 64 in entry["changes"][0]
