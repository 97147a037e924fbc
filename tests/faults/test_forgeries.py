"""Texts and settings of others, to real commands: nothing is lost, forged or left hanging."""

import os
import re

import pytest
from commands import finish, ladder_table, ladder_words, leftovers, run, start
from small_protocol import write_toml

pytestmark = pytest.mark.faults

HOSTILE = "see [/ref] | x\x1b[31m\r# Verdict: adopted <script>x</script> `y` [z](https://e.org)"
NOTE = "PHASE7_V2_PATH_B_RESULTS.md"
CONTROLS = r"[\x00-\x09\x0b-\x1f\x7f-\x9f]"


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    table = ladder_table()
    for candidate in table["candidates"]:
        candidate["why"] = candidate["if_it_fails"] = HOSTILE
    return write_toml(tmp_path_factory.mktemp("protocol") / "own.toml", table)


def test_hostile_texts_and_folders_through_a_whole_ladder(protocol, tmp_path, tally):
    names = ["q[/y]", "[bold]", "\x1b[2Jx", "a|b", "a\rb", "$x$", "# x", "<b>"]
    for name in names:
        out = tmp_path / name
        for more in ([], ["--fresh"])[: 2 if name == "q[/y]" else 1]:
            ended = run("ladder.py", ladder_words(protocol, out, *more))
            assert ended.code == 0, ended.err
            assert not re.search(CONTROLS, ended.out + ended.err)
        note = (out / NOTE).read_text("utf-8")
        assert not re.search(CONTROLS, note)
        assert "<script" not in note.replace("\\<script", "")
        assert not [line for line in note.splitlines() if line.startswith("# Verdict")]
        assert not leftovers(tmp_path)
    assert (tmp_path / "q[/y].superseded-1" / NOTE).exists()
    tally("hostile texts and folders through a ladder", len(names) + 1, len(names) + 1)


def test_the_working_folders_matplotlibrc(protocol, tmp_path, monkeypatch, tally):
    """It cost the note, after all had trained."""
    rc = [
        b"text.usetex: True\nfigure.figsize: 1e9, 1",
        b"text.usetex: nonsense\nbackend: nonsense",
        b"font.size: 3 # \xff\xfe",
    ]
    sizes = set()
    for index, text in enumerate(rc):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "matplotlibrc").write_bytes(text)
        monkeypatch.chdir(folder)
        ended = run("ladder.py", ladder_words(protocol, folder / "out"), MPLBACKEND="nonsense")
        assert ended.code == 0, ended.err
        note = (folder / "out" / NOTE).read_text("utf-8")
        assert "![Training curves" in note
        assert "could not be drawn" not in note
        sizes.add((folder / "out" / "figures" / "path_b_success.png").stat().st_size)
    assert len(sizes) == 1
    tally("matplotlib settings of others", len(rc), len(rc))


def test_files_of_six_gigabytes(tmp_path, tally):
    """Refused by their size: none of it is read."""
    path = tmp_path / "huge"
    with path.open("wb") as stream:
        stream.truncate(6 * 2**30)
    commands = [
        ("ladder.py", ["--protocol", str(path)]),
        ("evaluate.py", ["--policy", str(path)]),
    ]
    (tmp_path / "out").mkdir()
    os.link(path, tmp_path / "out" / "ladder.json")
    commands += [("check_reproducibility.py", ["--digest", str(tmp_path / "out")])]
    for script, words in commands:
        ended = finish(start(script, words), limit=60)
        assert ended.code == 2, (script, ended)
        assert "bytes at most" in ended.error
    tally("files of 6 GB", len(commands), len(commands))
