"""Runs that are told how they end."""

from collections.abc import Mapping
from typing import Any

import pytest


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts pretended runs in place of real ones."""
    from pretended_runs import PretendedRuns

    def put(**figures: Mapping[str, Any]) -> PretendedRuns:
        runs = PretendedRuns(figures)
        monkeypatch.setattr("pathb_jax.run.train", runs)
        for name in ("look_back", "look_at_run", "look_again", "conclude"):
            # there are no files to verify
            monkeypatch.setattr(f"pathb_jax.ladder.verifying.{name}", lambda *_: None)
        return runs

    return put
