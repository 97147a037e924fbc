"""Strategies for bad input: flags, and files that are nearly right."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

_PLAIN = """
-1 0 1 4 1e400 -1e400 nan inf -inf 1e-400 0x10 1_000 4294967296 18446744073709551616 1.5 true None
null - -- -h5 --no-such = a=b {} [] . .. ~ %s $HOME file file/below folder /proc/self/mem /dev/null
/dev/full pipe Small Large linear:0 linear:nan linear: cpu gpu tpu oracle é 日本 \U0001f600 \udc80
"""
_WORDS = [
    *_PLAIN.split(),
    *("", " ", "\n", "a\nb", "\x1b[31m", "9" * 400, "a" * 300, "b/" * 3000),
]
WORDS = st.one_of(
    st.sampled_from(_WORDS),
    st.text(st.characters(blacklist_characters="\0"), max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
"""What may stand on a command line (it cannot hold a NUL)."""

_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, 10**400),
    *(0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "\n", "a" * 300, "../up", "/etc/passwd", "\0", "nan", "float32", "object", "|O8"),
    *([], {}, [[]], [None], {"": None}, [1e308] * 3),
    *([10**9, 10**9], [2**40], [-1], [0], [[0.0] * 3] * 2),
]
VALUES = st.one_of(
    st.sampled_from(_VALUES),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
"""What may stand in a file in the place of something else."""


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values in a tree of dicts and lists; of a long list, the ends."""
    found = [path] if path else []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = [(i, tree[i]) for i in sorted({0, len(tree) // 2, len(tree) - 1}) if tree]
    else:
        items = []
    for key, value in items:
        found += places(value, (*path, key))
    return found


@st.composite
def changed_tree(draw: Any, tree: Any) -> Any:
    """Return a copy with one to three values replaced, removed, renamed, doubled or deepened."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        if not (there := places(tree)):
            return tree
        *path, last = draw(st.sampled_from(there))
        parent = tree
        for key in path:
            parent = parent[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "rename", "double", "deepen"]))
        if how == "replace":
            parent[last] = draw(VALUES)
        elif how == "remove":
            del parent[last]
        elif how == "rename" and isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = parent.pop(last)
        elif how == "double" and isinstance(parent, list):
            parent.append(parent[last])
        elif how == "deepen":
            for _ in range(draw(st.sampled_from([1, 2, 150]))):
                parent[last] = [parent[last]]
    return tree


@st.composite
def changed_bytes(draw: Any, data: bytes) -> bytes:
    """Return the bytes cut, flipped, doubled, or with others put in."""
    at = draw(st.integers(0, len(data)))
    how = draw(st.sampled_from(["cut", "flip", "insert", "swap", "empty", "nul", "repeat"]))
    if how == "cut":
        return data[:at]
    if how == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
    if how == "insert":
        return data[:at] + draw(st.binary(max_size=20)) + data[at:]
    if how == "swap":
        return data[at:] + data[:at]
    if how == "nul":
        return data[:at] + bytes(len(data) - at)
    if how == "repeat":
        return data + data[at:]
    return b""


def as_json(tree: Any) -> bytes:
    """Return JSON text, Python's NaN and Infinity included: a writer less strict than ours."""
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def json_file(tree: Any) -> Any:
    """Strategy for a file that is nearly this JSON."""
    return st.one_of(changed_tree(tree).map(as_json), changed_bytes(as_json(tree)))
