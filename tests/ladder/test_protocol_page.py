"""docs/PROTOCOL.md has every field that a protocol file may have, and no other."""

import re
import tomllib
from typing import Any, get_args

import pydantic
import pytest
from small_protocol import shipped_table, write_toml

from pathb_jax.ladder.content import Content
from pathb_jax.ladder.knobs import ChangeTable
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.ladder.stages import KINDS, Stages
from pathb_jax.store.models import to_json


def tables_of(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """The tables that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in tables_of(part)]


def fields_of(table: type[pydantic.BaseModel]) -> set[str]:
    names = set()
    for name, field in table.model_fields.items():
        names.add(name)
        for inside in tables_of(field.annotation):
            names |= fields_of(inside)
    return names


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page(page):
    known = fields_of(Content) | set(ChangeTable.__annotations__) | {"kind", *KINDS}
    for kind in KINDS.values():
        known |= fields_of(kind)
    assert Content.model_fields["stages"].annotation is Stages
    assert len(known) > 70
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    rows = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert known - rows == set()
    assert rows - known == set()


def test_its_example_is_a_protocol(page, tmp_path):
    """What the page shows is read, in the place of what the shipped protocol has."""
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shown = tomllib.loads("\n".join(blocks))
    assert {"stages", "voting", "candidates"} <= set(shown)
    kept = {**shipped_table(), **shown, "predictions": [], "evaluation": {"seeds": 32}}
    del kept["compute"]
    protocol = load_protocol(write_toml(tmp_path / "shown.toml", kept))
    assert to_json(protocol)["stages"] == shown["stages"]
    assert protocol.candidates[0].baseline
