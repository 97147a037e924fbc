"""What the tests of learning share: tiny networks, and no implicit rank promotion."""

import jax
import pytest
from learn_setup import TINY_TIERS

from pathb_jax.config import TIERS


@pytest.fixture(autouse=True, scope="module")
def tiny_tiers():
    """Let a run's tier be the name of a tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in TINY_TIERS.items():
            patch.setitem(TIERS, name, size)
        yield


@pytest.fixture(autouse=True)
def no_rank_promotion():
    """Refuse `[N, D] + [D]`, whatever the environment variable says."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def x64():
    """Compute in float64 during one test."""
    with jax.enable_x64(True):
        yield
