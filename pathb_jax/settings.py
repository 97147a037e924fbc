"""A run described by names and values alone, whatever group of the configuration they belong to."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import pydantic

from pathb_jax.config import RunConfig
from pathb_jax.errors import InputError
from pathb_jax.text import suggestion

G = TypeVar("G")

GROUPS: dict[str, Any] = get_type_hints(RunConfig)
OWNERS = {f.name: group for group, kind in GROUPS.items() for f in dataclasses.fields(kind)}
"""Name of a setting -> its group; every name is in one only."""


def config_of(settings: Mapping[str, Any], where: str = "") -> RunConfig:
    """Return the configuration of settings, the rest at their defaults; not yet validated.

    Args:
        settings: name -> value, as JSON, TOML or Python have them; with the variant, or an env.
        where: begins the name in an error's message.

    Raises:
        InputError: no such setting, a value of another type, or no variant.
    """
    if "variant" not in settings and settings.get("env") is None:
        raise InputError(
            f"{where}variant", "(missing)", "say what the run is rewarded with, or give env"
        )
    groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, value in settings.items():
        if name not in OWNERS:
            allowed = f"there is no such setting; {suggestion(name, sorted(OWNERS))}"
            raise InputError(f"{where}{name}", value, allowed)
        groups[OWNERS[name]][name] = str(value) if isinstance(value, Path) else value
    return RunConfig(**{name: _group(kind, groups[name], where) for name, kind in GROUPS.items()})


def _group(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """Build a group; numbers, texts and lists are held to the types of its fields."""
    try:
        return strictly(kind, values)
    except InputError as error:
        name = error.field.partition(".")[0]
        allowed = error.allowed[:1].lower() + error.allowed[1:]
        raise InputError(f"{where}{name}", values.get(name), allowed) from None
    except TypeError as error:  # JSON has nothing like it
        raise InputError(f"{where}settings", dict(values), str(error)) from None


def strictly(kind: type[G], values: Mapping[str, Any]) -> G:
    """Build a group of settings from values of exactly its fields' types.

    Raises:
        InputError: the first value of another type, or missing, by its name within the group.
        TypeError: JSON has nothing like a value.
    """
    try:
        # As JSON, where strict means of the right type, and a list or object may be a tuple or a
        # dataclass.
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(name, first["input"], first["msg"]) from None
