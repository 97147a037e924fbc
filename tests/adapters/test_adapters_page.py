"""What docs/ADAPTERS.md says can be typed runs as it stands."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ADAPTERS.md").read_text("utf-8")
BLOCKS = [
    "\n".join(line[4:] for line in block)
    for block in [
        [line for line in part.splitlines() if line.strip()]
        for part in re.findall(r"(?:^    .+\n)+", PAGE, re.MULTILINE)
    ]
]
TRAINS = ("rejax", "stable_baselines3")


def told(block: str) -> str:
    """Name a block by the library that it shows."""
    return re.findall(r"(?:import|from) (\w+)", block)[0]


def test_every_library_is_shown() -> None:
    assert len(BLOCKS) == 7
    assert {"gymnax", "jax", "gymnasium", "stable_baselines3"} <= set(map(told, BLOCKS))


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(
            block,
            id=told(block),
            marks=[pytest.mark.slow] if any(x in block for x in TRAINS) else [],
        )
        for block in BLOCKS
    ],
)
def test_it_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in TRAINS:
        if library in block:
            pytest.importorskip(library)
    monkeypatch.chdir(ROOT)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, "docs/ADAPTERS.md", "exec"), {})
