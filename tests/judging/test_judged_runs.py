"""Any finished run under a protocol, and what is said of how sure that is."""

import json

import numpy as np
import pytest
from small_protocol import shipped_table, write_toml
from small_runs import small_config

from pathb_jax.cli.judge import main
from pathb_jax.errors import InputError
from pathb_jax.judging.certainty import how_sure
from pathb_jax.judging.runs import judge_run
from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.runs.trainer import train
from pathb_jax.store.artifacts import read_evaluation_summary


def test_a_run_is_judged_by_what_its_files_say(finished):
    protocol = load_protocol("path_b")
    run = judge_run(finished.files.out, protocol)
    summary = read_evaluation_summary(finished.files.own_set(10000, first=True).summary)
    assert run.counts[10000] == (summary["success_count"], 4)  # of its own size, not of 32
    assert sorted(run.counts) == [10000, 20000, 30000]
    assert run.receipts == judge(protocol.stages, run.counts, run.history)
    assert run.receipts[0].figures["successes"] == summary["success_count"]
    assert run.along.updates == [3, 6]
    assert run.along.counts[-1] == run.counts[10000]
    assert "tier: Large -> Small" in run.differs
    assert "updates: 1221 -> 6" in run.differs
    assert not any(line.startswith("lr:") for line in run.differs)


def test_a_training_seed_that_votes_is_the_protocols(tmp_path):
    outcome = train(small_config(tmp_path / "run", seed=2))
    for training_seeds, differs in ((1, ["seed: 0 -> 2"]), (3, [])):
        voting = {"training_seeds": training_seeds, "pass_at_least": training_seeds}
        table = shipped_table() | {"voting": voting}
        run = judge_run(outcome.files.out, load_protocol(write_toml(tmp_path / "p.toml", table)))
        assert [line for line in run.differs if line.startswith("seed:")] == differs


def test_nothing_is_said_where_there_is_nothing_to_tell_it_from(finished):
    protocol = load_protocol("path_b")
    run = judge_run(finished.files.out, protocol)
    sure = how_sure(protocol, run.counts, run.history, run.along)
    assert sure.dynamics is None  # 6 updates are no window of 50
    assert sure.shift.seed_start == 20000
    assert sure.shadow.seed_start == 30000
    unevaluated = how_sure(protocol, {}, {}, run.along._replace(counts=[]))
    assert unevaluated == (None, None, None, None, None, {}, {})


def test_every_window_of_a_long_run_is_looked_at(finished):
    protocol = load_protocol("path_b")
    rows = np.full(300, -0.5)
    history = {"entropy": rows + 2, "log_std": rows, "value_loss": rows + 1}
    run = judge_run(finished.files.out, protocol)
    dynamics = how_sure(protocol, run.counts, history, run.along).dynamics
    assert (dynamics.windows, dynamics.passed, dynamics.monotone) == (101, 101, True)


def test_what_cannot_be_judged(finished, tmp_path):
    protocol = load_protocol("path_b")
    with pytest.raises(InputError, match=r"RUN: .* there is no such folder"):
        judge_run(tmp_path / "none", protocol)
    with pytest.raises(InputError, match=r"RUN: .* it holds no run"):
        judge_run(tmp_path, protocol)


def test_the_command(finished, tmp_path, capsys):
    path = tmp_path / "judged.json"
    folder = str(finished.files.out)
    assert main([folder, folder, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "updates: 1221 -> 6" in printed
    assert "training_dynamics" not in printed  # not judged, since stage 1 fails before
    result = json.loads(path.read_text())
    assert [run["folder"] for run in result["runs"]] == [folder, folder]
    assert result["runs"][0]["stages"][0]["name"] == "success_floor"
    assert 0 < result["runs"][0]["how_sure"]["floor"]["flips"] < 1
    assert main([folder, "--json", str(path)]) == 0  # its own file is replaced
    assert main([]) == 2
    assert main([folder, "--protocol", "none"]) == 2
    assert main([folder, "--json", f"{folder}/judged.json"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines if line.startswith("error")] == [
        "RUN...",
        "--protocol",
        "--json",
    ]


def test_stages_are_called_by_their_place_in_the_protocol(finished, tmp_path, capsys):
    table = shipped_table()
    kinds = ("training_dynamics", "seed_shift", "success_floor")
    table["stages"] = [{"kind": kind, **table["stages"][kind]} for kind in kinds]
    protocol = write_toml(tmp_path / "mine.toml", table)
    assert main([str(finished.files.out), "--protocol", str(protocol)]) == 0
    printed = capsys.readouterr().out
    assert "stage 3: a fresh set says" in printed
    assert "stage 2: fresh sets of 20000" in printed
    assert "shadow of stage 2" in printed
