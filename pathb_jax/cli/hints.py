"""What a flag without a value of its own stands for, as its help says it."""

import dataclasses
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo
from tyro.constructors._struct_spec_dataclass import dataclass_rule

from pathb_jax.config import DefaultHint

REGISTRY = ConstructorRegistry()


@REGISTRY.struct_rule
def with_hints(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Treat flags as the library does, and each `DefaultHint` as its own kind of annotation."""
    spec = dataclass_rule(info)
    if spec is None:
        return None
    fields = []
    for field in spec.fields:
        for note in getattr(field.type, "__metadata__", ()):
            if isinstance(note, DefaultHint):
                told = tyro.conf.arg(help_behavior_hint=f"(default: {note.text})")
                kind: Any = Annotated[field.type, told]
                field = dataclasses.replace(field, type=kind)
        fields.append(field)
    return dataclasses.replace(spec, fields=tuple(fields))
