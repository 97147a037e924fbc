"""Whatever a protocol or a record holds as text, the note shows it as text."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hand_made_ladders import OWN, adopted, own, rejected, with_other_seeds, written
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from quick import hurry

from pathb_jax.errors import InputError
from pathb_jax.report.markdown import code, escaped, link
from pathb_jax.report.note import write_note
from pathb_jax.store.models import parse, to_json
from pathb_jax.store.record_schema import LadderRecord
from pathb_jax.text import visible

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
"""As a reader of Markdown with HTML and tables sees it."""

HOSTILE = [
    "a | b | c",
    "x\r\r# Verdict: adopted\r\r| a |\r| --- |",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "![](https://example.org/x.png)",
    "[all is well](https://example.org)",
    "<https://example.org>",
    "`code` ``x` ```",
    "# Forged heading",
    "> quoted",
    "- - item",
    "1. item",
    "---",
    "===",
    "**bold** _it_ __x__ ~~gone~~ *a*",
    "&lt;b&gt; &#35; & &amp",
    "back\\slash \\| \\",
    "\x1b[31mred\x07 \u202eback \u2028# line",
    "$x^2$ and $$y$$",
    "[/ref] {{ 7 * 7 }} {% raw %}",
]


@pytest.fixture(autouse=True)
def _quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def shown(text: str) -> str:
    return visible(" ".join(text.split()))


def parsed(text: str) -> list[Token]:
    """Return all tokens, those within lines among them."""
    found = []
    for token in READER.parse(text):
        found += [token, *(token.children or [])]
    return found


def words(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens if token.type in ("text", "text_special"))


PLACES = ["{}", "- {}", "1. {}", "**{}** more", "| {} | b |\n| --- | --- |\n| {} | d |"]


def assert_literal(text: str, place: str) -> None:
    tokens = parsed(place.replace("{}", escaped(text)))
    expected = [token.type for token in parsed(place.replace("{}", "word"))]
    assert [t.type for t in tokens if t.type != "text"] == [t for t in expected if t != "text"]
    plain = [token.type for token in tokens if token.type == "inline"]
    assert plain
    assert shown(text) in words(tokens)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_is(text: str, place: str) -> None:
    assert_literal(text, place)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    text=st.text("|`*_#<>[]()!&;\\~-+=.1a \n\r\t\x1b/:$@", max_size=24),
    place=st.sampled_from(PLACES),
)
def test_no_text_is_taken_for_markdown(text: str, place: str) -> None:
    assert_literal(f"a{text}" if not text.strip() else text, place)


def test_figures_and_names_stay_readable() -> None:
    for text in (
        "0.219 < 0.40",
        "lr 0.0003 -> 0.0001",
        "mixed_0_90_pathb_lr1e4",
        "-0.57",
        "a & b",
    ):
        assert escaped(text) == text


def test_code_and_links() -> None:
    assert code("python x\n# y `z`") == "python x # y 'z'"
    (paragraph,) = [t for t in READER.parse(link("a]b|", "x (1)/<y>|\n/")) if t.type == "inline"]
    kinds = [child.type for child in paragraph.children or []]
    assert (kinds[0], kinds[-1]) == ("link_open", "link_close")
    assert (paragraph.children or [])[0].attrs["href"] == "x%20%281%29/%3Cy%3E%7C%0A/"


TEXTS = {"why", "if_it_fails", "prediction", "then", "finding", "remark"}


def hostile_protocol(text: str) -> str:
    """Return the own protocol with its words replaced, with tiers, so that all of it is shown."""
    lines = []
    for line in OWN.splitlines():
        name, _, _ = line.partition(" = ")
        if name in TEXTS:
            line = f"{name} = {json.dumps(text)}"
        elif name == "code_changes":
            line = f"{name} = [{json.dumps(text)}]"
        lines.append(line)
        if line in ("[rejection]", "[path_a]", "[[programme]]"):
            lines.append('tier = "Small"')
    return "\n".join(lines)


def hostile_record(tame: LadderRecord, text: str) -> LadderRecord:
    """Put the text wherever a record has words of its own."""
    record = to_json(tame)
    record["deviations"], record["standing"] = [text], "exploratory"
    record["backend"] |= {"platform": text, "device_kind": text, "versions": {text: text}}
    record["command"] = text
    record["protocol"]["file"] = text
    for index, run in enumerate([*record["candidates"], *record["batch"]]):
        run["run_dir"] = re.sub(r"[/\\]", " ", f"{index} {text}")  # of a folder, one of its own
        run["failure_mode"] = text
        if run["status"] == "rejected":
            run["status"], run["diverged"] = "diverged", text
        run["failure_figures"] = {text: 0.5}
        for stage in run.get("stages", []):
            stage["name"], stage["figures"] = text, {text: 1.0}
            stage["reasons"] = [text] if stage["passed"] is not True else []
    return parse(LadderRecord, record, "")


def skeleton(note: str) -> list[tuple[str, str]]:
    """Return headings, tables and links: what a text could forge."""
    found = []
    tokens = READER.parse(note)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            found.append((token.tag, tokens[index + 1].content))
        elif token.type.startswith(("th_", "tr_", "td_", "html", "hr", "fence", "code", "blockq")):
            found.append((token.type, ""))
        found += [
            (child.type, "")
            for child in token.children or []
            if child.type in ("link_open", "image", "html_inline", "code_inline", "softbreak")
        ]
    return found


@pytest.mark.parametrize("build", [adopted, rejected, with_other_seeds])
@pytest.mark.parametrize("text", [HOSTILE[1], " ".join(HOSTILE).replace("\n", " ")])
def test_a_note_has_the_same_skeleton_whatever_the_texts(
    build: Any, text: str, tmp_path: Path
) -> None:
    notes = []
    for words_, name in ((text, "hostile"), ("word", "tame")):
        record = own(build(tmp_path / name), hostile_protocol(words_))
        notes.append(written(hostile_record(record, words_), tmp_path / name))
    hostile, tame = notes
    assert skeleton(hostile) == skeleton(tame)
    assert all(char.isprintable() or char == "\n" for char in hostile)
    assert shown(text) in words(parsed(hostile))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("passes", [{"tag": "lr1e4", "stage": 1, "name": "x", "passed": 1, "seeds": 3}]),
        ("verdicts", {}),
        ("seeds", []),
    ],
)
def test_parts_that_a_record_lacks(key: str, value: Any, tmp_path: Path) -> None:
    record = to_json(with_other_seeds(tmp_path))
    if key == "passes":
        value[0]["interval"] = [0.5]
    record["training_seeds"][key] = value
    (tmp_path / "ladder.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=key):
        write_note(tmp_path / "ladder.json")


@pytest.mark.parametrize("number", ["1e999", "9" * 400, "1e101"])
def test_figures_of_a_record_that_none_could_have(number: str, tmp_path: Path) -> None:
    record = adopted(tmp_path)
    written(record, tmp_path)
    text = (tmp_path / "ladder.json").read_text()
    (tmp_path / "ladder.json").write_text(text.replace("71.25", number))
    with pytest.raises(InputError, match=r"JSON|wall_seconds"):
        write_note(tmp_path / "ladder.json")
