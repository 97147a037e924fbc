"""The ladder command, really run: a small protocol from its file to a verdict."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from quick import hurry
from small_protocol import UPDATES, small_table, write_toml
from small_runs import BATCH_SIZE, VARIANT, read, rows, tree_of

from pathb_jax.cli.ladder import main
from pathb_jax.ladder import estimate
from pathb_jax.runs import trainer
from pathb_jax.store.record import read_record

ADOPTED = ["mixed_0_90_pathb_lr1e4", "reward_phase3_pathb_lr1e4"]
REJECTED = ["mixed_0_90_pathb_lr1e4", "mixed_0_90_pathb_vc0_25"]
NOTE = "PHASE7_V2_PATH_B_RESULTS.md"


@pytest.fixture(scope="module", autouse=True)
def _short_probe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "PROBE_SECONDS", 0.0)
        yield


class Ladder(NamedTuple):
    """A ladder that was run, and what the command said."""

    folder: Path
    protocol: Path
    words: list[str]
    code: int
    out: str
    err: str

    @property
    def files(self) -> dict[str, bytes]:
        return tree_of(self.folder)


def run_small(folder, *, passes, more=()):
    protocol = write_toml(folder / "small.toml", small_table(passes=passes))
    words = ["--protocol", str(protocol), "--out", str(folder / "ladder"), *map(str, more)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return Ladder(folder / "ladder", protocol, words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adopted")
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        return run_small(folder, passes=True, more=["--note", folder / "docs" / "mesa" / "note.md"])


@pytest.fixture(scope="module")
def rejected(tmp_path_factory):
    """Its figures are rendered."""
    return run_small(tmp_path_factory.mktemp("rejected"), passes=False, more=["--no-progress"])


def test_an_adoption_ends_with_0(adopted):
    assert adopted.code == 0, adopted.err
    record = read_record(adopted.folder / "ladder.json")
    assert (record.verdict, record.adopted) == ("adopted", "lr1e4")
    assert (record.standing, record.deviations) == ("registered", [])
    assert "verdict: adopted lr1e4 (registered)" in adopted.out


def test_the_battery_of_what_was_adopted_is_told(adopted, rejected):
    record = read_record(adopted.folder / "ladder.json")
    assert [item.run_dir for item in record.batteries] == ADOPTED
    assert record.verification.problems == []
    for item in record.batteries:
        assert [*(adopted.folder / item.run_dir).glob("logs/*_battery.csv")]
        told = f"| {item.run_dir} | {item.success_count} of 64 |"
        assert told in (adopted.folder / NOTE).read_text()
    assert read_record(rejected.folder / "ladder.json").batteries == []


def test_a_rejection_ends_with_3(rejected):
    assert rejected.code == 3, rejected.err
    record = read_record(rejected.folder / "ladder.json")
    assert record.verdict == "rejected"
    assert [entry.status for entry in record.candidates] == ["rejected"] * 2
    assert "verdict: rejected (registered)" in rejected.out
    assert "Traceback" not in rejected.err


@pytest.mark.parametrize(("name", "labels"), [("adopted", ADOPTED), ("rejected", REJECTED)])
def test_each_run_has_its_folder_and_its_files(request, name, labels):
    ladder = request.getfixturevalue(name)
    folders = {path.name for path in ladder.folder.iterdir() if path.is_dir()}
    assert folders == {*labels, "figures"}
    for label in labels:
        variant = "reward_ppo_phase3" if label.startswith("reward") else VARIANT
        slug = f"{variant}_small_seed_0_{label}"
        files = {file for file in ladder.files if file.startswith(f"{label}/logs/{slug}")}
        sets = ("", "_seed_20000", "_seed_30000")
        assert files - {f"{label}/logs/{slug}_battery.csv"} == {
            f"{label}/logs/{slug}{end}"
            for end in (
                "_history.csv",
                "_evaluations.csv",
                *(f"_evaluation{s}{e}" for s in sets for e in (".csv", "_summary.json")),
            )
        }
        assert f"{label}/policies/{slug}.policy.json" in ladder.files
        assert f"{label}/manifests/{slug}.json" in ladder.files
        assert f"{label}/checkpoints/{slug}/{UPDATES}/manifest.json" in ladder.files
        assert len(rows(ladder.folder / label / "logs" / f"{slug}_history.csv")) == UPDATES


def test_the_record_agrees_with_the_runs_files(adopted):
    record = read_record(adopted.folder / "ladder.json")
    for entry in (record.candidates[0], record.batch[0]):
        run_dir = adopted.folder / entry.run_dir
        summary = read(run_dir / "logs" / f"{entry.slug}_evaluation_summary.json")
        told = entry.summaries["10000"]
        for name in ("success_count", "seeds", "success_rate", "mean_terminal_alignment"):
            assert getattr(told, name) == summary[name]
        assert entry.env_steps == UPDATES * BATCH_SIZE
        history = rows(run_dir / "logs" / f"{entry.slug}_history.csv")
        assert entry.wall_seconds == pytest.approx(float(history[-1]["wall_seconds"]))
        manifest = read(run_dir / "manifests" / f"{entry.slug}.json")
        assert manifest["config"]["hparams"]["lr"] == 1e-4
    stage = record.candidates[0].stages[1]
    history = rows(next(adopted.folder.glob("mixed*/logs/*_history.csv")))
    assert stage.figures["entropy"] == float(history[-1]["entropy"])
    assert record.compute.used_hours == pytest.approx(
        sum(entry.wall_seconds for entry in (record.candidates[0], record.batch[0])) / 3600
    )


def test_note_and_figures_lie_beside_the_record_and_where_asked(adopted, rejected):
    """Those of the rejected are rendered."""
    for ladder, verdict, begins in (
        (adopted, "Adopted: lr1e4", b""),
        (rejected, "Rejected: none", b"\x89PNG"),
    ):
        note = (ladder.folder / NOTE).read_text()
        assert verdict in note
        figures = re.findall(r"\]\((figures/[^)]+\.png)\)", note)
        assert figures
        for figure in figures:
            assert (ladder.folder / figure).read_bytes().startswith(begins)
    elsewhere = adopted.folder.parent / "docs" / "mesa" / "note.md"
    assert "Adopted: lr1e4" in elsewhere.read_text()


def test_the_plan_is_printed_before_the_run(adopted, rejected):
    for ladder in (adopted, rejected):
        assert "protocol small" in ladder.out
        assert "50 updates = 3,200 environment steps per run" in ladder.out
        assert "departures: none" in ladder.out
        assert "environment steps/s" in ladder.out
        assert ladder.out.index("estimate") < ladder.out.index("verdict:")


def test_progress_can_be_switched_off(adopted, rejected):
    assert "steps/s" in adopted.err
    *lines, page = rejected.err.splitlines()
    assert page.startswith("page:   ")  # or why there is none
    assert lines == [
        "measuring how fast this machine trains ...",
        "lr1e4: rejected; stage 1, success_floor: 0.000 < 1.00",
        "vc0_25: rejected; stage 1, success_floor: 0.000 < 1.00",
        f"record: {rejected.folder / 'ladder.json'}",
        f"note:   {rejected.folder / NOTE}",
    ]


@pytest.mark.parametrize("name", ["adopted", "rejected"])
def test_run_again_it_trains_nothing_and_reports(request, name, monkeypatch, capsys):
    ladder = request.getfixturevalue(name)
    before = ladder.files
    if name == "adopted":
        hurry(monkeypatch)
    monkeypatch.setattr(trainer, "train", None)
    monkeypatch.setattr(estimate, "measure", None)
    assert main(ladder.words) == ladder.code
    out, told = capsys.readouterr()
    assert "this ladder has finished; nothing to train" in told
    assert out.splitlines()[-3:] == ladder.out.splitlines()[-3:]
    assert main([*ladder.words, "--json", "-"]) == ladder.code
    result = json.loads(capsys.readouterr().out)
    assert result["record"] == read(ladder.folder / "ladder.json")
    assert ladder.files == before


def test_a_plan_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocol = write_toml(tmp_path / "small.toml", small_table(passes=True))
    before = tree_of(tmp_path)
    words = ["--protocol", str(protocol), "--plan", "--updates", "60", "--seed", "3"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert tree_of(tmp_path) == before
    for said in (
        *("lr 0.0003 -> 0.0001", "value_coef 0.5 -> 0.25", "60 updates = 3,840"),
        *("exploratory", "updates: 50 -> 60", "seed: 0 -> 3", "at most 2 candidates"),
        "results/mesa/phase7v2-small-cliff-subset",
    ):
        assert said in out
    assert re.search(r"one run \d+:\d\d,", out)


def test_an_estimate_is_made_of_what_was_measured(tmp_path):
    found = estimate.Estimate(
        compile_seconds=9.0,
        update_seconds=2.0,
        evaluation_seconds=0.5,
        env_steps_per_second=1.0,
        updates=100,
    )
    one = 100 * 2.0 + estimate.EVALUATIONS_PER_RUN * 0.5
    assert found.run_seconds == one
    assert found.seconds_of(5) == 5 * one
    assert found._replace(devices=2).seconds_of(5) == 3 * one


def test_interrupted_it_goes_on(tmp_path, capsys, monkeypatch):
    hurry(monkeypatch)
    train, seen = trainer.train, []

    def stop(config, observer):
        seen.append(config.output.run_label)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return train(config, observer)

    protocol = write_toml(tmp_path / "small.toml", small_table(passes=True))
    words = ["--protocol", str(protocol), "--out", str(tmp_path / "ladder")]
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train", stop)
        assert main(words) == 130
    assert seen == ADOPTED
    record = read_record(tmp_path / "ladder" / "ladder.json")
    assert (record.verdict, record.batch[0].status) == ("adopted", "running")
    capsys.readouterr()
    assert main(words) == 0
    record = read_record(tmp_path / "ladder" / "ladder.json")
    assert record.batch[0].status == "finished"


def test_another_protocol_in_the_same_folder_is_refused(rejected, tmp_path, capsys):
    before = rejected.files
    other = write_toml(tmp_path / "small.toml", small_table(passes=True))
    assert main(["--protocol", str(other), "--out", str(rejected.folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --protocol: ")
    assert "stages.success_floor.threshold: 1.0 -> 0.0" in line
    assert rejected.files == before
