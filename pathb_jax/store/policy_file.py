"""The portable actor, ``mesa-policy-json-v1`` (docs/spec/ladder.md, "Files").

Reading it: o = (obs - mean) / max(std, 1e-8); each layer is weight @ x + bias and then tanh, the
last too; times action_scale; the norm clipped to 1.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pathb_jax.errors import InputError
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import decode_json, encode_json, read_bounded

FORMAT = "mesa-policy-json-v1"
MAX_PARAMETERS = 2**23
"""Twice the actor of tier Large: what a file may declare."""
NUMBER_BYTES = 48
"""More than any float64 takes as JSON, comma, line end and indentation included."""
SLACK_BYTES = 2**18
"""For everything in the file but the declared numbers; metadata included."""
ACT_DIM = 2
"""A step of the point: x and y."""
SMALLEST, LARGEST = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
"""What float32 holds without underflow or overflow."""
SIZES = ("obs_dim", "act_dim", "hidden_size", "depth")

Layers = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class PolicyFile:
    """What a policy file says.

    Args:
        family, variant, tier: names as the trainer's.
        obs_dim, act_dim, hidden_size: widths. depth: hidden layers.
        action_scale: factor on the last layer's tanh.
        layers: depth + 1 pairs of weight ``[out, in]`` and bias ``[out]``, float32.
        obs_mean, obs_std: ``[obs_dim]``, float32.
        metadata: whatever the writer added.
    """

    family: str
    variant: str
    tier: str
    obs_dim: int
    act_dim: int
    hidden_size: int
    depth: int
    action_scale: float
    layers: Layers
    obs_mean: np.ndarray
    obs_std: np.ndarray
    metadata: dict[str, Any]

    @property
    def parameter_count(self) -> int:
        """Weights and biases of the layers; log_std is not in the file and not counted."""
        return _count({name: getattr(self, name) for name in SIZES})


def layer_shapes(obs_dim: int, act_dim: int, hidden_size: int, depth: int) -> list[tuple[int, int]]:
    """Return each layer's (outputs, inputs)."""
    widths = [obs_dim, *[hidden_size] * depth, act_dim]
    return [(rows, columns) for columns, rows in itertools.pairwise(widths)]


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
        family: of the variant, such as ``L-Mixed``.
        variant: the trainer's name for it.
        tier: ``Small``, ``Medium`` or ``Large``.
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
    pairs = tuple((np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in layers)
    mean, std = np.asarray(obs_mean, np.float32), np.asarray(obs_std, np.float32)
    obs_dim, act_dim = mean.size, pairs[-1][1].size
    policy = PolicyFile(
        family=family,
        variant=variant,
        tier=tier,
        obs_dim=obs_dim,
        act_dim=act_dim,
        hidden_size=hidden_size,
        depth=depth,
        action_scale=float(action_scale),
        layers=pairs,
        obs_mean=mean,
        obs_std=std,
        metadata=dict(metadata),
    )
    wrong = _inconsistency(policy)
    if wrong is not None:
        raise ValueError(f"this actor cannot be written: {wrong[0]}: {wrong[1]}; {wrong[2]}")
    content = {
        "format": FORMAT,
        "family": family,
        "variant": variant,
        "tier": tier,
        "obs_dim": obs_dim,
        "act_dim": act_dim,
        "activation": "tanh",
        "action_scale": policy.action_scale,
        "hidden_size": hidden_size,
        "depth": depth,
        "parameter_count": policy.parameter_count,
        "layers": [{"weight": w.tolist(), "bias": b.tolist()} for w, b in pairs],
        "normalization": {"obs_mean": mean.tolist(), "obs_std": std.tolist()},
        "metadata": policy.metadata,
    }
    write_atomically(path, encode_json(content, indent=None))


def read_policy(path: Path) -> PolicyFile:
    """Read an actor, in time and memory bounded by its declared size; unknown keys are ignored.

    Raises:
        InputError: not this format, sizes that contradict each other, numbers that are not finite
            in float32, or a file much larger than its declared size.
        OSError: the system cannot read it.
    """
    limit = NUMBER_BYTES * MAX_PARAMETERS + SLACK_BYTES
    data = read_bounded(path, limit)
    sizes = _declared_sizes(path, data)
    _refuse_bulk(path, data, sizes)
    content = decode_json(path, data)
    del data
    allowed = f"it has to be a policy file of format {FORMAT}"
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(str(path), "another format", allowed)
    try:
        policy = _parse(content)
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}", "missing", allowed) from None
    except OverflowError:
        raise InputError(f"{path}: action_scale", "too large", "it has to be finite") from None
    except _WrongFieldError as error:
        raise InputError(f"{path}: {error.args[0]}", error.args[1], error.args[2]) from None
    for name in SIZES:  # a key spelt with escapes is not seen before parsing
        if getattr(policy, name) > sizes[name]:
            raise InputError(f"{path}: {name}", getattr(policy, name), "it is spelt with escapes")
    wrong = _inconsistency(policy) or _miscount(policy, content["parameter_count"])
    if wrong is not None:
        raise InputError(f"{path}: {wrong[0]}", wrong[1], wrong[2])
    return policy


class _WrongFieldError(Exception):
    """Field, value, what is allowed."""


def _declared_sizes(path: Path, data: bytes) -> dict[str, int]:
    """Find bounds of the sizes: a hostile file must not be parsed before they are known."""
    sizes = dict.fromkeys(SIZES, 0)
    for name in SIZES:
        pattern = rb'"%s"\s{0,9}:\s{0,9}(\d{1,7})(?![\d.eE])' % name.encode()
        for found in re.finditer(pattern, data):  # metadata may use the same name: take the largest
            sizes[name] = max(sizes[name], int(found[1]))
        if sizes[name] < 1:
            raise InputError(f"{path}: {name}", "missing", "it has to be a positive integer")
    if sizes["depth"] > 100 or _count(sizes) > MAX_PARAMETERS:
        raise InputError(
            str(path), sizes, f"at most 100 layers and {MAX_PARAMETERS} parameters are read"
        )
    return sizes


def _count(sizes: Mapping[str, int]) -> int:
    return sum(rows * (columns + 1) for rows, columns in layer_shapes(**sizes))


def _refuse_bulk(path: Path, data: bytes, sizes: Mapping[str, int]) -> None:
    """Refuse a file that holds more bytes, values or brackets than its declared sizes account for.

    Parsed, ``[]`` or ``{}`` take some 60 bytes for every 3 of the file: size alone bounds nothing.
    """
    numbers = _count(sizes) + 2 * sizes["obs_dim"]
    rows = sum(shape[0] for shape in layer_shapes(**sizes))
    slack = SLACK_BYTES // 16
    found = {
        "bytes": (len(data), NUMBER_BYTES * numbers + SLACK_BYTES),
        "commas": (data.count(b","), numbers + slack),
        "lists": (data.count(b"["), rows + slack),
        "objects": (data.count(b"{"), slack),
    }
    for what, (count, most) in found.items():
        if count > most:
            raise InputError(str(path), f"{count} {what}", f"its declared sizes allow {most}")


def _parse(content: dict[str, Any]) -> PolicyFile:
    """Check every field's type and build the policy, or raise KeyError or _WrongFieldError."""
    if content["activation"] != "tanh":
        raise _WrongFieldError("activation", str(content["activation"])[:80], "it has to be 'tanh'")
    _typed(content, "parameter_count", int, "an integer")
    _numbers("action_scale", [content["action_scale"]])
    layers = _typed(content, "layers", list, "a list")
    normalization = _typed(content, "normalization", dict, "an object")
    pairs = []
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict):
            raise _WrongFieldError(f"layers[{index}]", type(layer).__name__, "it is an object")
        name = f"layers[{index}]"
        rows = _typed(layer, "weight", list, "a list of rows")
        weight = [_numbers(f"{name}.weight", row) for row in rows]
        if len({row.size for row in weight}) != 1:
            raise _WrongFieldError(f"{name}.weight", "ragged", "its rows have one length")
        pairs.append((np.stack(weight), _numbers(f"{name}.bias", layer["bias"])))
    return PolicyFile(
        family=_typed(content, "family", str, "a string"),
        variant=_typed(content, "variant", str, "a string"),
        tier=_typed(content, "tier", str, "a string"),
        **{name: _typed(content, name, int, "an integer") for name in SIZES},
        action_scale=float(content["action_scale"]),
        layers=tuple(pairs),
        obs_mean=_numbers("normalization.obs_mean", normalization["obs_mean"]),
        obs_std=_numbers("normalization.obs_std", normalization["obs_std"]),
        metadata=_typed(content, "metadata", dict, "an object"),
    )


def _typed(content: dict[str, Any], name: str, kind: type, what: str) -> Any:
    if type(content[name]) is not kind:
        raise _WrongFieldError(name, type(content[name]).__name__, f"it has to be {what}")
    return content[name]


def _numbers(name: str, values: Any) -> np.ndarray:
    """Return a list of JSON numbers as float32 ``[n]``; one that overflows it becomes infinite."""
    if type(values) is not list or not {type(value) for value in values} <= {int, float}:
        raise _WrongFieldError(name, "something else", "it has to be a list of numbers")
    try:
        with np.errstate(over="ignore"):
            return np.array(values, np.float64).astype(np.float32)
    except OverflowError:  # an integer beyond float64
        return np.full(len(values), np.inf, np.float32)


def _miscount(policy: PolicyFile, declared: int) -> tuple[str, object, str] | None:
    expected = policy.parameter_count
    if declared in (expected, expected + policy.act_dim):  # with log_std, as others may count
        return None
    return "parameter_count", declared, f"these sizes make {expected}"


def _inconsistency(policy: PolicyFile) -> tuple[str, object, str] | None:
    """Return (field, value, what is allowed) of the first contradiction, or None."""
    widths = (policy.obs_dim, policy.act_dim, policy.hidden_size, policy.depth)
    if min(widths) < 1:
        return "sizes", widths, "they have to be positive"
    if policy.act_dim != ACT_DIM:
        return "act_dim", policy.act_dim, f"an action has {ACT_DIM} numbers"
    shapes = [(weight.shape, bias.shape) for weight, bias in policy.layers]
    expected = [((rows, columns), (rows,)) for rows, columns in layer_shapes(*widths)]
    if len(shapes) != len(expected):
        return "layers", len(shapes), f"depth {policy.depth} makes {len(expected)}"
    for index, (shape, wanted) in enumerate(zip(shapes, expected, strict=True)):
        if shape != wanted:
            return f"layers[{index}]", shape, f"the declared sizes make {wanted}"
    for name in ("obs_mean", "obs_std"):
        if getattr(policy, name).shape != (policy.obs_dim,):
            return name, getattr(policy, name).shape, f"it has to be {(policy.obs_dim,)}"
    arrays = {"obs_mean": policy.obs_mean, "obs_std": policy.obs_std}
    for index, (weight, bias) in enumerate(policy.layers):
        arrays |= {f"layers[{index}].weight": weight, f"layers[{index}].bias": bias}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            return name, "not finite", "every number has to be finite in float32"
    if not SMALLEST <= policy.action_scale <= LARGEST:
        allowed = f"it has to be positive and finite in float32: {SMALLEST:.2g} to {LARGEST:.2g}"
        return "action_scale", policy.action_scale, allowed
    if (policy.obs_std < 0).any():
        return "obs_std", float(policy.obs_std.min()), "it cannot be negative"
    return None
