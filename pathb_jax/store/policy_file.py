"""The portable actor, ``mesa-policy-json-v1`` (docs/spec/ladder.md, "Files").

Reading it: o = (obs - mean) / max(std, 1e-8); each layer is weight @ x + bias and then tanh, the
last too; times action_scale; the norm clipped to 1. A policy of another environment than the shadow
field names it, `metadata.env`: the result, in [-1, 1], is scaled to its box of actions,
`metadata.action_low` to `metadata.action_high`.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import decode_json, encode_json, read_bounded
from pathb_jax.store.models import Array, Model, parse

MAX_PARAMETERS = 2**23
"""Twice the actor of tier Large: what is read."""
MAX_ROWS = 2**16
"""Rows of all weights together: 100 layers of as many parameters have half of it."""
NUMBER_BYTES = 48
"""More than any float64 takes as JSON, comma, line end and indentation included."""
SLACK, SLACK_BYTES = 2**14, 2**18
"""Values, and bytes, for everything in the file but weights, biases and normaliser."""
ACT_DIM = 2
"""A step of the shadow field's point: x and y."""
SMALLEST, LARGEST = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
"""What float32 holds without underflow or overflow."""


def _vector(values: Any) -> np.ndarray:
    """Return a list of JSON numbers as float32 ``[n]``."""
    if not isinstance(values, np.ndarray):
        if type(values) is not list or not set(map(type, values)) <= {int, float}:
            raise InputError("", "something else", "it has to be a list of numbers")
        try:
            with np.errstate(over="ignore"):
                values = np.array(values, np.float64).astype(np.float32)
        except OverflowError:  # an integer beyond float64
            values = np.array([np.inf])
    if not np.isfinite(values).all():
        raise InputError("", "not finite", "every number has to be finite in float32")
    return values


def _matrix(rows: Any) -> np.ndarray:
    """Return a list of rows as float32 ``[out, in]``."""
    if isinstance(rows, np.ndarray):
        return _vector(rows)
    if type(rows) is not list:
        raise InputError("", "something else", "it has to be a list of rows")
    vectors = [_vector(row) for row in rows]
    if len({vector.size for vector in vectors}) != 1:
        raise InputError("", "ragged", "its rows have one length")
    return np.stack(vectors)


Vector = Annotated[Any, AfterValidator(_vector)]
"""A float32 array: pydantic would look at every number of four million by itself."""
Matrix = Annotated[Any, AfterValidator(_matrix)]


class Layer(Model, extra="ignore"):
    """One layer: weight ``[out, in]`` and bias ``[out]``."""

    weight: Matrix
    bias: Vector


class Normalization(Model, extra="ignore"):
    """What observations are normalised by, each ``[obs_dim]``."""

    obs_mean: Vector
    obs_std: Vector


class PolicyFile(Model, extra="ignore"):
    """What a policy file says."""

    format: Literal["mesa-policy-json-v1"]
    family: str
    """Of the variant, such as ``L-Mixed``."""
    variant: str
    """The trainer's name for it."""
    tier: str
    """``Small``, ``Medium`` or ``Large``."""
    obs_dim: PositiveInt
    act_dim: PositiveInt
    activation: Literal["tanh"]
    action_scale: Annotated[float, Field(ge=SMALLEST, le=LARGEST)]
    """Factor on the last layer's tanh."""
    hidden_size: PositiveInt
    depth: Annotated[int, Field(ge=1, le=100)]
    """Hidden layers."""
    parameter_count: int
    """Weights and biases of the layers; others may count log_std too, which is not in the file."""
    layers: Array[Layer]
    normalization: Normalization
    metadata: dict[str, Any]
    """Whatever the writer added."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.act_dim != ACT_DIM and "env" not in self.metadata:
            raise InputError("act_dim", self.act_dim, f"an action has {ACT_DIM} numbers")
        self._check_box()
        shapes = layer_shapes(self.obs_dim, self.act_dim, self.hidden_size, self.depth)
        if len(self.layers) != len(shapes):
            allowed = f"depth {self.depth} makes {len(shapes)}"
            raise InputError("layers", len(self.layers), allowed)
        for index, (layer, shape) in enumerate(zip(self.layers, shapes, strict=True)):
            actual, declared = (layer.weight.shape, layer.bias.shape), (shape, shape[:1])
            if actual != declared:
                allowed = f"the declared sizes make {declared}"
                raise InputError(f"layers[{index}]", actual, allowed)
        for name, values in self.normalization:
            if values.shape != (self.obs_dim,):
                allowed = f"it has to be {(self.obs_dim,)}"
                raise InputError(f"normalization.{name}", values.shape, allowed)
        if (smallest := self.normalization.obs_std.min()) < 0:
            raise InputError("normalization.obs_std", float(smallest), "it cannot be negative")
        count = _count(shapes)
        if self.parameter_count not in (count, count + self.act_dim):
            allowed = f"these sizes make {count}"
            raise InputError("parameter_count", self.parameter_count, allowed)
        return self

    def _check_box(self) -> None:
        """Hold an environment that is not the shadow field to what acting in it needs."""
        if "env" not in self.metadata:
            return
        for name in ("action_low", "action_high"):
            limits = self.metadata.get(name)
            if not isinstance(limits, list) or _vector(limits).size != self.act_dim:
                allowed = f"of an env it is a list of {self.act_dim} numbers"
                raise InputError(f"metadata.{name}", str(limits)[:60], allowed)


def layer_shapes(obs_dim: int, act_dim: int, hidden_size: int, depth: int) -> list[tuple[int, int]]:
    """Return each layer's (outputs, inputs)."""
    widths = [obs_dim, *[hidden_size] * depth, act_dim]
    return [(rows, columns) for columns, rows in itertools.pairwise(widths)]


def _count(shapes: Sequence[tuple[int, int]]) -> int:
    return sum(rows * (columns + 1) for rows, columns in shapes)


def write_policy(
    path: Path,
    *,
    family: str,
    variant: str,
    tier: str,
    layers: Sequence[tuple[ArrayLike, ArrayLike]],
    obs_mean: ArrayLike,
    obs_std: ArrayLike,
    hidden_size: int,
    depth: int,
    action_scale: float,
    metadata: Mapping[str, Any],
) -> None:
    """Write an actor, whole or not at all.

    Args:
        path: the file.
        family: as `PolicyFile` says, like the other names and sizes.
        variant: likewise.
        tier: likewise.
        layers: depth + 1 pairs of weight ``[out, in]`` and bias ``[out]``.
        obs_mean: ``[obs_dim]``, the normaliser's.
        obs_std: likewise.
        hidden_size: width of the hidden layers.
        depth: their number.
        action_scale: factor on the last tanh.
        metadata: sensor_tier, env_steps, ...; JSON data.

    Raises:
        ValueError: the shapes contradict each other, or a number is not finite; nothing is written.
        OSError: as ``write_atomically``.
    """
    pairs = [(np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in layers]
    mean, std = np.asarray(obs_mean, np.float32), np.asarray(obs_std, np.float32)
    content = {
        "format": "mesa-policy-json-v1",
        "family": family,
        "variant": variant,
        "tier": tier,
        "obs_dim": mean.size,
        "act_dim": pairs[-1][1].size,
        "activation": "tanh",
        "action_scale": float(action_scale),
        "hidden_size": hidden_size,
        "depth": depth,
        "parameter_count": sum(weight.size + bias.size for weight, bias in pairs),
        "layers": [{"weight": weight, "bias": bias} for weight, bias in pairs],
        "normalization": {"obs_mean": mean, "obs_std": std},
        "metadata": dict(metadata),
    }
    try:
        parse(PolicyFile, content, "")
    except InputError as error:
        raise ValueError(f"this actor cannot be written: {error}") from None
    write_atomically(path, encode_json(content, indent=None))


def read_policy(path: Path) -> PolicyFile:
    """Read an actor, in bounded time and memory; unknown keys are ignored.

    Raises:
        InputError: not this format, sizes that contradict each other, numbers that are not finite
            in float32, or more of them than any actor has.
        OSError: the system cannot read it.
    """
    data = read_bounded(path, NUMBER_BYTES * MAX_PARAMETERS + SLACK_BYTES)
    # Parsed, `[]` or `{}` take some 60 bytes for every 3 of the file: size alone bounds nothing.
    most = {"values": (b",", MAX_PARAMETERS), "lists": (b"[", MAX_ROWS), "objects": (b"{", 0)}
    for what, (mark, limit) in most.items():
        if (count := data.count(mark)) > limit + SLACK:
            raise InputError(str(path), f"{count} {what}", f"at most {limit + SLACK} are read")
    return parse(PolicyFile, decode_json(path, data), f"{path}: ")
