"""What operators type, at its real size: minutes."""

import subprocess
import sys

import pytest
from small_runs import VARIANT, read, rows, tree_of

LABEL = "mixed_0_90_pathb_lr1e4"
OUT = f"results/mesa/phase7v2-large-cliff-subset/{LABEL}"
TYPED = (
    f"--variant {VARIANT} --tier Large --mixed-lambda 0.90 --updates 1221 --eval-seeds 32 "
    f"--lr 1e-4 --out {OUT} --run-label {LABEL} --progress"
)


def command(repository, script, words, folder):
    return subprocess.run(
        [sys.executable, str(repository / "scripts" / script), *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def drop_in(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drop_in")
    words = TYPED.replace("--tier Large", "--tier Small").replace("1221", "122")
    return folder, command(repository, "train_ppo.py", words, folder)


@pytest.mark.slow
def test_the_drop_in_command_leaves_the_programmes_files(drop_in):
    folder, done = drop_in
    assert done.returncode in (0, 3), done.stderr
    slug = f"{VARIANT}_small_seed_0_{LABEL}"
    logs = folder / OUT / "logs"
    history = rows(logs / f"{slug}_history.csv")
    assert len(history) == 122
    assert (history[-1]["update"], history[-1]["env_steps"]) == ("122", str(122 * 8192))
    for start, suffix in ((10000, ""), (20000, "_seed_20000"), (30000, "_seed_30000")):
        assert len(rows(logs / f"{slug}_evaluation{suffix}.csv")) == 32
        summary = read(logs / f"{slug}_evaluation{suffix}_summary.json")
        assert (summary["seed_start"], summary["seeds"]) == (start, 32)
    at = sorted({int(row["update"]) for row in rows(logs / f"{slug}_evaluations.csv")})
    assert at == sorted({*range(12, 122, 12), 61, 122})
    assert (folder / OUT / "policies" / f"{slug}.policy.json").exists()
    floor = "is below --success-floor 0.750"
    assert (floor in done.stdout) == (done.returncode == 3)


@pytest.mark.slow
def test_evaluating_the_shifted_set_gives_the_runs_own_figures(repository, drop_in):
    folder, _ = drop_in
    words = (
        f"--variant {VARIANT} --eval-only --load-checkpoint {OUT} --eval-seed-start 20000 "
        f"--eval-seeds 32 --out again --success-floor 0"
    )
    assert command(repository, "train_ppo.py", words, folder).returncode == 0
    (again,) = (folder / "again" / "logs").glob("*_summary.json")
    (own,) = (folder / OUT / "logs").glob("*_seed_20000_summary.json")
    assert {**read(again), "checkpoint": 0} == {**read(own), "checkpoint": 0}


@pytest.mark.slow
def test_the_large_plan_prints_an_estimate_and_writes_nothing(repository, tmp_path):
    done = command(repository, "ladder.py", "--tier Large --plan", tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("1221 updates = 10,002,432", "canonical", "departures: none", "one run "):
        assert said in done.stdout
    assert tree_of(tmp_path) == {}
