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
        return runs

    return put
