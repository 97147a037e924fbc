"""Bad input of the ladder: one line that names the flag or field, exit code 2, nothing written."""

import pytest
from small_protocol import shipped_table, write_toml
from small_runs import bad_input_line

from pathb_jax.cli.ladder import main
from pathb_jax.ladder import estimate

BAD = [
    ("--tier large", "--tier", "'large'"),
    ("--updates 49", "--updates", "49"),
    ("--updates 0", "--updates", "0"),
    ("--updates many", "--updates", "'many'"),
    ("--seed -1", "--seed", "-1"),
    ("--seed 4294967296", "--seed", "4294967296"),
    ("--protocol path_c", "--protocol", "'path_c'"),
    ("--protocol .", "--protocol", "'.'"),
    ("--protocol file", "protocol file", "TOML"),
    ("--backend metal", "--backend", "'metal'"),
    ("--lr 1e-4", "--lr", "Unrecognized"),
    ("--out file", "--out", "file"),
    ("--out file/below", "--out", "file/below"),
    ("--out /proc/x/below", "--out", "makes no folders"),
    ("--note file/note.md", "--note", "file"),
    ("--note folder", "--note", "folder"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("= mine")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(estimate, "measure", None)  # nothing may be compiled for it


def assert_bad_input(words, where, value, capsys, folder):
    line = bad_input_line(main, [*words], capsys, folder)
    assert where in line
    assert value in line


@pytest.mark.parametrize(("words", "flag", "value"), BAD)
def test_bad_input_is_one_line(words, flag, value, capsys, tmp_path):
    assert_bad_input(words.split(), flag, value, capsys, tmp_path)


def without(table):
    del table["stages"]["seed_shift"]["difference_at_most"]
    return "stages.seed_shift.difference_at_most", "(missing)"


def unknown(table):
    table["stages"]["seed_shift"]["at_most"] = 0.25
    return "stages.seed_shift.at_most", "0.25"


def ill_typed(table):
    table["run"]["updates"] = "1221"
    return "run.updates", "'1221'"


def too_few(table):
    table["run"]["updates"] = 49
    return "run.updates", "49"


@pytest.mark.parametrize("spoil", [without, unknown, ill_typed, too_few])
def test_a_wrong_field_of_the_protocol_is_named(spoil, capsys, tmp_path):
    table = shipped_table()
    field, value = spoil(table)
    path = write_toml(tmp_path / "own.toml", table)
    assert_bad_input(["--protocol", str(path)], f"own.toml: {field}", value, capsys, tmp_path)


def test_a_record_that_is_none(capsys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ladder.json").write_text("{}")
    assert_bad_input(["--out", "out"], "ladder.json", "(missing)", capsys, tmp_path)
