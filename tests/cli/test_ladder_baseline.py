"""`ladder --with-baseline`, really run after a rejection: told, verified, forged, evaluated."""

import contextlib
import io
import json
import math
import shutil

import pytest
from quick import hurry
from small_protocol import UPDATES, small_table, write_toml
from small_runs import Watcher, tree_of

from pathb_jax.cli.evaluate import main as evaluate
from pathb_jax.cli.ladder import main
from pathb_jax.cli.verify import main as verify
from pathb_jax.ladder.diagnosis import fall_by_chance, segment_ends
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.report.diagnosis_page import rate
from pathb_jax.store.record import read_record
from pathb_jax.verification.diagnosis import _chance

pytestmark = pytest.mark.slow

RUN = "mixed_0_90_pathb_defaults"
SEEDS = 128
"""So many that even a policy that has just begun succeeds on some."""
NOTE = "PHASE7_V2_PATH_B_RESULTS.md"


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Figures are not rendered, nothing is measured for long, no reference controller plays."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.setattr("pathb_jax.ladder.ladder.play_references", lambda plan: [])
        yield


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Folder, words, and what the command printed before the flag and with it."""
    folder = tmp_path_factory.mktemp("baseline")
    table = small_table(passes=False)
    table["evaluation"]["seeds"] = SEEDS
    table["candidates"] = table["candidates"][:1]
    table["compute"]["candidate_hours"] = [0.1]
    table["predictions"] = []
    table["path_a"]["tier"] = "Small"
    protocol = write_toml(folder / "small.toml", table)
    words = ["--protocol", str(protocol), "--out", str(folder / "ladder"), "--no-progress"]
    printed = []
    for more in ([], ["--with-baseline"]):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([*words, *more]) == 3
        printed.append((out.getvalue(), (folder / "ladder" / NOTE).read_text()))
    return folder / "ladder", words, printed


def test_without_it_a_rejection_says_how_to_get_it(ladder):
    _, words, ((printed, note), _) = ladder
    command = f"python scripts/ladder.py {' '.join(words)} --with-baseline"
    assert printed.splitlines()[-1].startswith(
        f"The best state of the default run is not known: {command} finds it. Published: ext2, "
    )
    section = note.partition("## Diagnosis")[2].partition("\n## ")[0]
    assert f"    {command}\n" in section
    assert "published" not in section
    assert "path_b_diagnosis" not in note


def test_terminal_note_and_record_tell_the_best_state(ladder):
    folder, _, (_, (printed, note)) = ladder
    record = read_record(folder / "ladder.json")
    assert (record.verdict, record.standing) == ("rejected", "registered")
    fall = record.baseline.diagnosis.fall
    assert (folder / fall.best_checkpoint).is_dir()
    told = (
        f"after update {fall.best.update} of {RUN}, {rate(fall.best.reported)} on the seeds "
        "from 30000, kept as "
    )
    last = printed.splitlines()[-1]
    assert f"{told}{folder / fall.best_checkpoint}. Published: ext2, 8,340,000" in last
    following = next(line for line in note.splitlines() if line.startswith("**Next:**"))
    assert f"{told}{fall.best_checkpoint}. Published: ext2," in following.replace("\\", "")
    section = note.partition("## Diagnosis")[2].partition("\n## ")[0]
    lines = section.splitlines()
    for number, segment in enumerate(record.baseline.diagnosis.segments, start=1):
        count = "/".join(map(str, segment.state.success))
        start = f"| {number} | {segment.state.env_steps:,} | {count} |"
        assert any(line.startswith(start) for line in lines)
    assert "| ext2 (published) | 8,340,000 | 0.344 |" in section
    assert "(figures/path_b_diagnosis.png)" in section
    assert f"| {RUN} | 3,200 |" in note  # its hours
    assert note.index("## Diagnosis") < note.index("## What the rejection says")


def test_the_best_state_is_the_one_that_is_kept(ladder, tmp_path):
    folder = ladder[0]
    fall = read_record(folder / "ladder.json").baseline.diagnosis.fall
    result = tmp_path / "result.json"
    words = ["--checkpoint", str(folder / fall.best_checkpoint), "--json", str(result)]
    assert (
        evaluate([*words, "--eval-seed-start", "10000", "30000", "--eval-seeds", str(SEEDS)]) == 0
    )
    first, last = json.loads(result.read_text())["sets"]
    assert (first["success_count"], last["success_count"]) == (
        fall.best.success[0],
        fall.best.reported[0],
    )
    assert fall.best.success[0] > 0
    assert first["mean_terminal_alignment"] == fall.best.mean_terminal_alignment


def test_it_is_verified_and_done_once(ladder, capsys):
    folder, words, _ = ladder
    record = read_record(folder / "ladder.json")
    assert record.verification.problems == []
    assert record.verification.said["policies replayed"] == "6 of 6 sets"
    states = {state.update for state in record.baseline.diagnosis.evaluations}
    assert states >= {*segment_ends(UPDATES), UPDATES // 2}
    before = tree_of(folder)
    assert main([*words, "--with-baseline"]) == 3
    assert "nothing to train" in capsys.readouterr().err
    assert tree_of(folder) == before


def test_stopped_while_it_trains_it_goes_on(ladder, tmp_path):
    """To the same bits; before it trained there was a verdict already."""
    folder, words, _ = ladder
    protocol = load_protocol(words[1])
    out = tmp_path / "ladder"
    plan = LadderPlan(protocol, planned_run(protocol), out, with_baseline=True)

    def stop(progress):
        if progress.slug.endswith("_defaults") and progress.update >= UPDATES // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_ladder(plan, Watcher(stop))
    between = read_record(plan.record_path)
    assert (between.verdict, between.baseline.status) == ("rejected", "running")
    watcher = Watcher()
    record = run_ladder(plan, watcher)
    assert {progress.slug for progress in watcher.chunks} == {record.baseline.slug}
    assert min(progress.update for progress in watcher.chunks) > UPDATES // 2
    assert record.verification.problems == []
    assert record.baseline.diagnosis == read_record(folder / "ladder.json").baseline.diagnosis


def figure(*keys, value):
    def edit(folder):
        path = folder / "ladder.json"
        record = json.loads(path.read_text())
        holder = record["baseline"]
        for key in keys[:-1]:
            holder = holder[key]
        assert holder[keys[-1]] != value
        holder[keys[-1]] = value
        path.write_text(json.dumps(record))

    return edit


def another_checkpoint(folder):
    """Put the last state in the place of the best one."""
    best = folder / read_record(folder / "ladder.json").baseline.diagnosis.fall.best_checkpoint
    other = next(step for step in best.parent.iterdir() if step.name != best.name)
    shutil.rmtree(best)
    shutil.copytree(other, best)


def no_checkpoint(folder):
    best = folder / read_record(folder / "ladder.json").baseline.diagnosis.fall.best_checkpoint
    shutil.rmtree(best)


FORGERIES = {
    "a successes' count": (
        figure("diagnosis", "evaluations", 2, "reported", value=[100, 128]),
        "diagnosis.evaluations[2].reported",
    ),
    "a segment": (
        figure("diagnosis", "segments", 1, "value_loss_max", value=1.0),
        "diagnosis.segments[1].value_loss_max",
    ),
    "the test": (figure("diagnosis", "fall", "p_value", value=0.01), "diagnosis.fall.p_value"),
    "the fall": (
        figure("diagnosis", "fall", "interval", value=[-0.5, -0.1]),
        "diagnosis.fall.interval",
    ),
    "a summary": (
        figure("summaries", "20000", "mean_steps", value=100.0),
        "summaries.20000.mean_steps",
    ),
    "another folder": (figure("run_dir", value="mixed_0_90_pathb_lr1e4"), "run_dir"),
    "another checkpoint": (another_checkpoint, "diagnosis.fall.best_checkpoint"),
    "no checkpoint": (no_checkpoint, "diagnosis.fall.best_checkpoint"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found(ladder, tmp_path, capsys, name):
    folder = shutil.copytree(ladder[0], tmp_path / "ladder")
    forge, said = FORGERIES[name]
    forge(folder)
    assert verify([str(folder), "--no-replay"]) == 1
    assert f"does not hold: ladder.json: baseline.{said}" in capsys.readouterr().out


def test_the_second_way_to_the_test_agrees_with_the_first():
    assert math.isclose(_chance((3, 4), (1, 4)), 17 / 70)  # Fisher's tea
    for before in range(9):
        for after in range(7):
            first = fall_by_chance((before, 8), (after, 6))
            assert math.isclose(_chance((before, 8), (after, 6)), first)
