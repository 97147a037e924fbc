"""A record against the protocol that it names."""

import hashlib
import json

import pytest

from pathb_jax.cli.ladder import main
from pathb_jax.errors import InputError
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.ladder.reading import read_ladder
from pathb_jax.report.note import write_note


@pytest.fixture
def record(tmp_path, pretend):
    """The finished record of a canonical ladder, as plain data."""
    pretend()
    protocol = load_protocol("path_b")
    plan = LadderPlan(protocol, planned_run(protocol), tmp_path)
    run_ladder(plan)
    return json.loads(plan.record_path.read_text())


def own_text(record):
    text = record["protocol"]["text"] + "# mine\n"
    record["protocol"] |= {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def registered(record):
    record["standing"], record["canonical"] = "registered", False


def dropped(record):
    del record["candidates"][2]


def exchanged(record):
    record["candidates"][2] |= {"tag": "mine"}


def another_change(record):
    record["candidates"][1]["hparams"] = {"value_coef": 0.3}


def another_prediction(record):
    record["predictions"]["GG4"] = "confirmed"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (own_text, "ladder.json: standing: 'canonical'"),
        (registered, "ladder.json: standing: 'registered'"),
        (dropped, "ladder.json: candidates: ['lr1e4', 'vc0_25', 'clip0_1']"),
        (exchanged, "ladder.json: candidates: "),
        (another_change, "ladder.json: candidates[1]: (2, 'vc0_25', {'value_coef': 0.3})"),
        (another_prediction, "ladder.json: predictions: ['GG1', 'GG2', 'GG3', 'GG4']"),
    ],
)
def test_a_record_that_its_protocol_contradicts(tmp_path, record, edit, said):
    path = tmp_path / "ladder.json"
    assert read_ladder(path).standing == "canonical"
    edit(record)
    path.write_text(json.dumps(record))
    before = sorted(tmp_path.rglob("*"))
    for reader in (read_ladder, write_note):
        with pytest.raises(InputError) as raised:
            reader(path)
        assert str(raised.value).startswith(said)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_candidates_is_one_line(tmp_path, record, capsys):
    (tmp_path / "ladder.json").write_text(json.dumps(record | {"candidates": []}))
    assert main(["--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ladder.json: candidates: []")
