"""The files of a run: names, columns, keys; whole or not at all; hostile input refused."""

import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.errors import InputError
from pathb_jax.store import artifacts, policy_file
from pathb_jax.store.artifacts import (
    append_history,
    read_evaluation_summary,
    read_evaluations,
    read_history,
    write_evaluation,
    write_evaluations,
    write_history,
)
from pathb_jax.store.atomic import write_atomically
from pathb_jax.store.json_files import read_json, write_json
from pathb_jax.store.measures import EVALUATION_COLUMNS, EVALUATIONS_COLUMNS, SUMMARY_KEYS
from pathb_jax.store.policy_file import read_policy, write_policy
from pathb_jax.store.run_files import RunFiles, slug
from pathb_jax.store.tables import append_table, read_table, write_table


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


# -- whole files


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert listing(path.parent) == ["file"]
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("broken", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, broken, error):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(broken, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


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
    assert listing(tmp_path) == []


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


# -- names


def test_slug_and_files():
    label = "mixed_0_90_pathb_lr1e4"
    name = slug("mixed_ppo_phase3_lambda_0_9", "Large", 0, label)
    assert name == f"mixed_ppo_phase3_lambda_0_9_large_seed_0_{label}"
    files = RunFiles(Path("out"), "S")
    assert {str(path) for path in (files.checkpoints, files.history, files.evaluations)} == {
        "out/checkpoints/S",
        "out/logs/S_history.csv",
        "out/logs/S_evaluations.csv",
    }
    assert str(files.policy) == "out/policies/S.policy.json"
    assert str(files.manifest) == "out/manifests/S.json"
    assert str(files.evaluation_csv(10000, first=True)) == "out/logs/S_evaluation.csv"
    assert str(files.evaluation_csv(20000, first=False)) == "out/logs/S_evaluation_seed_20000.csv"
    summary = files.evaluation_summary(10000, first=True)
    assert str(summary) == "out/logs/S_evaluation_summary.json"
    summary = files.evaluation_summary(20000, first=False)
    assert str(summary) == "out/logs/S_evaluation_seed_20000_summary.json"


@pytest.mark.parametrize("label", ["a/b", "..\\x", "a b", "ü", "x\n", "x" * 121])
def test_slug_refuses_what_is_no_file_name(label):
    with pytest.raises(InputError, match="--run-label"):
        slug("v", "Small", 0, label)


HISTORY_COLUMNS = (*artifacts.PINNED_HISTORY_COLUMNS, "grad_norm", *artifacts.WALL_CLOCK_COLUMNS)


def test_columns_are_the_contracts():
    assert ",".join(HISTORY_COLUMNS) == (
        "update,env_steps,mean_reward,episode_done_rate,policy_loss,value_loss,entropy,approx_kl,"
        "clip_frac,explained_variance,log_std,grad_norm,wall_seconds,env_steps_per_second"
    )
    assert ",".join(EVALUATION_COLUMNS) == (
        "seed,terminalOutcome,steps,terminalAlignment,terminalDistance,pathEfficiency,"
        "saturationCount"
    )
    assert ",".join(EVALUATIONS_COLUMNS) == (
        "update,env_steps,seed_start,seeds,success_rate,mean_terminal_alignment,mean_steps"
    )


# -- the history


def rows(updates, dtype=np.float32):
    """Return history rows whose figures are of that precision, by column."""
    updates = np.asarray(updates)
    random = np.random.default_rng(int(updates.sum()))
    figures = random.standard_normal((len(updates), len(HISTORY_COLUMNS) - 2)).astype(dtype)
    return by_column(np.column_stack([updates, updates * 8192, figures]))


def by_column(rows):
    return dict(zip(HISTORY_COLUMNS, rows.T, strict=True))


@pytest.fixture
def history(tmp_path):
    """The path of a history of three rows."""
    path = tmp_path / "h.csv"
    write_history(path, rows([1, 2, 3]))
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_history_round_trip_is_bit_equal(tmp_path, dtype):
    first, second = rows([1, 2, 3], dtype), rows([4], dtype)
    write_history(tmp_path / "h.csv", first)
    append_history(tmp_path / "h.csv", second)
    read = read_history(tmp_path / "h.csv")
    assert tuple(read) == HISTORY_COLUMNS
    for name, column in read.items():
        figures = np.concatenate([first[name], second[name]])
        assert column.dtype == (np.int64 if name in ("update", "env_steps") else np.float64)
        assert column.tobytes() == figures.astype(column.dtype).tobytes()


@given(
    st.lists(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False),
            min_size=len(HISTORY_COLUMNS) - 2,
            max_size=len(HISTORY_COLUMNS) - 2,
        ),
        max_size=3,
    ),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_appending_writes_what_a_rewrite_would(tmp_path_factory, figures, data):
    """In whichever chunks the rows come, empty ones among them."""
    folder = tmp_path_factory.mktemp("chunks")
    figures = np.reshape(np.array(figures), (-1, len(HISTORY_COLUMNS) - 2))
    updates = np.arange(1, len(figures) + 1)
    whole = np.column_stack([updates, updates * 8192, figures])
    write_history(folder / "whole.csv", by_column(whole))
    ends = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=1, max_size=3)))
    write_history(folder / "h.csv", by_column(whole[: ends[0]]))
    for start, end in zip(ends, [*ends[1:], len(whole)], strict=True):
        append_history(folder / "h.csv", by_column(whole[start:end]))
    assert (folder / "h.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_history_starts_empty(tmp_path):
    path = tmp_path / "logs" / "h.csv"
    write_history(path, rows([]))
    assert path.read_text() == ",".join(HISTORY_COLUMNS) + "\n"
    assert read_history(path)["update"].size == 0


def test_history_figures_as_text(tmp_path):
    figures = np.array([[3, 2**40, 1e-9, -2.0, *[0.1] * 10]])
    write_history(tmp_path / "h.csv", by_column(figures))
    line = (tmp_path / "h.csv").read_text().splitlines()[1]
    assert line == "3,1099511627776,1e-09,-2.0" + ",0.1" * 10
    assert read_history(tmp_path / "h.csv")["env_steps"].tolist() == [2**40]


@pytest.mark.parametrize("write", [write_history, append_history])
@pytest.mark.parametrize("column", ["update", "env_steps", "entropy", "wall_seconds"])
@pytest.mark.parametrize("figure", [np.nan, np.inf, -np.inf])
def test_figures_that_are_not_finite_are_refused_whole(history, write, column, figure):
    whole = history.read_bytes()
    bad = rows([4, 5])
    bad[column][1] = figure
    with pytest.raises(ValueError, match=f"column {column}"):
        write(history, bad)
    assert history.read_bytes() == whole


@pytest.mark.parametrize("write", [write_history, append_history])
def test_a_figure_that_may_be_missing_is_an_empty_cell(history, write):
    more = rows([4, 5])
    more["entropy"][:] = np.nan
    write(history, more, ("entropy",))
    *_, line = history.read_text().splitlines()
    assert line.split(",")[HISTORY_COLUMNS.index("entropy")] == ""
    read = read_history(history)
    assert np.isnan(read["entropy"][-2:]).all()
    assert read["entropy"].dtype == np.float64
    more["entropy"][1] = np.inf
    with pytest.raises(ValueError, match="column entropy"):
        write(history, more, ("entropy",))


def test_rows_of_another_form_are_refused(history):
    whole = history.read_bytes()
    without = {name: x for name, x in rows([4]).items() if name != "entropy"}
    for bad in (rows([4.5]), without):
        for write in (write_history, append_history):
            with pytest.raises(ValueError, match=r"column update|missing column: entropy"):
                write(history, bad)
    with pytest.raises(InputError, match="its columns have to be"):
        append_history(history, {**rows([4]), "more": np.zeros(1)})
    assert history.read_bytes() == whole


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [2]},
        {"a": [2], "c": [3.0]},
        {"a": [2], "b": [3.0], "c": [4.0]},
        {"b": [3.0], "a": [2]},
        {"a": [2], "b": [3.0, 4.0]},
        {"a": [2], "b": [[3.0]]},
    ],
    ids=["missing", "renamed", "unknown", "reordered", "longer", "two axes"],
)
def test_appended_columns_have_to_be_the_files(tmp_path, columns):
    path = tmp_path / "t.csv"
    write_table(path, {"a": [1], "b": [0.5]})
    with pytest.raises(ValueError, match=r"columns have to be|length|1-dimensional"):
        append_table(path, columns)
    assert path.read_text() == "a,b\n1,0.5\n"


@pytest.mark.parametrize("content", ["", "update,env_st", "a,b\n1,2\n"])
def test_another_file_is_not_appended_to(tmp_path, content):
    path = tmp_path / "h.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"h\.csv: '"):
        append_history(path, rows([1]))
    assert path.read_text() == content


def test_history_deleted_during_the_run(history):
    history.unlink()
    with pytest.raises(FileNotFoundError):
        append_history(history, rows([4]))
    assert not history.exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_append_leaves_the_earlier_rows(history, monkeypatch, error):
    whole = history.read_bytes()

    def fail(*_):
        assert len(history.read_bytes()) > len(whole)  # on its way to the disk, not in a buffer
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", fail)
        with pytest.raises(type(error)):
            append_history(history, rows([4]))
    assert history.read_bytes() == whole
    append_history(history, rows([4]))
    assert read_history(history)["update"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("room", [0, 1, 100])
def test_append_that_the_disk_takes_in_part(history, room):
    """A limit on the size of files fails a write as a full disk does: after some of its bytes."""
    whole = history.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            append_history(history, rows([4, 5]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert history.read_bytes() == whole


def test_reading_ignores_a_line_still_being_written(history):
    whole = history.read_bytes()
    start = whole.index(b"\n") + 1
    for length in range(start, len(whole) + 1, 5):
        history.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n") - 1
        assert read_history(history)["update"].tolist() == [1, 2, 3][:complete]


def test_reading_a_history_of_other_origin(tmp_path):
    """Other columns, another order, empty and NaN cells: judged later, not refused here."""
    names = ["extra", *artifacts.PINNED_HISTORY_COLUMNS[::-1]]
    path = tmp_path / "h.csv"
    path.write_text(",".join(names) + "\r\n" + "text," + "nan,," + ",".join("123456789") + "\r\n")
    read = read_history(path)
    assert np.isnan([read["log_std"][0], read["explained_variance"][0]]).all()
    assert (read["update"][0], read["extra"][0]) == (9, "text")


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"update\n", b"\x00\xff\n", b'"', b"update,update\n1,2\n"]
)
def test_bad_history_is_bad_input(tmp_path, content):
    (tmp_path / "h.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"h\.csv"):
        read_history(tmp_path / "h.csv")


def test_too_many_columns_are_refused_at_once(tmp_path):
    (tmp_path / "h.csv").write_bytes(b"update" + b"," * 10**6 + b"\n")
    with pytest.raises(InputError, match=r"1000001 columns"):
        read_history(tmp_path / "h.csv")


def test_ragged_history_names_the_line(history):
    with history.open("a") as stream:
        stream.write("4,5\n")
    with pytest.raises(InputError, match="line 5"):
        read_history(history)


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_as_history(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "h.csv"
    header = ",".join(HISTORY_COLUMNS).encode() + b"\n"
    for start in (b"", header, header + b"1,8192" + b",0.5" * 12 + b"\n"):
        path.write_bytes(start + content)
        try:
            columns = read_history(path)
            assert len({len(column) for column in columns.values()}) == 1
        except InputError:
            pass


# -- evaluations


def evaluation(update, seed_start, **changes):
    values = (update, update * 8192, seed_start, 32, 0.25, 0.5, 180.0)
    return dict(zip(EVALUATIONS_COLUMNS, values, strict=True)) | changes


def evaluations(*rows):
    return {name: np.array([row[name] for row in rows], float) for name in EVALUATIONS_COLUMNS}


def test_in_run_evaluations(tmp_path):
    path = tmp_path / "e.csv"
    write_evaluations(path, evaluations())
    assert read_evaluations(path)["update"].size == 0
    write_evaluations(path, evaluations(*(evaluation(u, s) for u in (0, 10) for s in (1, 2))))
    assert read_evaluations(path)["update"].tolist() == [0, 0, 10, 10]
    assert read_evaluations(path)["seed_start"].tolist() == [1, 2, 1, 2]
    assert path.read_text().splitlines()[1] == "0,0,1,32,0.25,0.5,180.0"


def test_bad_in_run_evaluations_are_refused_whole(tmp_path):
    path = tmp_path / "e.csv"
    write_evaluations(path, evaluations(evaluation(0, 1)))
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="column success_rate"):
        write_evaluations(path, evaluations(evaluation(10, 1, success_rate=np.nan)))
    with pytest.raises(ValueError, match="missing column: mean_steps"):
        write_evaluations(path, dict.fromkeys(EVALUATIONS_COLUMNS[:-1], np.zeros(1)))
    assert path.read_bytes() == whole


def evaluation_set():
    columns = {
        "pathLength": np.array([1.5, 2.5], np.float32),
        "seed": np.array([10000, 10001]),
        "terminalOutcome": ["success", 'time,"out"'],
        "steps": np.array([12, 200], np.int32),
        "terminalAlignment": np.array([0.99, 0.1], np.float32),
        "terminalDistance": np.array([0.1, 3.0]),
        "pathEfficiency": np.array([0.9, 0.2]),
        "saturationCount": np.array([0, 4]),
    }
    summary = dict.fromkeys(reversed(SUMMARY_KEYS), 1) | {"more": 2}
    return columns, summary


def test_evaluation_files(tmp_path):
    files = RunFiles(tmp_path, "S")
    columns, summary = evaluation_set()
    write_evaluation(files.own_set(10000, first=True), columns, summary)
    csv_path = files.evaluation_csv(10000, first=True)
    header = csv_path.read_text().splitlines()[0]
    assert header == ",".join([*EVALUATION_COLUMNS, "pathLength"])
    read = read_table(csv_path, EVALUATION_COLUMNS)
    assert read["terminalOutcome"].tolist() == columns["terminalOutcome"]
    assert read["terminalAlignment"].tolist() == columns["terminalAlignment"].tolist()
    assert read["saturationCount"].dtype == np.int64
    summary_path = files.evaluation_summary(10000, first=True)
    assert list(read_evaluation_summary(summary_path)) == [*SUMMARY_KEYS, "more"]


@pytest.mark.parametrize("part", ["column", "key", "figure", "summary"])
def test_incomplete_evaluation_writes_nothing(tmp_path, part):
    columns, summary = evaluation_set()
    if part == "column":
        del columns["steps"]
    elif part == "key":
        del summary["env_config"]
    elif part == "figure":
        columns["pathLength"] = np.array([1.0, np.nan])
    else:
        summary["success_rate"] = float("nan")
    with pytest.raises(ValueError, match=r"missing|finite|JSON"):
        write_evaluation(RunFiles(tmp_path, "S").own_set(10000, True), columns, summary)
    assert listing(tmp_path) == []


def test_summary_of_another_kind(tmp_path):
    for content in ("[]", "{}", '{"seeds": 1}'):
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(InputError):
            read_evaluation_summary(tmp_path / "s.json")


# -- the policy file


def actor(obs_dim=5, act_dim=2, hidden_size=4, depth=2, seed=0):
    random = np.random.default_rng(seed)
    shapes = policy_file.layer_shapes(obs_dim, act_dim, hidden_size, depth)
    return {
        "family": "L-Mixed",
        "variant": "mixed_ppo_phase3_lambda_0_9",
        "tier": "Small",
        "layers": [
            (
                random.standard_normal(shape).astype(np.float32),
                random.standard_normal(shape[0]).astype(np.float32),
            )
            for shape in shapes
        ],
        "obs_mean": random.standard_normal(obs_dim).astype(np.float32),
        "obs_std": np.full(obs_dim, 1e-4, np.float32),
        "hidden_size": hidden_size,
        "depth": depth,
        "action_scale": 1.0,
        "metadata": {"sensor_tier": "local-probe-field", "env_steps": 8192},
    }


@pytest.fixture
def policy_json(tmp_path):
    """A good policy file's path and content."""
    path = tmp_path / "p.policy.json"
    write_policy(path, **actor())
    return path, json.loads(path.read_text())


def test_policy_round_trip_is_bit_equal(policy_json):
    path, content = policy_json
    given_actor, read = actor(), read_policy(path)
    for layer, (weight, bias) in zip(read.layers, given_actor["layers"], strict=True):
        assert layer.weight.dtype == layer.bias.dtype == np.float32
        assert layer.weight.tobytes() == weight.tobytes()
        assert layer.bias.tobytes() == bias.tobytes()
    assert read.normalization.obs_mean.tobytes() == given_actor["obs_mean"].tobytes()
    assert read.normalization.obs_std.tobytes() == given_actor["obs_std"].tobytes()
    assert read.metadata == given_actor["metadata"]
    assert (read.obs_dim, read.act_dim, read.parameter_count) == (5, 2, 54)
    assert list(content) == [
        "format", "family", "variant", "tier", "obs_dim", "act_dim", "activation", "action_scale",
        "hidden_size", "depth", "parameter_count", "layers", "normalization", "metadata",
    ]  # fmt: skip
    assert (content["format"], content["activation"]) == ("mesa-policy-json-v1", "tanh")
    assert np.shape(content["layers"][0]["weight"]) == (4, 5)  # rows are outputs


def test_parameter_count_may_include_log_std(policy_json):
    path, content = policy_json
    path.write_text(json.dumps({**content, "parameter_count": 56}))
    assert read_policy(path).parameter_count == 56


@pytest.mark.parametrize("indent", [None, 4])
def test_policy_written_by_others(policy_json, indent):
    """Any key order, any white space, further keys, metadata that uses the same names."""
    path, content = policy_json
    content["metadata"] |= {"depth": 1, "hidden_size": 512}
    content["notes"] = "x"
    path.write_text(json.dumps(dict(reversed(content.items())), indent=indent))
    assert read_policy(path).depth == 2


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 5},
        {"depth": 3},
        {"obs_mean": np.zeros(4)},
        {"obs_std": np.full(5, -1.0)},
        {"obs_std": np.full(5, np.nan)},
        {"action_scale": 0.0},
        {"layers": actor(depth=1)["layers"]},
        {"metadata": {"x": float("nan")}},
    ],
    ids=range(8),
)
def test_inconsistent_actor_is_not_written(tmp_path, change):
    with pytest.raises(ValueError, match=r"cannot be written|JSON"):
        write_policy(tmp_path / "p.json", **{**actor(), **change})
    assert listing(tmp_path) == []


CHANGES = {
    "format": ["mesa-policy-json-v2", None, 1],
    "activation": ["relu", None, []],
    "family": [1],
    "obs_dim": [4, 0, -5, 5.0, "5", True, 10**9],
    "act_dim": [3, None],
    "hidden_size": [1024, 10**7, [4]],
    "depth": [1, 3, 101, 10**6],
    "parameter_count": [53, 55, "54", None],
    "action_scale": [0, -1, "1", None, 10**400, True],
    "layers": [[], {}, [1, 2, 3], None, [[]]],
    "normalization": [{}, [], {"obs_mean": [0] * 5}, {"obs_mean": [0] * 5, "obs_std": "11111"}],
    "metadata": [[], None],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in CHANGES.items() for v in vs])
def test_changed_policy_is_refused(policy_json, key, value):
    path, content = policy_json
    path.write_text(json.dumps({**content, key: value}))
    with pytest.raises(InputError, match=r"p\.policy\.json") as raised:
        read_policy(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("key", [key for key in CHANGES if key != "format"])
def test_policy_without_a_key_is_refused(policy_json, key):
    path, content = policy_json
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=key):
        read_policy(path)


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1e999", "1e39", "9" * 400, '"1"', "null", "true", "[1]", "{}"]
)
def test_policy_with_a_bad_number_is_refused(policy_json, number):
    path, content = policy_json
    content["layers"][1]["weight"][2][1] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', number))
    with pytest.raises(InputError):
        read_policy(path)


def test_ragged_and_empty_layers_are_refused(policy_json):
    path, content = policy_json
    for weight in ([], [[]], [[1, 2], [1]], [1, 2], "ab", {}):
        content["layers"][0]["weight"] = weight
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="layers"):
            read_policy(path)


@pytest.mark.parametrize(
    "bulk",
    [
        lambda: "[" * 10**6 + "]" * 10**6,
        lambda: '{"a":' * 10**6 + "1" + "}" * 10**6,
        lambda: "[" + "[]," * 10**6 + "[]]",
        lambda: "[" + "0," * 10**7 + "0]",
        lambda: "[" + "{}," * 10**6 + "{}]",
        lambda: "[" * 49_000 + "]" * 49_000,  # few enough to be parsed, too deep for the parser
    ],
    ids=["lists", "objects", "small lists", "numbers", "small objects", "deep"],
)
def test_huge_policy_is_refused_unparsed(policy_json, monkeypatch, bulk):
    path, content = policy_json
    content["metadata"]["bulk"] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', bulk()))
    if path.stat().st_size > 10**5:
        monkeypatch.setattr(policy_file, "decode_json", None)  # never reached
    with pytest.raises(InputError, match=r"at most \d+ are read|deeply"):
        read_policy(path)


def test_size_hidden_behind_an_escape(policy_json):
    path, _ = policy_json
    path.write_text(path.read_text().rstrip()[:-1] + r',"dep\u0074h": 1000000000000}')
    with pytest.raises(InputError, match="depth"):
        read_policy(path)


def test_action_scale_keeps_its_digits(tmp_path):
    write_policy(tmp_path / "p.json", **{**actor(), "action_scale": 0.1})
    assert read_policy(tmp_path / "p.json").action_scale == 0.1


def test_policy_beyond_the_hard_cap_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_file, "MAX_PARAMETERS", 10)
    monkeypatch.setattr(policy_file, "SLACK_BYTES", 0)
    write_policy(tmp_path / "p.json", **actor())
    with pytest.raises(InputError, match="too large"):
        read_policy(tmp_path / "p.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_generated_hostile_policies(tmp_path_factory, data):
    """Replace any part of a good file by anything: refused in one line, or still a whole policy."""
    path = tmp_path_factory.getbasetemp() / "hostile.policy.json"
    write_policy(path, **actor())
    content = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        node = content
        for _ in range(data.draw(st.integers(0, 4))):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            inner = [key for key in keys if isinstance(node[key], dict | list) and node[key]]
            if not inner:
                break
            node = node[data.draw(st.sampled_from(inner))]
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        node[data.draw(st.sampled_from(keys))] = data.draw(json_values)
    path.write_text(json.dumps(content))
    check_refused_or_whole(path)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_generated_damage_of_policies(tmp_path_factory, data):
    """Change, cut or insert bytes."""
    path = tmp_path_factory.getbasetemp() / "damaged.policy.json"
    write_policy(path, **actor())
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 20)))
    content[start:stop] = data.draw(st.binary(max_size=10))
    path.write_bytes(content)
    check_refused_or_whole(path)


def check_refused_or_whole(path):
    refused = ""
    try:
        policy = read_policy(path)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused
    if refused:
        return
    shapes = policy_file.layer_shapes(5, 2, 4, 2)
    assert [layer.weight.shape for layer in policy.layers] == shapes
    arrays = [array for layer in policy.layers for array in (layer.weight, layer.bias)]
    assert all(np.isfinite(array).all() for array in arrays)
    assert np.isfinite(policy.normalization.obs_mean).all()
