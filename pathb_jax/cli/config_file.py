"""`--config`: a run's settings from a file, TOML or what a run wrote down of itself."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pathb_jax.config import VARIANTS, RunConfig
from pathb_jax.errors import InputError
from pathb_jax.settings import GROUPS, config_of
from pathb_jax.store.json_files import decode_json, read_bounded

MOST_BYTES = 2**20
OF_THE_RUN = ("run_label", "load_checkpoint", "fork_at", "reset_optimizer", "keep_every")
"""What a manifest tells of the output that makes the run what it is; the rest is of that time."""


def config_path(arguments: Sequence[str]) -> Path | None:
    """Return what `--config` says, before anything else is parsed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", nargs="?")
    found = parser.parse_known_args(list(arguments))[0].config
    return None if found is None else Path(found)


def read_config(path: Path) -> RunConfig:
    """Read a configuration; it is not yet validated.

    Args:
        path: TOML with settings by their names, in tables named like the groups or in none; or a
            run's `manifests/<slug>.json`.

    Raises:
        InputError: no such file, neither of them, or a setting that is none.
    """
    try:
        data = read_bounded(path, MOST_BYTES)
        manifest = path.suffix == ".json"
        table = decode_json(path, data) if manifest else tomllib.loads(data.decode())
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)[:200]
        raise InputError("--config", str(path), f"give TOML, or a run's manifest ({why})") from None
    if manifest:
        table = _of_manifest(path, table)
    return config_of(_flat(path, table), f"{path}: ")


def _flat(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of all tables, each once."""
    settings: dict[str, Any] = {}
    for name, value in table.items():
        inside = value if name in GROUPS and isinstance(value, dict) else {name: value}
        for key, setting in inside.items():
            if key in settings:
                raise InputError(f"{path}: {key}", setting, "it is there twice")
            settings[key] = setting
    return settings


def _of_manifest(path: Path, table: Any) -> dict[str, Any]:
    """Return what a manifest says of its run, but for where it lay and how it was watched."""
    config = table.get("config") if isinstance(table, dict) else None
    if not isinstance(config, dict) or not all(isinstance(config.get(g), dict) for g in GROUPS):
        raise InputError("--config", str(path), "it is no run's manifest")
    groups = {name: dict(config[name]) for name in GROUPS}
    groups["output"] = {name: config["output"].get(name) for name in OF_THE_RUN}
    variant = groups["task"].get("variant")
    if variant in VARIANTS and VARIANTS[variant].family != "L-Mixed":
        groups["hparams"]["mixed_lambda"] = None  # what `validated` fills in
    return groups
