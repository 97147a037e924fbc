"""Which runs are taken up, from what, and what is refused before anything is moved."""

import dataclasses
import shutil

import numpy as np
import pytest
from small_protocol import UPDATES as LADDER_UPDATES
from small_protocol import small_table, write_toml
from small_runs import (
    FLAGS,
    SHAPES,
    VARIANT,
    Watcher,
    bad_input_line,
    command_line,
    read,
    rows,
    small_config,
    tree_of,
)

from pathb_jax.cli.train import main
from pathb_jax.errors import InputError
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs import run, side_by_side, trainer
from pathb_jax.runs.loading import load_newest
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.tables import extended
from pathb_jax.runs.trainer import train
from pathb_jax.store.lock import locked
from pathb_jax.studies.digest import digest

SETS = (10000, 20000, 30000)


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished.files.out, tmp_path / "run")
    return tmp_path / "run"


def interrupt_after(update, config):
    def stop(progress):
        if progress.update == update:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, Watcher(stop))


# A run with other evaluations than are asked for now.


@pytest.mark.parametrize(
    "flags",
    [
        {"eval_seeds": 3},
        {"eval_seed_start": (20000, 10000, 40000)},
        {"eval_seed_start": SETS, "eval_seeds": 5},
        {"eval_seed_start": (30000,), "eval_seeds": 4},
    ],
)
def test_what_is_missing_is_evaluated_with_the_bits_of_a_runs_own(copied, tmp_path, flags):
    before, sha = tree_of(copied), digest(copied)
    config = small_config(copied, **flags)
    outcome = train(config)
    assert not outcome.trained
    own = train(small_config(tmp_path / "own", **flags))
    assert outcome.summaries == own.summaries
    assert list(outcome.summaries) == list(own.summaries)
    for start, where in outcome.evaluation_files.items():
        assert where.rows.read_bytes() == own.evaluation_files[start].rows.read_bytes()
    after = tree_of(copied)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {f"manifests/{outcome.files.slug}.json"}  # it has their digests
    assert digest(copied) == sha
    # A second time they are there.
    train(config)
    assert tree_of(copied) == after


def test_what_is_there_is_not_evaluated_again(copied, monkeypatch):
    monkeypatch.setattr(trainer, "evaluate_further", None)
    config = small_config(copied, eval_seed_start=SETS)  # the first and those every run has
    assert list(train(config).summaries) == list(SETS)


def test_in_run_evaluations_of_other_seeds_are_not_told_as_these(copied):
    assert len(train(small_config(copied)).evaluations["update"]) == 6
    assert len(train(small_config(copied, eval_seeds=3)).evaluations["update"]) == 0


def test_a_stopped_run_goes_on_with_other_evaluations(finished, tmp_path, one_update_per_chunk):
    interrupt_after(4, small_config(tmp_path / "run"))
    outcome = train(small_config(tmp_path / "run", eval_seeds=3))
    assert outcome.trained
    assert {summary["seeds"] for summary in outcome.summaries.values()} == {3}
    same = outcome.history["entropy"] == finished.outcome.history["entropy"]
    assert same.all()
    assert not train(small_config(tmp_path / "run", eval_seeds=3)).trained


def small_plan(folder):
    table = small_table(passes=False)
    table["candidates"] = table["candidates"][:1]
    table["predictions"] = table["predictions"][:1]
    table["compute"]["candidate_hours"] = [0.1]
    protocol = load_protocol(str(write_toml(folder / "small.toml", table)))
    return LadderPlan(protocol, planned_run(protocol), folder / "ladder", parallel_runs=1)


def test_a_ladder_takes_up_what_an_operator_trained_by_hand(tmp_path, monkeypatch):
    """With the programme's flags, and the default 64 seeds where the protocol has 4."""
    label = "mixed_0_90_pathb_lr1e4"
    plan = small_plan(tmp_path)
    typed = (
        f"--variant {VARIANT} --tier Small --mixed-lambda 0.90 --updates {LADDER_UPDATES} "
        f"--lr 1e-4 --out {plan.out}/{label} --run-label {label}"
    )
    assert main([*typed.split(), *command_line(**SHAPES, success_floor=0.0)]) == 0
    by_hand = tree_of(plan.out)
    trained = []
    monkeypatch.setattr(run.Run, "to_the_end", lambda self: trained.append(self))
    record = run_ladder(plan)
    assert trained == []
    entry = record.candidates[0]
    assert entry.status == "rejected"
    assert {summary.seeds for summary in entry.summaries.values()} == {4}
    after = tree_of(plan.out)
    kept = {name for name in by_hand if "/logs/" in name or "/policies/" in name}
    assert {name: after[name] for name in kept} == {name: by_hand[name] for name in kept}

    monkeypatch.undo()
    alone = dataclasses.replace(plan, out=tmp_path / "alone")
    whole = run_ladder(alone)
    told = whole.candidates[0]
    assert entry.summaries == told.summaries
    assert entry.stages == told.stages


def test_a_run_that_lacks_evaluations_is_not_only_read(copied, monkeypatch):
    """So that a cluster's worker makes them, and not the driver."""
    asked = []
    monkeypatch.setattr(
        side_by_side, "_train_group", lambda configs, group, observer: asked.append(group) or []
    )
    list(side_by_side.train_all([small_config(copied, eval_seeds=3)], parallel_runs=1))
    assert asked == [[0]]


# A checkpoint belongs to the run whose configuration it carries.


def test_checkpoints_without_a_manifest_are_nobodys(copied, capsys):
    shutil.rmtree(copied / "manifests")
    for flags, said in (({"lr": 1e-4}, "hparams.lr: 0.0003 -> 0.0001"), ({}, "without its")):
        words = command_line(**{**FLAGS, "out": copied, **flags})
        line = bad_input_line(main, words, capsys, copied)
        assert said in line
        assert "--fresh" in line
    assert main([*words, "--fresh"]) == 0


def test_checkpoints_of_another_run_are_not_resumed(copied, finished, tmp_path):
    """As a program before this one left them: a new run's manifest over an old one's folders."""
    out = tmp_path / "new"
    config = small_config(out, updates=4)
    train(config)
    files = run_files(config)
    manifest = files.manifest
    manifest.write_text(manifest.read_text().replace('"completed"', '"running"'))
    shutil.copytree(finished.files.checkpoints / "6", files.checkpoints / "6")
    before = tree_of(out)
    with pytest.raises(InputError, match=r"update 6 .*schedule\.updates: 6 -> 4"):
        train(config)
    # Nor are they what the folder stands for.
    with pytest.raises(InputError, match=r"--checkpoint.*another run.*schedule\.updates: 6 -> 4"):
        load_newest(out, None, "--checkpoint")
    assert load_newest(files.checkpoints / "6", None, "--checkpoint").meta.update == 6
    after = tree_of(out)
    assert {name for name in after if ".lock" not in name} == {
        name for name in before if ".lock" not in name
    }


def test_checkpoints_beyond_the_end_are_not_taken_for_the_last(copied, finished):
    folder = run_files(small_config(copied)).checkpoints
    shutil.copytree(folder / "6", folder / "9")
    with pytest.raises(InputError, match="ended after update 6, checkpoints are of 3, 6, 9"):
        train(small_config(copied))


# A child names the parent that it really loaded.


@pytest.fixture
def parent(tmp_path):
    """A run with checkpoints of updates 1 and 2, that can go on to 4."""
    config = small_config(tmp_path / "parent", updates=4, eval_every=1)
    interrupt_after(2, config)
    return config


def begin_child(parent, tmp_path):
    flags = {"load_checkpoint": parent.output.out, "updates": 4}
    config = small_config(tmp_path / "child", **flags)
    interrupt_after(1, config)  # before its first checkpoint
    assert manifest_of(config)["parent_checkpoint"].endswith("/2")
    return config


def manifest_of(config):
    return read(run_files(config).manifest)


@pytest.fixture
def _one_by_one(one_update_per_chunk):
    pass


@pytest.mark.usefixtures("_one_by_one")
def test_a_child_begins_again_from_the_state_it_began_from(parent, tmp_path):
    child = begin_child(parent, tmp_path)
    at_two = run_files(parent).checkpoints / "2"
    shutil.copytree(at_two, tmp_path / "kept")
    train(parent)
    if not at_two.exists():
        shutil.copytree(tmp_path / "kept", at_two)
    outcome = train(child)
    assert manifest_of(child)["parent_checkpoint"] == str(at_two)
    assert outcome.history["update"].tolist() == [3, 4, 5, 6]


@pytest.mark.usefixtures("_one_by_one")
def test_a_child_whose_parents_state_is_gone_names_the_later_one(parent, tmp_path):
    child = begin_child(parent, tmp_path)
    train(parent)
    shutil.rmtree(run_files(parent).checkpoints / "2", ignore_errors=True)
    watcher = Watcher()
    outcome = train(child, watcher)
    manifest = manifest_of(child)
    assert manifest["parent_checkpoint"] == str(run_files(parent).checkpoints / "4")
    assert manifest["first_update"] == 4
    assert outcome.history["update"].tolist() == [5, 6, 7, 8]
    assert "is gone; beginning again from" in watcher.notices[0]


# --fresh looks before it moves.


@pytest.mark.parametrize("where", ["run", "checkpoints", "step"])
def test_fresh_does_not_move_what_is_to_be_loaded(copied, capsys, where):
    checkpoints = run_files(small_config(copied)).checkpoints
    path = {"run": copied, "checkpoints": checkpoints, "step": checkpoints / "3"}[where]
    words = command_line(**{**FLAGS, "out": copied, "load_checkpoint": path, "fresh": True})
    line = bad_input_line(main, words, capsys, copied.parent)
    assert line.startswith("error: --load-checkpoint: ")
    assert "--fresh moves aside" in line


def test_fresh_reaches_through_links(copied, tmp_path, capsys):
    (tmp_path / "link").symlink_to(copied)
    flags = {**FLAGS, "out": tmp_path / "link", "load_checkpoint": copied, "fresh": True}
    bad_input_line(main, command_line(**flags), capsys, tmp_path)


def test_fresh_moves_nothing_for_a_parent_that_cannot_be_loaded(copied, tmp_path, capsys):
    (tmp_path / "parent").mkdir()
    flags = {**FLAGS, "out": copied, "load_checkpoint": tmp_path / "parent", "fresh": True}
    bad_input_line(main, command_line(**flags), capsys, tmp_path)


def test_fresh_honours_the_locks_below(copied, tmp_path, capsys):
    words = command_line(**{**FLAGS, "out": tmp_path, "fresh": True})
    with locked(copied):
        assert main(words) == 2
        line = capsys.readouterr().err
    assert f"{copied}" in line
    assert "in use by pid" in line
    assert not list(tmp_path.parent.glob("*.superseded-*"))
    assert not train(small_config(copied)).trained


def test_a_second_ladder_says_so_before_it_measures(tmp_path, monkeypatch, capsys):
    from pathb_jax.cli import ladder
    from pathb_jax.ladder import estimate

    monkeypatch.setattr(estimate, "measure", None)
    out = tmp_path / "ladder"
    with locked(out):
        assert ladder.main(["--tier", "Small", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--out: '{out}' is not allowed; it is in use by pid" in line


def test_the_in_run_evaluations_of_a_long_run_can_be_read_back(tmp_path, monkeypatch):
    """So many as JSON are more than is read of state.json."""
    config = small_config(tmp_path / "run", updates=2, eval_seed_start=SETS)
    evaluate = run.Run._evaluate
    count = 90_000

    def often(self):
        evaluate(self)
        if self.done == 1:
            many = {name: np.tile(x, count // 3) for name, x in self.evaluations.items()}
            self.evaluations = extended(self.evaluations, many)

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "_evaluate", often)
        patch.setattr("pathb_jax.runs.run.CHUNK_SECONDS", 0.0)
        interrupt_after(1, config)
    state = run_files(config).checkpoints / "1" / "state.json"
    assert state.stat().st_size < 2**15
    outcome = train(config)
    assert outcome.trained
    assert len(outcome.evaluations["update"]) == count + 6
    first = rows(outcome.files.evaluations)[0]
    assert (first["update"], first["seed_start"]) == ("1", "10000")
    assert np.isfinite(outcome.evaluations["mean_steps"]).all()
