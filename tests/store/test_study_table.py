"""One table for all studies: typed, checked, shared by processes."""

import subprocess
import sys
from typing import Annotated, Self

import pytest
from filelock import FileLock
from pydantic import Field, NonNegativeInt, model_validator

from pathb_jax.errors import InputError
from pathb_jax.store import study_table
from pathb_jax.store.study_table import StudyRow, StudyTable, Text


class Run(StudyRow):
    study: Text
    at: float
    seed: Annotated[int, Field(ge=0, le=9)]
    successes: NonNegativeInt | None
    alignment: Annotated[float, Field(ge=0, le=1)]
    commit: Text

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.successes or 0) > 64:
            raise InputError("successes", self.successes, "too many")
        return self


def table_at(path):
    return StudyTable(path, Run, key=("at", "seed"), incidental=("commit",), shared=("study",))


def run(at=0.5, seed=0, **changes):
    whole = Run(study="small", at=at, seed=0, successes=3, alignment=0.1 + 0.2, commit="0123abc")
    return whole.model_copy(update={"seed": seed, **changes})


@pytest.fixture
def table(tmp_path):
    return table_at(tmp_path / "folder" / "runs.csv")


def refusal(table, text):
    """The one line with which a file of this text is refused."""
    table.path.parent.mkdir(exist_ok=True)
    table.path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as refused:
        table.read()
    with pytest.raises(InputError):
        table.add(run(0.9))
    assert table.path.read_bytes() == (text if isinstance(text, bytes) else text.encode())
    return str(refused.value)


HEADER = "study,at,seed,successes,alignment,commit\n"


@pytest.mark.parametrize("commit", ["12345e678901", "1e999", "0123", "nan", "a,b", 'a"b', "é"])
def test_every_cell_keeps_its_type(table, commit):
    wanted = run(1 / 3, 2, successes=None, commit=commit)
    table.add(wanted)
    assert table.read() == [wanted]
    assert [(n, type(cell)) for n, cell in table.read()[0]] == [(n, type(c)) for n, c in wanted]


def test_rows_are_in_the_order_of_their_keys_whatever_order_they_came_in(tmp_path):
    runs = [run(at, seed) for at in (0.0, 0.5) for seed in (0, 1)]
    files = []
    for name, order in (("a", runs), ("b", runs[::-1])):
        table = table_at(tmp_path / name)
        for one in order:
            assert one in table.add(one)
        assert table.read() == runs
        files.append(table.path.read_bytes())
    assert files[0] == files[1]


def test_no_file_is_no_rows_and_none_is_made(table):
    assert table.read() == []
    assert not table.path.parent.exists()


def test_a_doubled_row_counts_once(table):
    row = "small,0.5,0,3,0.3,aaa\n"
    table.path.parent.mkdir()
    table.path.write_text(HEADER + row + row + row.replace("aaa", "bbb"))
    assert len(table.read()) == 1
    assert len(table.add(run(0.9))) == 2


def test_rows_of_one_run_that_contradict_each_other_are_refused(table):
    text = HEADER + "small,0.5,0,3,0.3,aaa\nsmall,0.5,1,3,0.3,aaa\nsmall,0.5,0,4,0.3,aaa\n"
    line = refusal(table, text)
    assert "line 4: successes: 4 is not allowed" in line
    assert "at 0.5, seed 0 says 3" in line


def test_a_run_that_is_there_is_not_told_otherwise(table):
    table.add(run())
    before = table.path.read_bytes()
    table.add(run(commit="another"))
    assert table.path.read_bytes() == before
    with pytest.raises(InputError, match="successes: 4 is not allowed"):
        table.add(run(successes=4))
    with pytest.raises(InputError, match="study: 'large' is not allowed"):
        table.add(run(0.9, study="large"))
    assert table.path.read_bytes() == before


@pytest.mark.parametrize("change", [{"alignment": float("nan")}, {"seed": -1}, {"successes": 65}])
def test_what_could_not_be_read_back_is_not_written(table, change):
    with pytest.raises(InputError):
        table.add(run(**change))
    assert not table.path.exists()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("small,0.5,0,65,0.3,aaa", "too many"),
        ("small,0.5,0,-1,0.3,aaa", "successes: '-1'"),
        ("small,0.5,0,3.5,0.3,aaa", "successes: '3.5'"),
        ("small,0.5,0,1e2,0.3,aaa", "successes: '1e2'"),
        ("small,0.5,10,3,0.3,aaa", "seed: '10' is not allowed; give a whole number >= 0 and <= 9"),
        ("small,0.5,,3,0.3,aaa", "seed: None"),
        ("small,0.5,0,3,1.01,aaa", "alignment: '1.01'"),
        ("small,inf,0,3,0.3,aaa", "at: 'inf'"),
        ("small,1e999,0,3,0.3,aaa", "at: '1e999'"),
        ("small,nan,0,3,0.3,aaa", "at: 'nan'"),
        ("small,0.5,0,3,0.3,", "commit: None"),
        ("small,0.5,0,3,0.3,a\x1bb", "commit: "),
        ("small,0.5,0,3,0.3", "every line needs 6 cells"),
        ("small,0.5,0,3,0.3,aaa,bbb", "every line needs 6 cells"),
        ("large,0.5,0,3,0.3,aaa", "study: 'large'"),
        ('small,0.5,0,3,0.3,"a"a', "CSV"),
        ("", "every line needs 6 cells"),
    ],
)
def test_a_bad_line_is_named(table, row, told):
    line = refusal(table, HEADER + "small,0.5,1,3,0.3,aaa\n" + row + "\n")
    assert told in line
    assert str(table.path) in line
    assert "\n" not in line


@pytest.mark.parametrize("cut", ["a", ",aaa", "\n"])
def test_a_last_line_without_its_end_is_named(table, cut):
    text = HEADER + "small,0.5,0,3,0.3,aaa\nsmall,0.5,1,3,0.3,aaa\n"
    whole = text[: text.rindex(cut)]
    assert "line 3" in refusal(table, whole)
    assert "the last line has no end" in refusal(table, whole)


@pytest.mark.parametrize(
    "text", ["", "\n", "a,b\n1,2\n", HEADER.replace("seed", "at"), b"\xff\n", HEADER[:-1] + ",x\n"]
)
def test_another_file_is_refused(table, text):
    refusal(table, text)


def test_columns_may_be_in_another_order_and_lines_end_as_on_windows(table):
    table.path.parent.mkdir()
    table.path.write_bytes(
        b"at,study,seed,commit,successes,alignment\r\n0.5,small,0,a,3.0,0.25\r\n"
    )
    assert table.read() == [run(alignment=0.25, commit="a")]


PROCESS = """
import sys
from pathlib import Path
from test_study_table import run, table_at
print("ready", flush=True)
sys.stdin.readline()
for seed in range(10):
    table_at(Path(sys.argv[1])).add(run(float(sys.argv[2]), seed))
"""


def test_processes_that_add_at_once_lose_no_row(table, repository):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(table.path), str(at)],
            cwd=repository / "tests/store",
            env={"PYTHONPATH": f"{repository}:{repository / 'tests/store'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert table.read() == [run(float(at), seed) for at in range(3) for seed in range(10)]
    assert [path.name for path in table.path.parent.glob("*.tmp")] == []


def test_a_row_added_since_a_table_was_read_is_kept(table):
    other = table_at(table.path)
    assert table.read() == other.read() == []
    table.add(run(0.1))
    other.add(run(0.2))
    assert table.add(run(0.3)) == [run(0.1), run(0.2), run(0.3)]


def test_nothing_is_written_while_another_process_writes(table, monkeypatch):
    table.add(run(0.1))
    monkeypatch.setattr(study_table, "LOCK_SECONDS", 0.0)
    with FileLock(table.path.with_name(".runs.csv.lock")):
        with pytest.raises(InputError, match="'in use' is not allowed; another process"):
            table.add(run(0.2))
        assert table.read() == [run(0.1)]
    assert table.add(run(0.2)) == [run(0.1), run(0.2)]
