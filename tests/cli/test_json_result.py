"""`--json`: the result in a file, or with `-` alone on standard output."""

import json

import pytest
from small_protocol import small_table, write_toml
from small_rows import anchor_run
from small_runs import FLAGS, bad_input_line, command_line, read

from pathb_jax.cli import anchors, envelope, evaluate, ladder, reproducibility, train, verify
from pathb_jax.cli.json_result import json_result
from pathb_jax.ladder import estimate
from pathb_jax.studies.anchors import anchors_table

NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
RUN = anchor_run()


def alone_on_stdout(main, words, capsys, code=0):
    """Return what a command writes to standard output, and to standard error."""
    assert main([*map(str, words), "--json", "-"]) == code
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_what_json_has_no_number_for(tmp_path):
    with json_result(tmp_path / "x") as write:
        write({"tuple": estimate.Estimate(9.0, 2.0, 0.5, 1.0, 50), "n": NOT_FINITE})
    found = read(tmp_path / "x")
    assert found["tuple"]["updates"] == 50
    assert found["n"] == [None, "inf", "-inf"]


def test_of_a_run(finished, tmp_path, capsys):
    words = command_line(**{**FLAGS, "out": finished.files.out})
    result, told = alone_on_stdout(train.main, words, capsys)
    own = read(next(finished.files.out.glob("logs/*_evaluation_summary.json")))
    assert {**result["sets"][0], "success_interval_95": 0} == {**own, "success_interval_95": 0}
    assert (result["folder"], result["diverged"]) == (str(finished.files.out), None)
    assert "seeds 10000..10003: success" in told
    target = tmp_path / "result.json"
    for _ in range(2):  # its own result may be replaced
        assert train.main([*words, "--json", str(target)]) == 0
        assert read(target) == result
        assert f"json:   {target}" in capsys.readouterr().err
    evaluated = [*words, "--out", str(tmp_path / "again"), "--eval-only"]
    evaluated += ["--load-checkpoint", str(finished.files.out)]
    result, _ = alone_on_stdout(train.main, evaluated, capsys)
    assert [item["seed_start"] for item in result["sets"]] == [10000]


def test_of_a_run_or_ladder_it_does_not_go_among_their_files(finished, tmp_path, capsys):
    out = finished.files.out
    for main, words in (
        (train.main, command_line(**{**FLAGS, "out": out})),
        (ladder.main, ["--out", str(out)]),
        (verify.main, [str(out)]),
        (reproducibility.main, ["--digest", str(out)]),
    ):
        line = bad_input_line(main, [*words, "--json", str(out / "x.json")], capsys, tmp_path)
        assert line.startswith("error: --json: ")
        assert "give a path elsewhere" in line


def test_of_a_digest_and_a_verification(finished, capsys):
    words = ["--digest", finished.files.out]
    result, told = alone_on_stdout(reproducibility.main, words, capsys)
    assert result["digests"]["all"] == told.split()[0]
    result, told = alone_on_stdout(verify.main, [finished.files.out, "--no-replay"], capsys)
    assert result["problems"] == []
    assert "everything holds" in told


def test_of_an_evaluation(capsys):
    words = ["--controller", "oracle", "--eval-seeds", "2"]
    result, told = alone_on_stdout(evaluate.main, words, capsys)
    assert result["sets"][0]["success_count"] == 2
    assert "oracle on privileged-field" in told


def test_of_a_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(estimate, "measure", lambda plan: estimate.Estimate(9.0, 2.0, 0.5, 1.0, 50))
    protocol = write_toml(tmp_path / "small.toml", small_table(passes=True))
    words = ["--protocol", protocol, "--out", tmp_path / "out", "--plan"]
    result, told = alone_on_stdout(ladder.main, words, capsys)
    plan = result["plan"]
    assert [item["tag"] for item in plan["candidates"]] == ["lr1e4", "vc0_25"]
    assert plan["run"]["updates"] == 50
    assert (plan["standing"], plan["deviations"]) == ("registered", [])
    assert plan["estimate"]["run_seconds"] > 100
    assert "one run" in told


def test_of_the_anchors(tmp_path, capsys):
    anchors_table(tmp_path / "anchors.csv").add(RUN)
    words = ["--page-only", "--out", tmp_path]
    result, told = alone_on_stdout(anchors.main, words, capsys)
    rows = {row["anchor"]: row for row in result["rows"]}
    assert rows["small-terminal-1M"]["runs"][0]["successes"] == 3
    assert rows["small-mixed-0.90-1M"]["mean_successes"] is None
    assert f"page:  {tmp_path / 'ANCHORS.md'}" in told


@pytest.mark.parametrize("flag", ["--doc", "--table"])
def test_a_study_has_each_output_in_a_file_of_its_own(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "x.md" if flag == "--doc" else "x.csv"
    for main in (anchors.main, envelope.main):
        words = [flag, name, "--json", name]
        assert "names the same file" in bad_input_line(main, words, capsys, tmp_path)
