"""A plan that could not reach its verdict is refused; no two runs mean one folder."""

import dataclasses

import pytest
from small_protocol import shipped_table, small_table, write_toml
from small_runs import bad_input_line

from pathb_jax.cli.ladder import main
from pathb_jax.errors import InputError
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs.outcome import run_files


def named(tags, run_label="a", batch_label="b", table=shipped_table):
    """Return a protocol with these names."""
    made = table() if table is shipped_table else table(passes=True)
    made["candidates"] = made["candidates"][: len(tags)]
    for candidate, tag in zip(made["candidates"], tags, strict=True):
        candidate["tag"] = tag
    made["compute"]["candidate_hours"] = [1.0] * len(tags)
    for prediction in made["predictions"]:
        prediction["candidate"] = "first"
    made["run"]["label"] = run_label
    made["batch"] = made["batch"][-1:]
    made["batch"][0]["label"] = batch_label
    return made


BAD = [
    (named(["x", "x_seed_1"]), 2, ["x_seed_1", "a_pathb_x_seed_1", "candidate x, training seed 1"]),
    (
        named(["x_pathb_y", "y"], batch_label="a_pathb_x"),
        1,
        ["'y'", "a_pathb_x_pathb_y", "candidate x_pathb_y, training seed 0", "batch run a_pathb_x"],
    ),
    (named(["t" * 59, "u"], run_label="l" * 60), 1, ["l" * 60 + "_pathb_" + "t" * 59, "120"]),
    (named(["u", "t" * 59], batch_label="l" * 60), 1, ["l" * 60 + "_pathb_" + "t" * 59, "120"]),
    (named(["t" * 53, "u"], run_label="l" * 60), 2, ["_seed_1", "120"]),
]


@pytest.mark.parametrize(("table", "seeds", "said"), BAD)
def test_it_is_refused_at_plan_time(table, seeds, said, tmp_path, capsys):
    protocol = write_toml(tmp_path / "mine.toml", table)
    words = ["--protocol", str(protocol), "--out", str(tmp_path / "out"), "--plan"]
    line = bad_input_line(main, [*words, "--train-seeds", str(seeds)], capsys, tmp_path)
    assert "protocol mine.toml" in line
    for part in said:
        assert part in line


@pytest.mark.parametrize(
    ("table", "seeds"),
    [
        (named(["x", "x_seed_1"]), 1),
        (named(["x", "x_seed_5"]), 5),
        (named(["t" * 53, "u"], run_label="l" * 60), 1),
        (named(["x_pathb_y", "y"], batch_label="b_pathb_x"), 3),
    ],
)
def test_every_run_has_a_folder_of_its_own(table, seeds, tmp_path):
    protocol = load_protocol(write_toml(tmp_path / "mine.toml", table))
    plan = LadderPlan(protocol, planned_run(protocol), tmp_path / "out", train_seeds=seeds)
    runs = [plan.candidate_run(c, seed) for c in protocol.candidates for seed in plan.seeds]
    for adopted in protocol.candidates:
        all_runs = [*runs, *(plan.batch_run(item, adopted) for item in protocol.batch)]
        folders = {str(run_files(config).out).casefold() for config in all_runs}
        assert len(folders) == len(all_runs)


def test_a_value_that_no_run_may_have_is_refused(tmp_path):
    table = shipped_table()
    table["run"]["seed_start"] = 2**32 - 1 - table["run"]["batch_envs"]
    protocol = load_protocol(write_toml(tmp_path / "mine.toml", table))
    plan = LadderPlan(protocol, planned_run(protocol), tmp_path / "out")
    with pytest.raises(InputError):
        dataclasses.replace(plan, matmul_precision="float8")


def test_determinism_given_up_reaches_every_run(tmp_path):
    protocol = load_protocol("path_b")
    plan = LadderPlan(protocol, planned_run(protocol), tmp_path / "out", deterministic=False)
    for config in (
        plan.candidate_run(protocol.candidates[0]),
        plan.batch_run(protocol.batch[0], protocol.candidates[0]),
    ):
        assert config.output.deterministic is False


@pytest.mark.parametrize("words", [["--no-deterministic"], []])
def test_the_command_says_so(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pathb_jax.ladder.estimate.PROBE_SECONDS", 0.0)
    protocol = write_toml(tmp_path / "small.toml", small_table(passes=True))
    flags = ["--protocol", str(protocol), "--out", str(tmp_path / "out"), "--plan", *words]
    assert main(flags) == 0
    departures = "deterministic: True -> False" if words else "none"
    assert f"departures: {departures}\n" in capsys.readouterr().out


@pytest.mark.parametrize("seeds", ["0", "1001", "4294967296"])
def test_training_seeds_have_a_limit(seeds, tmp_path, capsys):
    words = ["--out", str(tmp_path / "out"), "--plan", "--train-seeds", seeds]
    assert f"--train-seeds: {seeds}" in bad_input_line(main, words, capsys, tmp_path)
