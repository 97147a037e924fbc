"""Pytrees as named host arrays: ``{"params.actor.0.kernel": array, ...}``.

Names instead of Python structure make a saved tree independent of the classes and the device it
came from; the structure comes back from a template.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import NonNegativeInt

from pathb_jax.store.models import Array, Model


class Leaf(Model):
    """What one leaf is: its shape and dtype, and for a typed random key its implementation.

    A random key has the shape of the key array and a dtype such as ``key<fry>``; ``words`` is then
    the number of uint32 words that stand for each key, else 0.
    """

    shape: Array[NonNegativeInt]
    dtype: str
    words: NonNegativeInt

    @classmethod
    def of(cls, value: Any) -> Self:
        """Describe an array, or anything with a shape and a dtype."""
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        is_key = jnp.issubdtype(dtype, jax.dtypes.prng_key)
        data = jax.eval_shape(jax.random.key_data, value).shape if is_key else (0,)
        # unchecked: a template may have any shape, which then differs from the saved one
        return cls.model_construct(shape=np.shape(value), dtype=str(dtype), words=data[-1])

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory; TypeError if there is no such dtype."""
        return self.size * (4 * self.words or jnp.dtype(self.dtype).itemsize)

    @property
    def stored_as(self) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the plain array that stands for the leaf."""
        return ((*self.shape, self.words), "uint32") if self.words else (self.shape, self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def named_leaves(tree: Any) -> tuple[dict[str, Any], Any]:
    """Return the tree's leaves by name, in its own order, and its structure.

    Raises:
        ValueError: two leaves have the same name (a dict with the keys 1 and "1").
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the tree have the same name")
    return named, structure


def snapshot(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, Leaf]]:
    """Copy every leaf to memory of our own; return arrays and descriptions by name.

    Raises:
        TypeError: a leaf is not numeric.
        ValueError: the tree holds no numbers at all, or names clash.
    """
    named, _ = named_leaves(tree)
    leaves = {name: Leaf.of(value) for name, value in named.items()}
    plain = {
        name: jax.random.key_data(value) if leaves[name].words else value
        for name, value in named.items()
    }
    for value in plain.values():
        if isinstance(value, jax.Array):
            value.copy_to_host_async()  # all transfers are under way before the first is awaited
    # copy: on a CPU device np.asarray is a view of the very buffer that is donated next
    arrays = {name: np.array(value, copy=True) for name, value in plain.items()}
    for name, array in arrays.items():
        if array.dtype.kind in "OSUMm":
            raise TypeError(f"{name} is no numeric array ({array.dtype})")
    if not any(array.size for array in arrays.values()):
        raise ValueError("the tree holds no numbers")
    return arrays, leaves


def find_mismatch(saved: Mapping[str, Leaf], template: Any) -> str | None:
    """Return the first difference between the saved leaves and a template's, or None.

    Args:
        saved: what there is.
        template: pytree of arrays or ``jax.ShapeDtypeStruct``.
    """
    named, _ = named_leaves(template)
    for name, value in named.items():
        if name not in saved:
            return f"it has no {name}"
        wanted = Leaf.of(value)
        if saved[name] != wanted:
            return f"{name} is {saved[name]}, expected {wanted}"
    extra = next((name for name in saved if name not in named), None)
    return None if extra is None else f"{extra} is not expected"


def rebuild(template: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the template's structure filled from ``arrays``.

    The result's leaves are NumPy arrays, but for typed random keys, which only JAX has.
    """
    named, structure = named_leaves(template)
    leaves = [
        _as_key(arrays[name], value) if Leaf.of(value).words else arrays[name]
        for name, value in named.items()
    ]
    return jax.tree.unflatten(structure, leaves)


def _as_key(words: np.ndarray, template: Any) -> jax.Array:
    """Return the typed random key of the template's implementation that ``words`` stand for."""
    names = []  # key_impl wants an array, and a template may have none: trace one
    jax.eval_shape(lambda key: names.append(str(jax.random.key_impl(key))), template)
    return jax.random.wrap_key_data(jnp.asarray(words), impl=names[0])
