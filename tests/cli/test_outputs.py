"""A file that this tool did not write, or that the command reads, is never replaced."""

import json

import pytest
from small_protocol import small_table, write_toml
from small_rows import anchor_run
from small_runs import bad_input_line, tree_of

from pathb_jax.cli import (
    anchors,
    command,
    envelope,
    evaluate,
    ladder,
    output_files,
    reproducibility,
)
from pathb_jax.cli.evaluate_flags import EvaluateFlags, check
from pathb_jax.errors import InputError
from pathb_jax.report.note_files import NOTE_NAME
from pathb_jax.store.own_files import is_own_csv, is_own_json, is_own_picture
from pathb_jax.studies.anchors import anchors_table

MAINS = {
    "ladder": ladder.main,
    "evaluate": evaluate.main,
    "reproducibility": reproducibility.main,
    "envelope": envelope.main,
    "anchors": anchors.main,
}
ORACLE = ["--controller", "oracle", "--eval-seeds", "2"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with files of a user's, to be in; nothing may be trained or played."""
    from pathb_jax.evaluation import evaluator
    from pathb_jax.ladder import estimate

    monkeypatch.chdir(tmp_path)
    for module, name in ((estimate, "measure"), (evaluator, "evaluate")):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr("pathb_jax.studies.anchors.train_one", None)
    (tmp_path / "mine.md").write_text("# My notes\n")
    (tmp_path / "envelope.md").write_text("# Envelope\n\nof my own\n")
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    (tmp_path / "mine.json").write_text("{}\n")
    (tmp_path / "empty.json").touch()
    (tmp_path / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    (tmp_path / "mine.gif").write_bytes(b"GIF89a of my own")
    (tmp_path / "figures").mkdir()
    for name in ("path_b_success", "page", "anchors"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(b"\x89PNG of my own")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NOTE_NAME).write_text("= mine")
    write_toml(tmp_path / "own.toml", small_table(passes=True))
    (tmp_path / "own.md").write_bytes((tmp_path / "own.toml").read_bytes())
    (tmp_path / "run/manifests").mkdir(parents=True)
    (tmp_path / "run/logs").mkdir()
    header = "seed,terminalOutcome,steps,terminalAlignment,terminalDistance,pathEfficiency,"
    for path in ("run/logs/slug_evaluation.csv", "rows.csv"):
        (tmp_path / path).write_text(f"{header}saturationCount,pathLength\n")
    policy = {"format": "mesa-policy-json-v1", "layers": []}
    (tmp_path / "x.policy.json").write_text(json.dumps(policy))
    return tmp_path


REFUSED = [
    ("ladder", "--note mine.md", "mine.md"),
    ("ladder", "--note out/ladder.json", "out/ladder.json"),  # there or not
    ("ladder", "--note own.toml", "own.toml"),
    ("ladder", "--protocol own.md --note own.md", "own.md"),
    ("ladder", "--note mine.json", "mine.json"),
    ("ladder", "--note page.md", "figures/path_b_success.png"),
    ("ladder", "--out out", "out"),  # where a note of that name is the user's
    ("envelope", "--doc mine.md", "mine.md"),
    ("envelope", "--doc envelope.md", "envelope.md"),
    ("envelope", "--doc page.md", "figures/page.png"),
    ("envelope", "--page-only --doc mine.md", "mine.md"),
    ("envelope", "--table mine.csv", "mine.csv"),
    ("envelope", "--table mine.md", "mine.md"),
    ("anchors", "--doc mine.md", "mine.md"),
    ("anchors", "--doc new.md", "figures/anchors.png"),
    ("anchors", "--doc docs/page.md --table mine.csv", "mine.csv"),
    ("evaluate", "--json mine.json", "mine.json"),
    ("evaluate", "--json empty.json", "empty.json"),
    ("evaluate", "--json x.policy.json", "x.policy.json"),
    ("evaluate", "--csv mine.csv", "mine.csv"),
    ("evaluate", "--csv run/logs/slug_evaluation.csv", "run/logs/slug_evaluation.csv"),
    ("evaluate", "--render mine.png", "mine.png"),
    ("evaluate", "--render mine.gif", "mine.gif"),
    ("evaluate", "--render x.policy.json", "x.policy.json"),
    ("evaluate", "--csv new.csv --json new.csv", "new.csv"),
    ("evaluate", "--json new.json --render ./new.json", "new.json"),
    ("reproducibility", "--json mine.json", "mine.json"),
    ("reproducibility", "--json x.policy.json", "x.policy.json"),
]


@pytest.mark.parametrize(("name", "flags", "file"), REFUSED)
def test_files_of_others_are_refused_before_any_work(name, flags, file, place, capsys):
    words = [*(ORACLE if name == "evaluate" else ()), *flags.split()]
    assert file in bad_input_line(MAINS[name], words, capsys, place)


def test_a_policy_is_not_replaced_by_what_is_said_of_it(place, capsys):
    words = ["--policy", "x.policy.json", "--json", "x.policy.json"]
    line = bad_input_line(evaluate.main, words, capsys, place)
    assert line.startswith("error: --json: 'x.policy.json' is not allowed; it is there and no summ")


@pytest.fixture
def played(monkeypatch, place):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    return place / "played"


def test_own_files_may_be_written_anew(played):
    played.mkdir()
    names = {"--csv": "rows.csv", "--json": "sets.json", "--render": "paths.png"}
    words = [word for flag, name in names.items() for word in (flag, str(played / name))]
    assert evaluate.main([*ORACLE, *words]) == 0
    assert len(tree_of(played)) == 3
    check(command.parse(EvaluateFlags, [*ORACLE, *words], ""))


def test_own_pages_are_written_anew(played):
    anchors_table(played / "anchors.csv").add(anchor_run())
    assert anchors.main(["--page-only", "--out", str(played)]) == 0
    page, figure = played / "ANCHORS.md", played / "figures/anchors.png"
    figure.write_bytes(b"as an earlier version drew it, with no word of who did")
    assert anchors.main(["--page-only", "--out", str(played)]) == 0
    assert is_own_picture(figure.read_bytes())
    assert page.read_text().startswith("# Anchor figures\n")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b'{"format": "other"}', b"[" * 9999]
)
def test_other_json_is_not_ours(content):
    assert not is_own_json(format="pathb-reproducibility-v1")(content)
    assert not is_own_json("subject", "sets")(content)


def test_ours_is():
    assert is_own_json(format="x")(b'{"format": "x", "more": 1}')
    assert is_own_json("subject", "sets")(b'{"subject": "a", "sets": []}')
    assert is_own_csv(("a", "b"))(b"a,b,c\n1,2,3\n")
    assert not is_own_csv(("a", "b"))(b"a,bc\n")


def test_a_file_that_cannot_be_read_is_not_ours(place):
    (place / "pipe.json").symlink_to("pipe.json")  # a circle
    (place / "dead.json").symlink_to("nowhere")
    for name in ("figures", "a" * 300):
        with pytest.raises(InputError, match="--json"):
            output_files.check_output("--json", place / name, is_own_json(), "file")
    output_files.check_output("--json", None, is_own_json(), "file")
    output_files.check_output("--json", place / "new.json", is_own_json(), "file")
