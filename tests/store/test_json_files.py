"""JSON files: what is written is read again; hostile ones are refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from pathb_jax.errors import InputError
from pathb_jax.store.json_files import read_json, write_json


def test_json_round_trip(tmp_path):
    value = {"b": np.float32(0.5), "a": [np.int64(2), None], "c": np.arange(2), "d": "ü"}
    write_json(tmp_path / "x.json", value)
    assert list(read_json(tmp_path / "x.json").items()) == [
        ("b", 0.5),
        ("a", [2, None]),
        ("c", [0, 1]),
        ("d", "ü"),
    ]
    write_json(tmp_path / "x.json", value, sort_keys=True)
    assert list(read_json(tmp_path / "x.json")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), ValueError), (np.float32("inf"), ValueError), ({1, 2}, TypeError)],
)
def test_json_refuses(tmp_path, value, error):
    with pytest.raises(error):
        write_json(tmp_path / "x.json", {"x": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"NaN",
        b"[1, -Infinity]",
        b"[" * 10**6,
        b"9" * 5000,
        b"[1,]",
        b"1" * 99,
    ],
    ids=range(9),
)
def test_hostile_json_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json") as raised:
        read_json(path, limit=98 if content == b"1" * 99 else 2**24)
    assert "\n" not in str(raised.value)


def test_json_that_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing", Path(os.devnull)):
        with pytest.raises(InputError):
            read_json(path)
