"""The Python of docs/ADAPTERS.md and docs/FILES.md runs as it stands."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import jax
import pytest
from test_documents import blocks

ROOT = Path(__file__).parents[1]
TRAINS = ("rejax", "stable_baselines3", "sbx")


def python_of(page: str) -> list[str]:
    """Return the blocks of code that begin with an import."""
    code = blocks((ROOT / "docs" / page).read_text("utf-8"))
    return [block for block in code if block.startswith(("import ", "from "))]


def case(page: str, block: str) -> Any:
    """Name a block by its page and the first library it shows; those that train are slow."""
    name = f"{page}-{'-'.join(re.findall(r'^(?:import|from) ([a-z_0-9]+)', block, re.MULTILINE))}"
    slow = any(library in block for library in TRAINS)
    return pytest.param(page, block, id=name, marks=[pytest.mark.slow] if slow else [])


CASES = [case(page, block) for page in ("ADAPTERS.md", "FILES.md") for block in python_of(page)]


def test_every_library_is_shown() -> None:
    assert len(CASES) == 11
    shown = " ".join(case.id for case in CASES)
    assert all(name in shown for name in ("gymnax", "gymnasium", "stable_baselines3", "pandas"))


@pytest.mark.parametrize(("page", "block"), CASES)
def test_it_runs(page: str, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in TRAINS:
        if library in block:
            pytest.importorskip(library)
    monkeypatch.chdir(ROOT)
    # Other people's programs rely on what this project's tests forbid themselves.
    with contextlib.redirect_stdout(io.StringIO()), jax.numpy_rank_promotion("allow"):
        exec(compile(block, page, "exec"), {})
