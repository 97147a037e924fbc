"""The result note for every kind of record, and that its figures are the record's."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made_ladders import (
    KINDS,
    OWN,
    PLAN,
    adopted,
    diagnosed,
    incomplete,
    own,
    rejected,
    sets,
    untouched,
    with_other_seeds,
    written,
)
from quick import hurry

from pathb_jax.errors import InputError
from pathb_jax.judging.rates import floor_flip
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.best_state import best_state
from pathb_jax.report.note import write_note
from pathb_jax.report.note_files import NOTE_NAME, is_own_note
from pathb_jax.store.artifacts import write_evaluations
from pathb_jax.store.json_files import write_json
from pathb_jax.store.measures import EVALUATION_COLUMNS, EVALUATIONS_COLUMNS
from pathb_jax.store.models import to_json
from pathb_jax.store.own_files import is_own_picture
from pathb_jax.store.record_schema import ReferenceRecord, VerificationRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import TrainedRecord
from pathb_jax.store.tables import write_table


@pytest.fixture(autouse=True)
def _quick_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn but not rendered, which takes most of a note's time."""
    if "real_figures" not in request.fixturenames:
        hurry(monkeypatch)


@pytest.fixture
def real_figures() -> None:
    """Ask for figures as they are."""


@pytest.mark.parametrize("kind", KINDS)
def test_verdict_first_and_every_figure_of_the_record(kind: str, tmp_path: Path) -> None:
    build, verdict = KINDS[kind]
    record = build(tmp_path)
    text = written(record, tmp_path)
    assert text.splitlines()[2].startswith(f"**{verdict}")
    assert record.standing in text
    assert PLAN.sha256 in text
    assert record.command in text
    assert all(f"- {line}" in text for line in record.deviations)
    for run in [*record.candidates, *record.batch]:
        for summary in run.summaries.values():
            low, high = summary.interval
            assert f"{summary.success_count} of {summary.seeds}" in text
            assert f"| {summary.success_rate:.3f} | {low:.3f} to {high:.3f} |" in text
    for candidate in record.candidates:
        for stage in candidate.stages:
            assert all(reason in text for reason in stage.reasons)
            row = f"| {candidate.tag} | {stage.stage} {stage.name.replace('_', ' ')} |"
            rows = [line for line in text.splitlines() if line.startswith(row)]
            assert len(rows) == (3 if stage.name == "training_dynamics" else 1)
            for name, value in stage.figures.items():
                if value is not None and name not in ("rows", "log_std"):
                    shown = str(value) if isinstance(value, int) else f"{value:.3f}"
                    assert any(shown in line for line in rows), (name, value)
            said = {True: "| passed |", False: "| failed: ", None: "| not judged: "}[stage.passed]
            assert any(said in line for line in rows)
        rejected = any(stage.passed is False for stage in candidate.stages)
        if candidate.failure_mode == "healthy" and rejected:
            assert f"{candidate.tag} has the failure mode" not in text
            continue
        for name, value in candidate.failure_figures.items():
            assert value is None or f"{name} {value:.3f}" in text
    assert "None" not in text
    assert "Undefined" not in text
    assert "{" not in text
    assert "Seeds of an evaluation set fix its starts and goals. The training seed" in text


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_holds_together(kind: str, tmp_path: Path) -> None:
    """Tables keep their column count, links lead somewhere, there is one blank line at most."""
    text = written(KINDS[kind][0](tmp_path), tmp_path)
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
        assert len(columns) <= 1, table
        assert len(table) != 1, table
        table = []
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "pathb" not in target or target.startswith("figures"):
            assert (tmp_path / target).exists(), target
        else:
            assert target.endswith("/")
            assert not Path(target).is_absolute()
    assert text.endswith("\n")
    assert not re.search(r"\n\n\n\n|[ \t]\n", text)
    assert not re.search(r"(?m)^(?!\||\n|#|- |!\[|1\. |    ).*\n\|", text), (
        "a table needs a blank line"
    )


def test_adopted_names_the_batch_and_the_chance_of_misjudging(tmp_path: Path) -> None:
    text = written(adopted(tmp_path), tmp_path)
    assert "[mixed_0_95_pathb_vc0_25](mixed_0_95_pathb_vc0_25/) | finished | 0.094 (3/32)" in text
    assert "| reward_phase3_pathb_vc0_25 | not run | not run |" in text
    assert f"a fresh set says the opposite: {100 * floor_flip((7, 32), 0.4):.1f} %" in text
    grade = "its success is below 0.40 | falsified | this mixture needs more"
    assert f"| GG1 | lr 1e-4 clears stage 1 | {grade}" in text
    assert "What the rejection says" not in text
    assert "32 seeds of the set from 20000 are among them" in text
    assert "33.00 hours. Used: 1.38 hours" in text


def test_rejected_names_the_ladder_of_failures(tmp_path: Path) -> None:
    text = written(rejected(tmp_path), tmp_path)
    assert "1. lr1e4 failed stage 1 (0.219 < 0.40), " in text
    assert "1. vc0_25 failed stage 3 (0.125 > 0.10), " in text
    assert (
        "1. clip0_1 failed stage 1 (diverged: value_loss at update 7), diverged. The protocol"
        in text
    )
    assert "a separate critic learning rate, value clipping, an entropy schedule" in text
    assert "At tier Small this says nothing of Large" in text
    assert "The protocol says of that failure, at tier Large: the entropy bonus is not" in text
    assert "tier Small:\n\n- the protocol's programme: tier Large.\n- the protocol's path_a" in text
    assert "8,340,000" not in text
    assert "mode collapse)" not in text
    assert "Standing: exploratory" in text


@pytest.mark.usefixtures("real_figures")
def test_note_elsewhere_has_relative_links_and_its_own_figures(tmp_path: Path) -> None:
    results, docs = tmp_path / "results" / "run", tmp_path / "docs" / "mesa"
    note = docs / "OUR_NOTE.md"
    text = written(adopted(results), results, note)
    assert "[ladder.json](../../results/run/ladder.json)" in text
    assert "(../../results/run/mixed_0_90_pathb_lr1e4/)" in text
    images = sorted(path.name for path in (docs / "figures").iterdir())
    names = ["dynamics", "rules", "success", "window"]
    assert images == [f"path_b_{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert all(is_own_picture((docs / "figures" / name).read_bytes()) for name in images)
    assert not (results / NOTE_NAME).exists()


@pytest.mark.usefixtures("real_figures")
def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    written(adopted(tmp_path), tmp_path)
    before = contents()
    write_note(tmp_path / "ladder.json")
    assert contents() == before


def test_a_record_with_the_fixed_keys_alone(tmp_path: Path) -> None:
    record = to_json(adopted(tmp_path))
    for key in ("plan", "command"):
        del record[key]
    del record["protocol"]["text"]
    for run in [*record["candidates"], *record["batch"]]:
        for key in ("slug", "summaries", "failure_figures", "diverged"):
            del run[key]
    write_json(tmp_path / "ladder.json", record)
    text = write_note(tmp_path / "ladder.json").read_text()
    assert "does not hold the protocol's text" in text
    assert "None" not in text


def test_a_protocol_text_that_is_not_the_one_named(tmp_path: Path) -> None:
    record = untouched(tmp_path)
    record.protocol.text += "# changed\n"
    assert "does not have the SHA-256 that it states" in written(record, tmp_path)
    record.protocol.text = "broken ["
    assert "cannot be read" in written(record, tmp_path)


def test_a_note_is_recognised_with_and_without_its_marker(tmp_path: Path) -> None:
    note = written(adopted(tmp_path), tmp_path)
    assert is_own_note(note.encode())
    before_there_was_one = note.rpartition("<!--")[0]
    assert "<!--" not in before_there_was_one
    assert is_own_note(before_there_was_one.encode())
    assert not is_own_note(b"# Path B: results of my own\n")
    assert not is_own_note((tmp_path / "ladder.json").read_bytes())


def test_broken_histories_are_left_out(tmp_path: Path) -> None:
    record = incomplete(tmp_path)
    candidate = record.candidates[0]
    RunFiles(tmp_path / candidate.run_dir, candidate.slug).history.write_text("nothing\n1\n")
    assert "dynamics.png" not in written(record, tmp_path)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_note(tmp_path / "ladder.json")
    assert not list(tmp_path.iterdir())


def test_other_training_seeds_are_told_apart_from_the_one_that_votes(tmp_path: Path) -> None:
    note = written(with_other_seeds(tmp_path), tmp_path)
    section = note.partition("### Training seeds")[2].partition("## The shadow")[0]
    low, high = clopper_pearson(1, 3)
    assert f"| lr1e4 | 1 success floor | 1 of 3 | {low:.3f} to {high:.3f} |" in section
    low, high = clopper_pearson(2, 3)
    assert f"| vc0_25 | 3 seed shift | 2 of 3 | {low:.3f} to {high:.3f} |" in section
    assert "lr1e4: interquartile mean of success over its training seeds 0.323, " in section
    assert "another verdict with a chance of 62.5 %" in section  # 1 of 3 gave this one
    assert "| lr1e4 | [1](mixed_0_90_pathb_lr1e4_seed_1/) | 0.531 (17/32)" in section
    assert "| 0 | adopted vc0_25 |" in section
    assert "| 1 | adopted lr1e4 |" in section
    assert "| 2 | open (a candidate" in section
    assert "Of 3 training seeds of which it can be told, 1 would have given" in section
    alone = written(adopted(tmp_path), tmp_path)
    assert "no other was trained" in alone
    assert "another verdict with a chance of 25.0 %" in alone


TRAINED = TrainedRecord(
    started="2026-01-02T03:04:05Z",
    ended="2026-01-02T04:05:06Z",
    host="a|host",
    commit="12345e678901" + "0" * 28,
    dirty=False,
    program="ab" * 32,
    environment_changes=[],
    before_ladder=False,
)


def test_what_trained_each_run_and_when(tmp_path: Path) -> None:
    record = with_other_seeds(tmp_path)
    record.started, record.host = "2026-01-02T03:00:00Z", "here"
    record.ended = "2026-01-03T00:00:00Z"
    record.verification = VerificationRecord(
        at="2026-01-03T00:00:01Z", figures=3, reproduced=3, problems=[], said={}
    )
    runs = [*record.candidates[:2], record.batch[0]]
    runs += [item for c in record.candidates for item in c.other_seeds]
    for run in runs:
        run.trained = TRAINED
    changed = {"resumed_after_update": 7, "changes": ["backend.cores: 2 -> 4"]}
    late = {"environment_changes": [changed], "dirty": True}
    runs[-1].trained = TRAINED.model_copy(update=late)
    text = written(record, tmp_path)
    plain = (
        "| 2026-01-02T03:04:05Z | 2026-01-02T04:05:06Z | a\\|host | 12345e678901 | abababababab |"
    )
    assert text.count(f"{plain} - |") == 6
    remarks = "with uncommitted changes; after update 7 in another environment"
    assert f"| {runs[-1].run_dir} {plain} {remarks} |" in text
    assert "opened: 2026-01-02T03:00:00Z (host: here). Its end: 2026-01-03T00:00:00Z." in text
    assert "not recorded" not in text.lower()
    assert "before this ladder" not in text


def test_runs_from_before_the_ladder_are_said_to_be(tmp_path: Path) -> None:
    record = adopted(tmp_path)
    record.started = "2026-01-02T05:00:00Z"
    first = record.candidates[0]
    first.trained = TRAINED.model_copy(update={"before_ladder": True})
    text = written(record, tmp_path)
    assert f"Begun before this ladder was opened: {first.run_dir}." in text
    assert "began before the ladder was opened |" in text


def test_what_a_record_does_not_tell_is_said_not_to_be_recorded(tmp_path: Path) -> None:
    record = adopted(tmp_path)
    text = written(record, tmp_path)
    assert "opened: not recorded (host: not recorded). Its end: not recorded." in text
    row = " | not recorded" * 5
    for run in (*record.candidates[:2], record.batch[0]):
        assert f"| {run.run_dir}{row} | - |" in text
    assert "Not recorded when it began: the ladder, mixed_0_90_pathb_lr1e4, " in text
    assert "It is not over." in written(incomplete(tmp_path), tmp_path)


def test_published_figures_stand_beside_a_ladder_of_their_tier(tmp_path: Path) -> None:
    record = rejected(tmp_path)
    assert record.plan
    record.plan.tier = "Large"
    text = written(record, tmp_path)
    assert text.startswith("# Path B: results")
    assert "Path A's best state stays the reference: ext2, 8,340,000" in text
    assert "one training seed each, tier Large." in text
    assert "Not shown" not in text
    assert "of the implementation this one replaces at Large: 8.3 /" in text


def test_the_diagnosis_stands_beside_the_published_segments(tmp_path: Path) -> None:
    record = diagnosed(tmp_path)
    text = written(record, tmp_path)
    low, high = clopper_pearson(12, 32)
    following = text.partition("**Next:** ")[2].partition("\n")[0].replace("\\", "")
    assert following.endswith(
        "Best state of the default run: after update 1018 of mixed_0_90_pathb_defaults, 12/32 = "
        f"0.375 [{low:.3f}, {high:.3f}] on the seeds from 30000, kept as mixed_0_90_pathb_defaults/"
        "checkpoints/slug/1018. Published: ext2, 8,340,000 environment steps, success 0.344."
    )
    section = text.partition("## Diagnosis")[2].partition("\n## ")[0]
    assert "| 3 | 8,339,456 | 11/32 |" in section
    assert "| ext3 (published) | 10,000,000 | 0.156 |" in section
    assert "are missing" not in section
    ways = sum(math.comb(32, k) * math.comb(32, 17 - k) for k in range(6))
    assert f"(p = {ways / math.comb(64, 17):.3f})" in section  # Fisher's exact sum
    assert text.count("| ext2") == 1  # the published segments are not told again below
    elsewhere = best_state(record, PLAN, "..")
    assert "kept as ../mixed_0_90_pathb_defaults/checkpoints/slug/1018. " in elsewhere


def test_without_a_default_run_the_note_says_how_to_train_one(tmp_path: Path) -> None:
    record = rejected(tmp_path)
    record.command = "python scripts/ladder.py --fresh --tier Small"
    text = written(record, tmp_path)
    assert "    python scripts/ladder.py --tier Small --with-baseline\n" in text
    following = text.partition("**Next:** ")[2].partition("\n")[0]
    assert "The best state of the default run is not known: python scripts/ladder.py" in following
    assert "path_b_diagnosis" not in text
    record.command = "'"
    assert "the ladder's command with --with-baseline finds it" in best_state(record, PLAN, ".")
    diagnosis = diagnosed(tmp_path).baseline
    assert diagnosis
    record.baseline = diagnosis.model_copy(update={"diagnosis": None, "status": "running"})
    assert best_state(record, PLAN, ".").startswith("The default run is not over: ")


@pytest.mark.parametrize("build", [adopted, rejected, incomplete])
def test_an_own_protocol_borrows_nothing(build: Any, tmp_path: Path) -> None:
    """A copy of the shipped file at Small: whose figures it holds it does not say."""
    text = written(own(build(tmp_path), OWN), tmp_path)
    assert text.startswith("# mine: results")
    assert not re.search(
        "Path [AB]|(?<!--)tier Large|at Large|programme found|this one replaces", text
    )
    assert "ext2" not in text
    assert "Large differs from Medium" not in text
    assert "code_changes" not in text
    assert "- the protocol's path_a: it names no tier." in text


@pytest.mark.parametrize("build", [adopted, rejected, incomplete, untouched])
def test_an_own_protocol_without_what_decides_nothing(build: Any, tmp_path: Path) -> None:
    kept = OWN.partition("# What a rejection says.")[0]
    text = written(own(build(tmp_path), kept), tmp_path)
    assert "## Beside" not in text
    assert "None" not in text
    assert "(pinned" not in text
    assert "It points to" not in text
    assert "The protocol's envelope" not in text


def test_an_own_protocol_with_figures_of_its_tier(tmp_path: Path) -> None:
    said = OWN.replace("[rejection]", '[rejection]\ntier = "Small"')
    said = said.replace("[path_a]", '[path_a]\ntier = "Small"')
    first, rest = said.split("[[programme]]", 1)
    text = written(own(rejected(tmp_path), f'{first}[[programme]]\ntier = "Small"{rest}'), tmp_path)
    assert "It supports the finding: Large differs from Medium" in text
    assert "The best state published stays the reference: ext2" in text
    assert "Published figures, tier Small." in text
    assert text.count("log_std -1.319") == 1
    assert "0.531 | 0.934" not in text  # the second run names no tier
    assert "- the protocol's programme: it names no tier." in text


def test_what_the_run_folders_tell(tmp_path: Path) -> None:
    """Windows, the path of success, and candidates seed by seed: from files, or left out."""
    record = adopted(tmp_path)
    for candidate, successes in zip(record.candidates[:2], (7, 17), strict=True):
        files = RunFiles(tmp_path / candidate.run_dir, candidate.slug)
        path = [20, successes]
        columns = dict.fromkeys(EVALUATIONS_COLUMNS, np.full(2, 0.5))
        columns |= {"update": np.array([30, 60]), "env_steps": np.array([1, 2])}
        columns |= {"seed_start": np.full(2, 10000), "seeds": np.full(2, 32)}
        write_evaluations(files.evaluations, {**columns, "success_rate": np.array(path) / 32})
        outcome = np.where(np.arange(32) < successes, "success", "timeout")
        rows = dict.fromkeys(EVALUATION_COLUMNS, np.zeros(32)) | {"terminalOutcome": outcome}
        write_table(files.own_set(10000, first=True).rows, rows)
    text = written(record, tmp_path)
    assert "| lr1e4 | 7 of 32 | 20 of 32 | 30 | 0 of 1 |" in text
    assert "| vc0_25 | 17 of 32 | 20 of 32 | 30 | 1 of 1 |" in text
    assert "| lr1e4 | 0 | 10 | 0.002 |" in text  # 2 * 2^-10
    assert "[![Success at every evaluation" in text
    # Of the 11 windows of 50 rows in 60, value_loss stays within 400 in none that ends late.
    assert "| largest value_loss | 10.000 | at most 400.000 | 390.000 | passes in 0 of 11 " in text


def test_a_rejected_candidate_is_not_called_healthy(tmp_path: Path) -> None:
    text = written(rejected(tmp_path), tmp_path)
    assert not re.search(r"(?m)^.*(rejected|failed).*healthy|healthy.*(rejected|failed)", text)
    assert "none that has a name (success is above the floor)" in text


def test_reference_rows(tmp_path: Path) -> None:
    record = adopted(tmp_path)
    assert "## Reference rows" not in written(record, tmp_path)
    reference = ReferenceRecord(name="oracle", sensor_tier="privileged-field", summaries={})
    reference.summaries = sets((32, 31, 30))
    record.references = [reference]
    text = written(record, tmp_path)
    assert "| oracle on privileged-field | 20000 to 20031 | 31 of 32 | 0.838 to 0.999 |" in text


@pytest.mark.parametrize(
    ("build", "step"),
    [
        (adopted, "Train the batch: the same command without --skip-batch."),
        (rejected, "run the protocol without the departures"),
        (incomplete, "Give the same command again"),
        (untouched, "Give the same command again"),
    ],
)
def test_what_to_do_next(build: Any, step: str, tmp_path: Path) -> None:
    record = build(tmp_path)
    assert re.search(rf"(?m)^\*\*Next:\*\* .*{re.escape(step)}", written(record, tmp_path))
    wrong = {"figures": 2, "reproduced": 1, "problems": ["a figure"], "said": {}, "at": "now"}
    record.verification = VerificationRecord(**wrong)
    assert "First find out why the verification fails" in written(record, tmp_path)


def test_the_order_of_the_note(tmp_path: Path) -> None:
    """What was fixed in advance comes before any result."""
    headings = re.findall(r"(?m)^## (.*)$", written(with_other_seeds(tmp_path), tmp_path))
    order = ["What was fixed", "Receipts", "Predictions", "Curves", "Other seeds", "The shadow"]
    order += ["Diagnosis", "The batch", "Beside"]
    order += ["Compute", "What trained it", "Verification", "How to repeat"]
    assert len(headings) == len(order)
    for heading, begins in zip(headings, order, strict=True):
        assert heading.startswith(begins)
