"""A finished run's files edited by hand, one edit at a time: each is noticed and named."""

import json
import re
import shutil

import numpy as np
import pytest
from small_runs import FLAGS, bad_input_line, command_line, read, small_config, tree_of

from pathb_jax.cli.train import main
from pathb_jax.runs.evidence import evidence_problems
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store.checkpoint_store import CheckpointStore
from pathb_jax.store.checkpoints import named_arrays, read_meta

HISTORY, IN_RUN = "_history.csv", "_evaluations.csv"
FIRST, SHIFTED = "_evaluation", "_evaluation_seed_20000"
POLICY, MANIFEST = ".policy.json", "manifest"


def lines(change):
    """Edit a text file's lines; the first is the header."""

    def edit(path):
        text = path.read_text().splitlines(keepends=True)
        path.write_text("".join(change(text)))

    return edit


def cell(column, change, row=2):
    """Edit one cell of a CSV file; row 1 is the first below the header."""

    def edit(path):
        header, *rest = path.read_text().splitlines()
        at = header.split(",").index(column)
        cells = rest[row - 1].split(",")
        cells[at] = change(cells[at])
        rest[row - 1] = ",".join(cells)
        path.write_text("\n".join([header, *rest]) + "\n")

    return edit


def key(name, change):
    """Edit one value of a JSON file, at a path of keys with dots."""

    def edit(path):
        content = read(path)
        *groups, last = name.split(".")
        inner = content
        for group in groups:
            inner = inner[int(group) if group.isdigit() else group]
        inner[last] = change(inner.get(last))
        path.write_text(json.dumps(content))

    return edit


def more(x):
    return x + 1


def nudged(text):
    return repr(float(np.nextafter(float(text), 9e9)))


def flipped(text):
    return "timeout" if text == "success" else "success"


def unlink(path):
    path.unlink()


def first_weight(layers):
    layers[0]["weight"][0][0] += 1e-3
    return layers


def first_mean(normalization):
    normalization["obs_mean"][0] += 1e-3
    return normalization


CHECKPOINT = [  # found by the checkpoint or by agreement, whatever the manifest's digests say
    ("cut mid-row", HISTORY, lambda path: path.write_bytes(path.read_bytes()[:-30])),
    ("a row short", HISTORY, lines(lambda t: t[:-1])),
    ("without its first row", HISTORY, lines(lambda t: [t[0], *t[2:]])),
    ("doubled", HISTORY, lines(lambda t: [*t, *t[1:]])),
    ("a row twice", HISTORY, lines(lambda t: [*t[:3], *t[2:]])),
    ("reversed", HISTORY, lines(lambda t: [t[0], *t[:0:-1]])),
    ("two rows exchanged", HISTORY, lines(lambda t: [t[0], t[2], t[1], *t[3:]])),
    ("empty", HISTORY, lines(lambda t: t[:1])),
    ("gone", HISTORY, unlink),
    ("a last bit of entropy", HISTORY, cell("entropy", nudged)),
    ("value_loss", HISTORY, cell("value_loss", lambda x: "1.0", row=6)),
    ("log_std", HISTORY, cell("log_std", lambda x: f"-{x}")),
    ("wall_seconds", HISTORY, cell("wall_seconds", lambda x: "1.0")),
    ("not a number", HISTORY, cell("entropy", lambda x: "low")),
    ("nan", HISTORY, cell("value_loss", lambda x: "nan")),
    ("a column gone", HISTORY, lines(lambda t: [line.partition(",")[2] for line in t])),
    ("in-run success", IN_RUN, cell("success_rate", lambda x: "1.0", row=1)),
    ("in-run alignment", IN_RUN, cell("mean_terminal_alignment", nudged)),
    ("in-run row gone", IN_RUN, lines(lambda t: [t[0], *t[2:]])),
    ("in-run rows doubled", IN_RUN, lines(lambda t: [*t, *t[1:]])),
    ("in-run gone", IN_RUN, unlink),
    ("all succeed", f"{FIRST}_summary.json", key("success_count", lambda x: 4)),
    ("success rate", f"{FIRST}_summary.json", key("success_rate", lambda x: 1.0)),
    ("alignment", f"{FIRST}_summary.json", key("mean_terminal_alignment", lambda x: x + 1e-6)),
    ("mean steps", f"{SHIFTED}_summary.json", key("mean_steps", lambda x: x - 1)),
    ("fewer seeds", f"{SHIFTED}_summary.json", key("seeds", lambda x: 3)),
    ("other seeds", f"{SHIFTED}_summary.json", key("seed_start", lambda x: 10000)),
    ("another checkpoint", f"{FIRST}_summary.json", key("checkpoint", lambda x: x[:-1] + "3")),
    ("another tier", f"{FIRST}_summary.json", key("sensor_tier", lambda x: "noisy-field")),
    ("another lambda", f"{FIRST}_summary.json", key("env_config.mixed_lambda", lambda x: 0.5)),
    ("a summary gone", f"{SHIFTED}_summary.json", unlink),
    ("an outcome", f"{FIRST}.csv", cell("terminalOutcome", flipped)),
    ("an outcome of another kind", f"{FIRST}.csv", cell("terminalOutcome", lambda x: "won")),
    ("an episode's steps", f"{FIRST}.csv", cell("steps", lambda x: "7")),
    ("an episode's alignment", f"{SHIFTED}.csv", cell("terminalAlignment", lambda x: "0.99")),
    ("a row of an evaluation gone", f"{SHIFTED}.csv", lines(lambda t: t[:-1])),
    ("rows of an evaluation exchanged", f"{FIRST}.csv", lines(lambda t: [t[0], *t[:0:-1]])),
    ("rows cut", f"{FIRST}.csv", lambda path: path.write_bytes(path.read_bytes()[:-5])),
    ("a weight", POLICY, key("layers", first_weight)),
    ("a mean", POLICY, key("normalization", first_mean)),
    ("the scale", POLICY, key("action_scale", lambda x: 0.5)),
    ("whose it is", POLICY, key("metadata.seed", more)),
    ("no policy", POLICY, unlink),
    ("status", MANIFEST, key("status", lambda x: "diverged")),
    ("last update", MANIFEST, key("update", lambda x: 3)),
    ("first update", MANIFEST, key("first_update", more)),
    ("steps", MANIFEST, key("env_steps", more)),
    ("seconds", MANIFEST, key("train_seconds", lambda x: x / 2)),
    ("a setting", MANIFEST, key("config.hparams.lr", lambda x: 1e-4)),
]
DIGESTS = [  # figures that nothing else tells of
    ("a distance", f"{FIRST}.csv", cell("terminalDistance", nudged)),
    ("an efficiency", f"{SHIFTED}.csv", cell("pathEfficiency", nudged)),
    ("a last place", f"{FIRST}.csv", cell("terminalX", nudged)),
    ("a key more", f"{FIRST}_summary.json", key("remark", lambda x: "fine")),
    ("a column more", HISTORY, lines(lambda t: [line[:-1] + ",x\n" for line in t])),
    ("metadata", POLICY, key("metadata.remark", lambda x: "fine")),
]
assert len(CHECKPOINT) + len(DIGESTS) >= 32


def ids(edits):
    return [f"{suffix}: {what}" for what, suffix, _ in edits]


def place(files, suffix):
    if suffix == MANIFEST:
        return files.manifest
    if suffix == POLICY:
        return files.policy
    return files.out / "logs" / f"{files.slug}{suffix}"


@pytest.fixture
def run(finished, tmp_path):
    """The files of a copy, to be edited."""
    shutil.copytree(finished.files.out, tmp_path / "run")
    return run_files(small_config(tmp_path / "run"))


def forget_digests(files):
    key("evidence", lambda x: {})(files.manifest)


def assert_noticed(files, suffix, problems):
    assert problems
    assert all("\n" not in problem for problem in problems)
    if suffix != MANIFEST:
        name = place(files, suffix).stem.removesuffix("_summary")
        assert any(name in problem for problem in problems), problems


@pytest.mark.parametrize("edit", CHECKPOINT, ids=ids(CHECKPOINT))
def test_an_edit_is_noticed_without_digests(run, edit):
    """As for the runs of programs that recorded none."""
    forget_digests(run)
    assert evidence_problems(run) == []
    _, suffix, change = edit
    change(place(run, suffix))
    assert_noticed(run, suffix, evidence_problems(run))


@pytest.mark.parametrize("edit", CHECKPOINT + DIGESTS, ids=ids(CHECKPOINT + DIGESTS))
def test_an_edit_is_noticed(run, edit):
    assert evidence_problems(run) == []
    _, suffix, change = edit
    change(place(run, suffix))
    assert_noticed(run, suffix, evidence_problems(run))


@pytest.mark.parametrize(
    ("suffix", "change", "said"),
    [
        (HISTORY, cell("entropy", lambda x: "1.5"), r"row 2, entropy 1\.5 instead of \d"),
        (HISTORY, lines(lambda t: t[:-1]), "_history.csv: 5 rows instead of 6"),
        (f"{FIRST}_summary.json", key("success_count", lambda x: 4), "success_count 4 instead of"),
    ],
)
def test_a_run_that_is_taken_up_is_checked(run, capsys, suffix, change, said):
    change(place(run, suffix))
    words = command_line(**{**FLAGS, "out": run.out})
    line = bad_input_line(main, words, capsys, run.out)
    assert line.startswith("error: --out: ")
    assert re.search(said, line)
    assert main([*words, "--fresh"]) == 0


def test_further_evaluations_are_checked_too(run):
    train(small_config(run.out, eval_seeds=3))
    assert evidence_problems(run) == []
    where = run.further_set(20000, 3)
    for path, change in (
        (where.rows, cell("terminalOutcome", flipped)),
        (where.rows, cell("terminalDistance", nudged)),
        (where.summary, key("success_count", lambda x: 3)),
    ):
        before = path.read_bytes()
        change(path)
        assert_noticed(run, path.name.removeprefix(run.slug), evidence_problems(run))
        path.write_bytes(before)
    where.rows.unlink()
    assert evidence_problems(run)


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_without_its_checkpoint_nothing_vouches_for_a_run(run, how):
    if how == "gone":
        shutil.rmtree(run.checkpoints / "6")
    else:
        (run.checkpoints / "6" / "state.json").write_text("{}")
    (problem,) = evidence_problems(run)
    assert problem.startswith("the last checkpoint: ")


def test_a_broken_manifest_is_named(run):
    for text in ("", "[]", "{}", '{"status": "completed"}'):
        run.manifest.write_text(text)
        (problem,) = evidence_problems(run)
        assert str(run.manifest) in problem
    run.manifest.unlink()
    assert evidence_problems(run)


def test_a_diverged_run_is_checked_up_to_its_checkpoint_and_counted_beyond(tmp_path, monkeypatch):
    monkeypatch.setattr("pathb_jax.runs.run.CHUNK_SECONDS", 0.0)
    outcome = train(small_config(tmp_path / "run", lr=5.0, updates=40, eval_every=5))
    assert outcome.status == "diverged"
    files = outcome.files
    assert evidence_problems(files) == []
    forget_digests(files)
    rows = len(outcome.history["update"])
    saved = max(int(path.name) for path in files.checkpoints.iterdir())
    assert 0 < saved < rows
    before = files.history.read_bytes()
    for change in (
        cell("entropy", nudged, row=saved),
        cell("env_steps", lambda x: "1", row=rows),
        lines(lambda t: t[:-1]),
        lines(lambda t: [*t, t[-1]]),
        cell("entropy", lambda x: "inf", row=rows),
    ):
        change(files.history)
        assert_noticed(files, HISTORY, evidence_problems(files))
        files.history.write_bytes(before)
    key("diverged.update", lambda x: x + 5)(files.manifest)
    assert evidence_problems(files)


def test_a_run_that_diverged_before_its_first_checkpoint(tmp_path):
    outcome = train(small_config(tmp_path / "run", lr=1e30))
    assert outcome.status == "diverged"
    assert not list(outcome.files.checkpoints.iterdir())
    assert evidence_problems(outcome.files) == []
    assert not train(small_config(tmp_path / "run", lr=1e30)).trained


def as_before(files):
    """Write a run as programs before this one did.

    Evaluations in state.json, no digests, 14 columns of history, nothing of episodes under way.
    """
    forget_digests(files)
    rows = [",".join(line.split(",")[:14]) for line in files.history.read_text().splitlines()]
    files.history.write_text("\n".join(rows) + "\n")
    for update in (3, 6):
        step = files.checkpoints / str(update)
        meta, arrays = read_meta(step), named_arrays(step)
        table = arrays.pop("evaluations").tolist()
        arrays["history"] = arrays["history"][:, :14]
        arrays = {n: x for n, x in arrays.items() if not n.startswith("state.ongoing")}
        columns = files.evaluations.read_text().splitlines()[0].split(",")
        counts = ("update", "env_steps", "seed_start", "seeds")
        del meta["columns"]
        meta["evaluations"] = [
            {n: int(x) if n in counts else x for n, x in zip(columns, row, strict=True)}
            for row in table
        ]
        shutil.rmtree(step)
        with CheckpointStore(files.checkpoints) as store:
            store.save(update, nested(arrays), meta, None)


def nested(arrays):
    tree = {}
    for name, array in arrays.items():
        inner, (*parts, last) = tree, name.split(".")
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = array
    return tree


def test_a_run_of_an_earlier_program_is_taken_up(run, finished):
    as_before(run)
    before = tree_of(run.out)
    assert "evaluations" in read_meta(run.checkpoints / "6")
    assert evidence_problems(run) == []
    outcome = train(small_config(run.out))
    assert not outcome.trained
    assert outcome.summaries == finished.outcome.summaries
    assert tree_of(run.out) == before
    cell("success_rate", lambda x: "1.0")(run.evaluations)
    assert_noticed(run, IN_RUN, evidence_problems(run))


def test_a_run_of_an_earlier_program_goes_on(run, finished):
    as_before(run)
    shutil.rmtree(run.checkpoints / "6")
    key("status", lambda x: "running")(run.manifest)
    outcome = train(small_config(run.out))
    assert outcome.trained
    theirs, ours = finished.files, outcome.files
    assert ours.evaluations.read_bytes() == theirs.evaluations.read_bytes()
    assert ours.policy.read_bytes() == theirs.policy.read_bytes()
    assert evidence_problems(run) == []
