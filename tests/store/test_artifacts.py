"""History, evaluations and summaries: columns, keys; whole or not at all; hostile input refused."""

import resource

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.errors import InputError
from pathb_jax.store import artifacts
from pathb_jax.store.artifacts import (
    append_history,
    read_evaluation_summary,
    read_evaluations,
    read_history,
    write_evaluation,
    write_evaluations,
    write_history,
)
from pathb_jax.store.measures import EVALUATION_COLUMNS, EVALUATIONS_COLUMNS, SUMMARY_KEYS
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.tables import append_table, read_table, write_table

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
    assert not list(tmp_path.iterdir())


def test_summary_of_another_kind(tmp_path):
    for content in ("[]", "{}", '{"seeds": 1}'):
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(InputError):
            read_evaluation_summary(tmp_path / "s.json")
