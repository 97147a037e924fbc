"""Copies of a finished ladder with one edit each: every one is found."""

import csv
import hashlib
import json
import shutil

import pytest

from pathb_jax.cli.verify import main
from pathb_jax.verification.verify import verify

ADOPTED = "mixed_0_90_pathb_vc0_25"
DIVERGED = "mixed_0_90_pathb_lr1e4"
BATCH = "reward_phase3_pathb_vc0_25"
RECORD = "ladder.json"


def change(path, *keys, value):
    """Set a value of a JSON file; a function makes the new value of the old one."""
    content = json.loads(path.read_text())
    holder = content
    for key in keys[:-1]:
        holder = holder[key]
    old = holder[keys[-1]]
    holder[keys[-1]] = value(old) if callable(value) else value
    assert holder[keys[-1]] != old
    path.write_text(json.dumps(content, indent=2))


def in_record(*keys, value):
    return lambda folder: change(folder / RECORD, *keys, value=value)


def in_file(pattern, *keys, value):
    return lambda folder: change(next(folder.glob(pattern)), *keys, value=value)


def table(pattern, edit):
    """Edit the rows of a CSV file, lists of cells, the header not among them."""

    def apply(folder):
        path = next(folder.glob(pattern))
        with path.open(newline="") as stream:
            header, *rows = list(csv.reader(stream))
        before = [list(row) for row in rows]
        rows = edit(header, rows) or rows
        assert rows != before
        with path.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([header, *rows])

    return apply


def cell(pattern, row, column, value):
    def edit(header, rows):
        index = header.index(column)
        rows[row][index] = repr(value(float(rows[row][index]))) if callable(value) else value

    return table(pattern, edit)


def both(*edits):
    def apply(folder):
        for edit in edits:
            edit(folder)

    return apply


def plus(amount):
    return lambda old: old + amount


def remove(pattern):
    def apply(folder):
        path = next(folder.glob(pattern))
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def flip_a_bit(folder):
    files = [f for f in folder.glob(f"{ADOPTED}/checkpoints/*/50/arrays/**/*") if f.is_file()]
    path = max(files, key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def protocol_text(folder, consistent):
    path = folder / RECORD
    record = json.loads(path.read_text())
    text = record["protocol"]["text"].replace('"threshold" = 0.0', '"threshold" = 0.01')
    assert text != record["protocol"]["text"]
    record["protocol"]["text"] = text
    if consistent:
        record["protocol"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(record))


def history_and_record(folder):
    """A calmer last row, and a record that agrees with it."""
    cell(HISTORY, -1, "entropy", lambda old: old - 1)(folder)
    in_record(*SECOND, "stages", 1, "figures", "entropy", value=lambda old: old - 1)(folder)


def another_world(folder):
    """A longer path, told the same everywhere: no mean, rate or distance is another."""
    cell(ROWS, 1, "pathLength", lambda old: old * 1.1)(folder)
    cell(ROWS, 1, "pathEfficiency", lambda old: old / 1.1)(folder)
    path, manifest = next(folder.glob(ROWS)), next(folder.glob(MANIFEST))
    digests = json.loads(manifest.read_text()).get("evidence", {})
    for name in digests:
        if name.endswith(path.name):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            change(manifest, "evidence", name, value=sha256)


def swapped_policy(folder):
    ours = next(folder.glob(f"{ADOPTED}/policies/*"))
    other = json.loads(next(folder.glob(f"{ADOPTED}_seed_1/policies/*")).read_text())
    own = json.loads(ours.read_text())
    ours.write_text(json.dumps(own | {name: other[name] for name in ("layers", "normalization")}))


HISTORY = f"{ADOPTED}/logs/*_history.csv"
ROWS = f"{ADOPTED}/logs/*_{ADOPTED}_evaluation.csv"
SHIFTED = f"{ADOPTED}/logs/*_evaluation_seed_20000.csv"
SUMMARY = f"{ADOPTED}/logs/*_{ADOPTED}_evaluation_summary.json"
IN_RUN = f"{ADOPTED}/logs/*_evaluations.csv"
POLICY = f"{ADOPTED}/policies/*.json"
MANIFEST = f"{ADOPTED}/manifests/*.json"
FIRST, SECOND = ("candidates", 0), ("candidates", 1)
OTHER = (*SECOND, "other_seeds", 0)

IN_CI = {
    "a stage's figure": in_record(*SECOND, "stages", 1, "figures", "entropy", value=plus(0.001)),
    "a grade": in_record("predictions", "GG3", value="falsified"),
    "a history's cell": cell(HISTORY, 3, "value_loss", plus(1.0)),
    "an episode where none ended": cell(HISTORY, 3, "episode_return", "1.0"),
    "a history cut mid-row": lambda folder: (path := next(folder.glob(HISTORY))).write_bytes(
        path.read_bytes()[:-9]
    ),
    "an outcome": cell(ROWS, 2, "terminalOutcome", "success"),
    "a summary's count": in_file(SUMMARY, "success_count", value=4),
    "an in-run evaluation": cell(IN_RUN, 0, "mean_terminal_alignment", plus(0.01)),
    "a weight of the policy": in_file(POLICY, "layers", 1, "bias", 3, value=plus(0.1)),
    "a manifest's setting": in_file(MANIFEST, "config", "hparams", "lr", value=1e-3),
    "history and record alike": history_and_record,
    "rows that are possible, of another policy": another_world,
    "nobody is adopted": in_record("adopted", value="nobody"),
}
MORE = {
    # the record
    "a summary of the record": in_record(*SECOND, "summaries", "20000", "mean_steps", value=100.0),
    "a count of the record": in_record(
        *SECOND,
        "summaries",
        "30000",
        value=lambda old: old | {"success_count": 1, "success_rate": 0.25},
    ),
    "an interval": in_record(*SECOND, "summaries", "10000", "interval", 1, value=0.3),
    "a stage's threshold": in_record(*SECOND, "stages", 2, "figures", "threshold", value=0.5),
    "a reason": in_record(*FIRST, "stages", 0, "reasons", value=["0.219 < 0.40"]),
    "what diverged": in_record(*FIRST, "diverged", value="entropy not finite at update 2"),
    "a failure mode": in_record(*SECOND, "failure_mode", value="healthy"),
    "a figure of a failure mode": in_record(*SECOND, "failure_figures", "log_std", value=plus(0.1)),
    "environment steps": in_record(*SECOND, "env_steps", value=10_002_432),
    "seconds": in_record(*SECOND, "wall_seconds", value=plus(1.0)),
    "steps per second": in_record(*SECOND, "env_steps_per_second", value=1e6),
    "another seed's failure mode": in_record(*OTHER, "failure_mode", value="mode_collapse"),
    "seeds that pass": in_record("training_seeds", "passes", -1, "passed", value=1),
    "a seed's verdict": in_record("training_seeds", "verdicts", "1", value="rejected"),
    "a diverged candidate is rejected": in_record(*FIRST, "status", value="rejected"),
    "the verdict": in_record("verdict", value="incomplete"),
    "hours": in_record("compute", "used_hours", value=plus(0.5)),
    "hours that were stated": in_record("compute", "planned_hours", value=None),
    "overlap": in_record("seed_overlap", "sets", "20000", value=0),
    "the protocol's text": lambda folder: protocol_text(folder, consistent=False),
    "the protocol's text and hash": lambda folder: protocol_text(folder, consistent=True),
    "no text": in_record("protocol", value=lambda old: {**old, "text": ""}),
    "the standing": both(
        in_record("standing", value="canonical"), in_record("canonical", value=True)
    ),
    "a departure that is none": both(
        in_record("deviations", value=["tier: Large -> Small"]),
        in_record("standing", value="exploratory"),
    ),
    "versions": in_record("backend", "versions", "jax", value="0.11.0"),
    "a candidate's change": in_record(*SECOND, "hparams", "value_coef", value=0.3),
    "a dropped candidate": in_record("candidates", value=lambda old: old[1:]),
    "another run's folder": in_record(*SECOND, "run_dir", value=DIVERGED),
    "a slug": in_record("batch", 0, "slug", value="another"),
    "a batch run's rate": in_record("batch", 0, "success_rate", value=0.5),
    # histories
    "a row less": table(HISTORY, lambda header, rows: rows[:-1]),
    "a row twice": table(HISTORY, lambda header, rows: [*rows, rows[-1]]),
    "rows reversed": table(HISTORY, lambda header, rows: rows[::-1]),
    "a batch run's history": cell(f"{BATCH}/logs/*_history.csv", 9, "log_std", plus(0.1)),
    "another seed's history": cell(f"{ADOPTED}_seed_1/logs/*_history.csv", 9, "entropy", plus(0.1)),
    "a diverged run's history": table(
        f"{DIVERGED}/logs/*_history.csv",
        lambda header, rows: [*rows, *rows[-1:]] if rows else [["1"] * len(header)],
    ),
    # evaluations
    "a row's alignment": cell(ROWS, 0, "terminalAlignment", plus(-0.01)),
    "a row's steps": cell(ROWS, 0, "steps", "150"),
    "two seeds exchanged": table(
        SHIFTED,
        lambda header, rows: [[a[0], *b[1:]] for a, b in zip(rows, rows[::-1], strict=True)],
    ),
    "a seed twice": table(SHIFTED, lambda header, rows: [rows[0], rows[0], *rows[2:]]),
    "a row's saturated steps": cell(ROWS, 0, "saturationCount", "77"),
    "a text for a figure": cell(ROWS, 0, "pathLength", "many"),
    "no finite figure": cell(ROWS, 0, "terminalX", "inf"),
    "rows and summary alike": both(
        cell(ROWS, 1, "terminalAlignment", plus(0.04)),
        in_file(SUMMARY, "mean_terminal_alignment", value=plus(0.01)),
    ),
    "a summary's alignment": in_file(SUMMARY, "mean_terminal_alignment", value=plus(0.1)),
    "a summary's checkpoint": in_file(SUMMARY, "checkpoint", value="checkpoints/x/40"),
    "the last in-run evaluation": cell(IN_RUN, -1, "success_rate", "0.75"),
    # policies, manifests, checkpoints
    "the normaliser": in_file(POLICY, "normalization", "obs_mean", 0, value=plus(0.01)),
    "the scale": in_file(POLICY, "action_scale", value=0.9),
    "a policy's seed": in_file(POLICY, "metadata", "seed", value=7),
    "another seed's policy": swapped_policy,
    "a manifest's steps": in_file(MANIFEST, "env_steps", value=10_002_432),
    "a manifest's seconds": in_file(MANIFEST, "train_seconds", value=plus(1.0)),
    "a manifest's status": in_file(MANIFEST, "status", value="running"),
    "a manifest's reward": in_file(MANIFEST, "config", "task", "false_basin_beta", value=0.0),
    "a manifest that is a list": lambda folder: next(folder.glob(MANIFEST)).write_text("[]"),
    "a bit of the checkpoint": flip_a_bit,
    "no checkpoint": remove(f"{ADOPTED}/checkpoints"),
    "no policy": remove(POLICY),
    "no rows": remove(SHIFTED),
    "no history": remove(HISTORY),
    "no in-run evaluations": remove(IN_RUN),
    "no manifest": remove(MANIFEST),
}
EDITS = [pytest.param(edit, id=name) for name, edit in IN_CI.items()]
EDITS += [pytest.param(edit, id=name, marks=pytest.mark.slow) for name, edit in MORE.items()]


def test_an_honest_ladder_holds(ladder, capsys):
    assert main([str(ladder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "everything holds"
    assert "policies replayed: 9 of 9 sets" in out
    record = json.loads((ladder / RECORD).read_text())
    assert [c["status"] for c in record["candidates"]] == ["diverged", "adopted"]
    # And so it says itself.
    told = record["verification"]
    assert (told["problems"], told["reproduced"]) == ([], told["figures"])
    assert told["said"]["policies replayed"] == "9 of 9 sets"


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found(copy, edit, capsys):
    edit(copy)
    code = main([str(copy)])
    printed = capsys.readouterr()
    assert code in (1, 2), printed.out
    lines = printed.out.splitlines() if code == 1 else printed.err.splitlines()
    told = [line for line in lines if line.startswith(("does not hold: ", "error: "))]
    assert told
    assert "Traceback" not in printed.err
    assert all(len(line) < 400 and line.isprintable() for line in told)


def test_only_playing_the_policy_finds_rows_that_agree_with_all_else(copy):
    another_world(copy)
    assert verify(copy, replay=False).problems == []
    (problem,) = verify(copy, replay=True).problems
    assert "pathLength" in problem or "pathEfficiency" in problem
    assert "_evaluation.csv: seed 10001, " in problem
