"""Default hyper-parameters watched over a run: segments, best state, and the fall from it."""

import itertools
import json

import numpy as np
import pytest
from scipy.stats import binom
from small_protocol import UPDATES, listed_table, small_table, write_toml
from small_runs import BATCH_SIZE

from pathb_jax.cli.diagnose import main
from pathb_jax.ladder.diagnosis import fall_by_chance, segment_ends
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.report.diagnosis_page import published_segments
from pathb_jax.runs.manifest import read_manifest
from pathb_jax.runs.outcome import run_files
from pathb_jax.store.artifacts import read_evaluations, read_history
from pathb_jax.store.own_files import is_own_picture
from pathb_jax.studies.diagnosis import diagnosed_runs, segments_of
from pathb_jax.verification.verify import verify

ENDS = segment_ends(UPDATES)


@pytest.fixture(scope="module")
def protocol_file(tmp_path_factory):
    return write_toml(tmp_path_factory.mktemp("protocol") / "mine.toml", small_table(passes=True))


def plan_of(protocol_file, out):
    protocol = load_protocol(protocol_file)
    return LadderPlan(protocol, planned_run(protocol), out)


def words(protocol_file, folder, *more):
    out = ["--out", str(folder / "out"), "--json", str(folder / "result.json")]
    return ["--protocol", str(protocol_file), *out, "--no-progress", *more]


def test_nothing_but_the_defaults_is_run(tmp_path):
    protocol = load_protocol("path_b")
    plan = LadderPlan(protocol, planned_run(protocol), tmp_path)
    run, *batch = diagnosed_runs(plan, batch=True)
    assert {name: getattr(run.hparams, name) for name in protocol.hparams} == protocol.hparams
    assert run.evaluation.eval_at == (611, 815, 1018, 1221)
    assert [item.hparams.mixed_lambda for item in batch] == [0.95, 0.97, 0.99, 1.0]
    assert len({item.output.out for item in (run, *batch)}) == 5
    segments = segments_of(run)
    assert [item.schedule.updates for item in segments] == [611, 204, 203, 203]
    assert segments[0].output.load_checkpoint is None
    for before, after in itertools.pairwise(segments):
        assert after.output.load_checkpoint == before.output.out


def test_in_one_run(protocol_file, tmp_path, capsys):
    assert main(words(protocol_file, tmp_path)) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    (run,) = result["runs"]
    assert [segment["state"]["update"] for segment in run["segments"]] == ENDS
    files = run_files(diagnosed_runs(plan_of(protocol_file, tmp_path / "out"), batch=False)[0])
    history, rows = read_history(files.history), read_evaluations(files.evaluations)
    for segment, start in zip(run["segments"], [0, *ENDS], strict=False):
        state = segment["state"]
        end = state["update"]
        assert segment["log_std"] == history["log_std"][end - 1]
        assert segment["value_loss_max"] == max(history["value_loss"][start:end])
        here = {
            first: (rows["update"] == end) & (rows["seed_start"] == first)
            for first in (10000, 30000)
        }
        assert state["success"][0] == rows["success_rate"][here[10000]].item() * 4
        assert state["reported"][0] == rows["success_rate"][here[30000]].item() * 4
        assert state["env_steps"] == end * BATCH_SIZE
    best, rates = run["fall"]["best"], rows["success_rate"][rows["seed_start"] == 10000]
    assert best["success"][0] == max(rates) * 4
    assert (tmp_path / "out" / run["fall"]["best_checkpoint"]).is_dir()
    page = (tmp_path / "out" / "DIAGNOSIS.md").read_text()
    steers = f"the best state is {run['battery']['label']} by the intervention battery (64 seeds)"
    assert steers in printed
    assert steers in page
    assert f"{ENDS[0] * BATCH_SIZE:,}" in page
    assert "(figures/diagnosis.png)" in page
    for kind in ("png", "svg"):
        picture = tmp_path / "out" / "figures" / f"diagnosis.{kind}"
        assert is_own_picture(picture.read_bytes())
    assert "published" not in printed  # Path A was published at Large, and this file says no tier
    # Nothing is left to do, and nothing is done twice.
    before = files.manifest.read_bytes()
    (tmp_path / "out" / "DIAGNOSIS.md").write_text(page + "\nA remark.\n")
    assert main(words(protocol_file, tmp_path)) == 0
    assert files.manifest.read_bytes() == before
    assert (tmp_path / "out" / "DIAGNOSIS.md").read_text().endswith("A remark.\n")


@pytest.mark.slow
def test_in_segments_and_with_the_batch(protocol_file, tmp_path):
    assert main(words(protocol_file, tmp_path, "--segments", "--batch")) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    plan = plan_of(protocol_file, tmp_path / "out")
    assert [run["label"] for run in result["runs"]] == ["mixed_0_90", "reward_phase3"]
    assert [run["battery"]["name"] for run in result["runs"]] == ["mixed_0_90", "reward_phase3"]
    for run, config in zip(result["runs"], diagnosed_runs(plan, batch=True), strict=True):
        assert [segment["state"]["update"] for segment in run["segments"]] == ENDS
        manifests = [read_manifest(run_files(segment)) for segment in segments_of(config)]
        assert [manifest.first_update for manifest in manifests] == [0, *ENDS[:-1]]
        for before, after in zip(segments_of(config), manifests[1:], strict=False):
            assert after.parent_checkpoint.startswith(str(before.output.out))
    assert verify(segments_of(config)[-1].output.out, replay=False).problems == []


def test_bad_input_gives_one_line(protocol_file, tmp_path, capsys):
    for more in (["--updates", "7"], ["--tier", "Huge"], ["--doc", "page.txt"]):
        assert main(words(protocol_file, tmp_path, *more)) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_published_segments_stand_beside_runs_of_their_tier_only(tmp_path):
    protocol = load_protocol("path_b")
    large = LadderPlan(protocol, planned_run(protocol), tmp_path)
    small = LadderPlan(protocol, planned_run(protocol, tier="Small"), tmp_path)
    assert [segment.success_rate for segment in published_segments(large)] == [
        0,
        0.219,
        0.344,
        0.156,
    ]
    assert published_segments(small) == ()


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.5, 0.9])
def test_an_equal_policy_seldom_unwinds(probability):
    """The test's size, summed exactly over both sets' counts."""
    counts = np.arange(33)
    weights = binom.pmf(counts, 32, probability)
    rejected = np.array([[fall_by_chance((a, 32), (b, 32)) < 0.05 for b in counts] for a in counts])
    assert weights @ rejected @ weights <= 0.05


def test_choosing_and_telling_on_one_set_would_find_unwindings_in_noise():
    """Ten evaluations of one policy; the last is the end."""
    rng = np.random.default_rng(3)
    found = {"one set": 0, "two sets": 0}
    for _ in range(400):
        chosen, told = rng.binomial(32, 0.3, (2, 10))
        best = np.argmax(chosen)
        found["one set"] += fall_by_chance((chosen[best], 32), (chosen[-1], 32)) < 0.05
        found["two sets"] += fall_by_chance((told[best], 32), (told[-1], 32)) < 0.05
    assert found["two sets"] / 400 < 0.05 + 2 * 0.011
    assert found["one set"] / 400 > 0.10


def test_one_evaluation_set_cannot_both_choose_and_tell(tmp_path, capsys):
    table = listed_table()
    table["stages"] = table["stages"][:2]  # a floor and the training dynamics
    table["predictions"] = []
    write_toml(tmp_path / "one.toml", table)
    assert main(["--protocol", str(tmp_path / "one.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "it needs a second evaluation set" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
