"""The examples in docstrings say what the code does."""

import doctest
import importlib
from pathlib import Path

import pytest

import pathb_jax

PACKAGE = Path(pathb_jax.__file__).parent


def modules_with_examples():
    # The link to envs/ is a folder of its own; glob does not follow it.
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE / "envs").glob("*.py")]
    named = {
        ".".join(("pathb_jax", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in files
        if ">>>" in path.read_text(encoding="utf-8")
    }
    return sorted(named)


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


@pytest.mark.parametrize(
    "name", ["envs.fields", "learn.advantages", "learn.networks", "learn.update"]
)
def test_formulas_have_examples(name):
    assert f"pathb_jax.{name}" in modules_with_examples()
