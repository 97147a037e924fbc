"""Files of runs that hold figures no run could have: one line that names the place."""

import csv
import json

import numpy as np
import pytest
from test_artifacts import rows
from test_policy_file import actor

from pathb_jax.errors import InputError
from pathb_jax.store.artifacts import (
    read_evaluations,
    read_history,
    write_evaluations,
    write_history,
)
from pathb_jax.store.json_files import read_json
from pathb_jax.store.measures import EVALUATIONS_COLUMNS
from pathb_jax.store.policy_file import read_policy, write_policy


@pytest.fixture
def policy_json(tmp_path):
    path = tmp_path / "p.policy.json"
    write_policy(path, **actor())
    return path, json.loads(path.read_text())


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "h.csv"
    write_history(path, rows([1, 2, 3]))
    return path


@pytest.mark.parametrize("key", ["act_dim", "action_scale"])
def test_policies_that_no_world_can_take(policy_json, tmp_path, key):
    path, content = policy_json
    if key == "act_dim":  # all of it consistent
        three = {**content, "act_dim": 3, "parameter_count": 59}
        last = content["layers"][-1]
        weight, bias = [*last["weight"], last["weight"][0]], [*last["bias"], 0.0]
        three["layers"] = [*content["layers"][:-1], {"weight": weight, "bias": bias}]
        path.write_text(json.dumps(three))
        with pytest.raises(InputError, match=r"act_dim: 3 is not allowed; an action has 2 numbers"):
            read_policy(path)
        return
    for scale in (1e300, 3.5e38, 1e-39, 5e-324, 0, -1.0, -1e300):
        path.write_text(json.dumps({**content, "action_scale": scale}))
        with pytest.raises(InputError, match=r"action_scale: .*give a number >= 1\.17549"):
            read_policy(path)
        with pytest.raises(ValueError, match="action_scale"):
            write_policy(tmp_path / "p.json", **{**actor(), "action_scale": scale})
    for scale in (1e-30, 1e38):
        path.write_text(json.dumps({**content, "action_scale": scale}))
        assert read_policy(path).action_scale == scale


@pytest.mark.parametrize("number", ["1e999", "-1E+400", "0.1e9999999", "1" * 400 + ".5"])
def test_json_numbers_beyond_what_is_finite(tmp_path, number):
    path = tmp_path / "x.json"
    path.write_text(f'{{"a": [{number}]}}')
    with pytest.raises(InputError, match="number"):
        read_json(path)
    path.write_text('{"a": [1e100, 1e-999, 1.5], "b": "1e999"}')
    assert read_json(path) == {"a": [1e100, 0.0, 1.5], "b": "1e999"}


def spoilt(path, name, cell, row=1):
    """Put a text into one cell of a table."""
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    rows[row + 1][rows[0].index(name)] = cell
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


@pytest.mark.parametrize("cell", ["x", "1,5", "0x10", "--", "1e", "[/y]", "=1+1", "True", "1 2"])
@pytest.mark.parametrize("name", ["update", "value_loss", "log_std"])
def test_text_in_a_history(history, name, cell):
    spoilt(history, name, cell)
    with pytest.raises(InputError, match=rf"line 3: {name}: .* has to be a"):
        read_history(history)


@pytest.mark.parametrize("cell", ["inf", "nan", "", "-1", "1.5", "1e300", "9" * 30])
@pytest.mark.parametrize("name", ["update", "env_steps"])
def test_counts_of_a_history(history, name, cell):
    spoilt(history, name, cell)
    with pytest.raises(InputError, match=rf"line 3: {name}: .* has to be a whole number"):
        read_history(history)


@pytest.mark.parametrize("cell", ["inf", "-inf", "nan", "", "1e999"])
def test_figures_of_a_history_may_be_missing(history, cell):
    """The ladder's stages say so; see test_acceptance.py."""
    spoilt(history, "value_loss", cell)
    assert not np.isfinite(read_history(history)["value_loss"][1])


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("seeds", "0"),
        ("seeds", "-64"),
        ("seeds", "inf"),
        ("seeds", "text"),
        ("seed_start", "1.5"),
        ("success_rate", "1.01"),
        ("success_rate", "-0.5"),
        ("success_rate", "inf"),
        ("success_rate", ""),
        ("mean_terminal_alignment", "1e999"),
        ("mean_steps", "many"),
        ("update", "nan"),
    ],
)
def test_in_run_evaluations_hold_figures(tmp_path, name, cell):
    path = tmp_path / "e.csv"
    row = dict.fromkeys(EVALUATIONS_COLUMNS, 0.5) | dict.fromkeys(EVALUATIONS_COLUMNS[:4], 64)
    write_evaluations(path, {column: np.full(2, cell) for column, cell in row.items()})
    assert read_evaluations(path)["seeds"].tolist() == [64, 64]
    spoilt(path, name, cell)
    with pytest.raises(InputError, match=r"e\.csv, line 3: "):
        read_evaluations(path)
