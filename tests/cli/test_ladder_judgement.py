"""`ladder --adopt TAG --because TEXT`, really run after a rejection."""

import json
import shutil

import pytest
from quick import hurry
from small_protocol import small_table, write_toml
from small_runs import bad_input_line

from pathb_jax.cli.ladder import main
from pathb_jax.cli.verify import main as verify
from pathb_jax.store.record import read_record

pytestmark = pytest.mark.slow

WHY = "borderline: 1 seed of 4"


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Folder, words of the command, and its exit status at the rejection and at the judgement."""
    folder = tmp_path_factory.mktemp("judged")
    protocol = write_toml(folder / "small.toml", small_table(passes=False))
    words = ["--protocol", str(protocol), "--out", str(folder / "ladder"), "--no-progress"]
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        codes = [main(words), main([*words, "--adopt", "vc0_25", "--because", WHY])]
    return folder / "ladder", words, codes


def test_it_is_recorded_and_the_batch_trains(judged):
    folder, _, codes = judged
    assert codes == [3, 0]
    record = read_record(folder / "ladder.json")
    assert (record.verdict, record.chosen, record.standing) == ("rejected", "vc0_25", "exploratory")
    assert [entry.status for entry in record.batch] == ["finished"]
    assert record.judgement.standing == "registered"
    assert record.judgement.overrode[0].startswith("training seed 0: stage 1, success_floor: ")
    assert record.verification.problems == []
    assert record.verification.said["adopted by judgement"] == "vc0_25"


def test_reported_again_and_verified(judged, capsys):
    folder, words, _ = judged
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert f"vc0_25, because {WHY}" in printed
    assert "verdict: rejected (exploratory)" in printed
    assert verify([str(folder)]) == 0
    note = (folder / "PHASE7_V2_PATH_B_RESULTS.md").read_text()
    assert "Adopted by judgement on " in note
    assert WHY in note


EDITS = {
    "overrode": (["judgement", "overrode", 0], "training seed 0: nothing", "judgement.overrode"),
    "at": (["judgement", "at"], "2020-01-01T00:00:00Z", "judgement.at"),
    "standing": (["judgement", "standing"], "canonical", "judgement.standing"),
    "batch": (["batch", 0, "label"], "reward_phase3_pathb_lr1e4", "batch"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_forged_judgement_does_not_hold(judged, tmp_path, capsys, edit):
    folder = shutil.copytree(judged[0], tmp_path / "ladder")
    record = json.loads((folder / "ladder.json").read_text())
    (*way, last), value, said = EDITS[edit]
    holder = record
    for step in way:
        holder = holder[step]
    holder[last] = value
    (folder / "ladder.json").write_text(json.dumps(record))
    assert verify([str(folder), "--no-replay"]) == 1
    assert f"does not hold: ladder.json: {said}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--adopt", "vc0_25"], "--adopt: 'vc0_25' is not allowed; it needs --because"),
        (["--because", "so"], "--because: 'so' is not allowed; it needs --adopt"),
        (["--adopt", "vc0_25", "--because", "so", "--fresh"], "it does not go with --fresh"),
        (["--adopt", "vc0_25", "--because", "so", "--plan"], "it does not go with --plan"),
        (["--adopt", "nobody", "--because", "so"], "--adopt: 'nobody'"),
        (["--adopt", "vc0_25", "--because", " "], "--because: "),
        (["--adopt", "vc0_25", "--because", "so"], "there is no ladder in"),
    ],
)
def test_bad_input_is_one_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pathb_jax.ladder.estimate.measure", None)  # nothing may be compiled for it
    out = ["--out", str(tmp_path / "out")]
    assert said in bad_input_line(main, [*out, *words], capsys, tmp_path)
