"""Runs that are told how they end."""

from collections.abc import Mapping
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of records, so that they can be compared whole."""
    monkeypatch.setattr("pathb_jax.system.provenance.utc_now", lambda: "2026-01-02T03:04:05Z")


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts pretended runs in place of real ones."""
    from pretended_runs import PretendedRuns

    def put(**figures: Mapping[str, Any]) -> PretendedRuns:
        runs = PretendedRuns(figures)
        monkeypatch.setattr("pathb_jax.runs.trainer.train", runs)
        for name in ("look_back", "look_again", "conclude"):
            # there are no files to verify
            monkeypatch.setattr(f"pathb_jax.ladder.verifying.{name}", lambda *_: None)
        return runs

    return put
