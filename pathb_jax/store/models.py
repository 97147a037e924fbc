"""Typed data from files: strict pydantic models, whose errors become lines for the user.

A model's annotations say what a file may hold. `parse` reads one, `to_json` gives it back.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import ConfigDict, FailFast, Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from pathb_jax.errors import InputError

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound="Model")

SHOWN = 60
"""Characters of a wrong value, or of a key, that a message shows."""
MOST_ERRORS = 1000
"""A file with more wrong values than this is of another kind; none of them is named."""


class Model(pydantic.BaseModel):
    """Data of a declared shape: nothing converted, nothing unknown, every number finite.

    A validator may raise `InputError` with a field relative to its model; `parse` completes it.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,
    )


def _whole_as_given(value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Any:
    checked = check(value)
    return value if type(value) is int else checked


class AsGiven:
    """Marks a float that is written again as it was read: 3, not 3.0."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let whole numbers through as they are."""
        return core_schema.no_info_wrap_validator_function(
            _whole_as_given,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


Number = Annotated[float, AsGiven()]
Items = Annotated[list[T], FailFast()]
"""A list; checking ends at its first wrong item."""
Array = Annotated[tuple[T, ...], Field(strict=False), FailFast()]
"""A list of a file as a tuple."""


def parse(model: type[ModelT], raw: object, root: str) -> ModelT:
    """Build a model from the plain data of a file.

    Args:
        model: what `raw` has to be.
        raw: dicts, lists and scalars, as a JSON or TOML parser gives them.
        root: begins the name of every field in messages, "protocol mine.toml: ".

    Raises:
        InputError: something is missing, unknown, ill-typed or out of range; the message names it.
    """
    try:
        return model.model_validate(raw)
    except pydantic.ValidationError as error:
        raise _input_error(model, error, root) from None


def to_json(model: pydantic.BaseModel) -> dict[str, Any]:
    """Return the plain data of a model: what was read or set, in the order of its fields.

    An optional field that nobody set stays absent; keys that the model does not know are kept.

    Raises:
        InputError: something in it is nested too deeply.
    """
    try:
        return model.model_dump(
            mode="json", exclude_unset=True, warnings=False, fallback=lambda value: value.tolist()
        )
    except ValueError as error:
        what = f"it has to be plain data, nested less deeply ({error})"
        raise InputError(type(model).__name__, "(not shown)", what) from None


def _input_error(model: type[Model], error: pydantic.ValidationError, root: str) -> InputError:
    """Return the line for the first wrong value; an unknown key explains a missing one."""
    if error.error_count() > MOST_ERRORS:
        what = f"{error.error_count()} wrong values"
        return InputError(root.removesuffix(": "), what, "give a file of this format")
    details = error.errors(include_url=False)
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    schema = model.model_json_schema()
    path, node = _follow(schema, first["loc"])
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, InputError):
        name = _joined(path, raised.field)
        return InputError(f"{root}{name}", shown(raised.value), raised.allowed)
    value = "(missing)" if first["type"] == "missing" else shown(first["input"])
    field = f"{root}{path}" if path else root.removesuffix(": ")
    return InputError(field, value, str(raised) if raised else _allowed(schema, node, first))


def _follow(schema: Mapping[str, Any], loc: Sequence[int | str]) -> tuple[str, Any]:
    """Return an error's path as it is written, and the part of the JSON schema that it is about."""
    path = ""
    node: Any = _resolved(schema, schema)
    for step in loc:
        kind = node.get("type") if node else None
        if isinstance(step, int) and kind == "array":
            path, node = f"{path}[{step}]", node.get("items", {})
        elif kind == "object":
            path = _joined(path, str(step)[:SHOWN])
            inside = node.get("properties", {})
            node = inside[step] if step in inside else node.get("additionalProperties")
        elif node == {}:  # anything goes there: a validator of its own looked inside
            path = f"{path}[{step}]" if isinstance(step, int) else _joined(path, step[:SHOWN])
        # else it is the name of a union's member, or the mark of a wrong key
        node = _resolved(schema, node) if isinstance(node, dict) else {}
    return path, node


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name and not name.startswith("[") else path + name


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and "or None", which stands for an absent field."""
    while True:
        choices = [item for item in node.get("anyOf", ()) if item.get("type") != "null"]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(choices) == 1:
            node = choices[0]
        else:
            return node


def _allowed(schema: Mapping[str, Any], node: Mapping[str, Any], error: Any) -> str:
    """Say what a field takes, in words made from its JSON schema."""
    if error["type"] == "missing":
        return "the field is required"
    if error["type"] == "extra_forbidden":
        holder = _follow(schema, error["loc"][:-1])[1]
        return f"there is no such field; known are {', '.join(holder.get('properties', ()))}"
    kind = node.get("type")
    choices = node.get("enum", [node["const"]] if "const" in node else [])
    if choices:
        return f"choose one of {', '.join(map(str, choices))}"
    if kind == "string":
        return str(node.get("description") or _text(node))
    if kind not in _KINDS:
        return str(error["msg"]).replace("Input should be", "it must be")
    limits = " and ".join(f"{w} {node[n]:.10g}" for n, w in _LIMITS.items() if n in node)
    if kind in ("array", "object"):
        return f"give {_KINDS[kind]} of {limits}" if limits else f"{_KINDS[kind]} is required"
    return f"give {_KINDS[kind]} {limits}".rstrip()


_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a table",
}
_LIMITS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    **dict.fromkeys(("minItems", "minProperties"), "at least"),
    **dict.fromkeys(("maxItems", "maxProperties"), "at most"),
}


def _text(node: Mapping[str, Any]) -> str:
    if "pattern" in node:
        return f"give text like {node['pattern'].removeprefix('^').removesuffix('$')}"
    at_most = f" of at most {node['maxLength']} characters" if "maxLength" in node else ""
    return f"give text{at_most}"


def shown(value: object) -> object:
    """Return what a message may show of `value`: itself, or the start of something long."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "(a number of more than 30 digits)"
    try:
        text = str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits inside; nested too deep
        return f"(a large {type(value).__name__})"
    return value if len(text) <= SHOWN else text[:SHOWN] + "..."
