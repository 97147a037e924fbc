"""A protocol whose ladder takes seconds: the shipped one with small shapes and fewer runs."""

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from small_runs import SEEDS, SHAPES

UPDATES = 50
"""The least that stage 2's window allows."""


def shipped_table() -> dict[str, Any]:
    """Return the shipped protocol as plain data."""
    file = resources.files("pathb_jax") / "protocols" / "path_b.toml"
    return tomllib.loads(file.read_text("utf-8"))


def to_toml(value: Any) -> str:
    """Return a TOML inline value (JSON differs only in tables)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {to_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def write_toml(path: Path, table: dict[str, Any]) -> Path:
    path.write_text("\n".join(f"{k} = {to_toml(v)}" for k, v in table.items()), encoding="utf-8")
    return path


def small_table(*, passes: bool) -> dict[str, Any]:
    """Return a protocol of two candidates and one batch run that all pass, or all fail."""
    table = shipped_table()
    table["name"] = "small"
    table["run"] |= {"tier": "Small", "updates": UPDATES, **SHAPES}
    table["evaluation"]["seeds"] = SEEDS
    table["candidates"] = table["candidates"][:2]
    table["compute"]["candidate_hours"] = [0.1, 0.2]
    table["batch"] = table["batch"][-1:]
    stages = table["stages"]
    stages["success_floor"]["threshold"] = 0.0 if passes else 1.0
    stages["training_dynamics"] |= {
        "entropy_below": 100.0,
        "log_std_rise_at_most": 100.0,
        "value_loss_at_most": 1e9,
    }
    stages["seed_shift"]["difference_at_most"] = 1.0
    return table


def strict_table() -> dict[str, Any]:
    """Return a small protocol as strict as `path_b_strict`: three voting seeds, two equivalences.

    A baseline that changes nothing and a candidate that changes knobs of every kind; all pass.
    """
    table = small_table(passes=True)
    table["name"] = "small_strict"
    table["run"]["seed_start"] = 50000
    del table["evaluation"]["third_seed_start"]
    floor, dynamics, _ = table["stages"].values()
    two = [{"kind": "equivalence", "margin": 1.0, "alpha": 0.05, "seed_start": s} for s in SHIFTED]
    table["stages"] = [
        {"kind": "success_floor", **floor},
        {"kind": "training_dynamics", **dynamics},
        *two,
    ]
    table["voting"] = {"training_seeds": 3, "pass_at_least": 2}
    told = {"why": "w", "if_it_fails": "f"}
    several = {
        "critic_lr": 1e-4,
        "value_clip": 0.2,
        "lr_schedule": "linear:1e-5",
        "entropy_schedule": "linear:0",
        "truncation": "bootstrap",
        "reshuffle_epochs": True,
        "epochs": 1,
        "log_std_init": -1.0,
    }
    table["candidates"] = [
        {"order": 1, "tag": "baseline", "baseline": True, "change": {}, **told},
        {"order": 2, "tag": "several", "change": several, **told},
    ]
    for prediction in table["predictions"]:
        prediction["candidate"] = "first"
    return table


SHIFTED = (20000, 40000)
"""One set that every run evaluates, and one that only this protocol names."""


def listed_table() -> dict[str, Any]:
    """Return the shipped protocol with its stages as a list: two floors, no drift on two sets."""
    table = shipped_table()
    floor, dynamics, shift = table["stages"].values()
    del table["evaluation"]["third_seed_start"]
    table["stages"] = [
        {"kind": "success_floor", **floor},
        {"kind": "training_dynamics", **dynamics},
        {"kind": "seed_shift", **shift},
        {"kind": "equivalence", "seed_start": 20000, "margin": 0.25, "alpha": 0.05},
        {"kind": "equivalence", "seed_start": 40000, "margin": 0.30, "alpha": 0.10},
        {"kind": "success_floor", "seed_start": 40000, "threshold": 0.25},
    ]
    return table
