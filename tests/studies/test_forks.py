"""Forks of a run: the same state and noises for every change, and what is said of their ends."""

import itertools
import json
import re

import numpy as np
import pytest
from scipy import stats
from small_runs import FinishedRun, Watcher, bad_input_line, read, rows, small_config

from pathb_jax.cli.fork import main
from pathb_jax.errors import InputError
from pathb_jax.runs.trainer import train
from pathb_jax.studies import forks
from pathb_jax.studies.fork_plans import Floor, ForkStudy, change_name, noise_seeds, parse_change
from pathb_jax.studies.forks import Fork


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run of six updates that keeps every second state."""
    config = small_config(tmp_path_factory.mktemp("parent") / "run", keep_every=2, seed=7)
    return FinishedRun(config, train(config), Watcher())


def test_changes_are_read_and_named():
    assert parse_change("lr=1e-3") == {"lr": 0.001}
    assert parse_change("value-coef = 0.25, critic_lr=off") == {
        "value_coef": 0.25,
        "critic_lr": None,
    }
    assert change_name(parse_change("value_clip=0.2")) == "value_clip=0.2"
    assert change_name({}) == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name one of lr, gamma"),
        ("seed=3", "name one of lr, gamma"),
        ("lr", "give lr=number"),
        ("lr=off", "give lr=number$"),
        ("critic_lr=x", "give critic_lr=number, or critic_lr=off"),
        ("lr=1,lr=2", "lr is there twice"),
    ],
)
def test_what_is_no_change(text, said):
    with pytest.raises(InputError, match=rf"--change: .*{said}"):
        parse_change(text)


def test_no_noise_is_the_parents():
    assert noise_seeds(7, 4) == [8, 9, 10, 11]
    assert 2**32 - 1 not in noise_seeds(2**32 - 1, 3)


@pytest.fixture
def study(parent, tmp_path):
    floor = Floor("path_b", (10000, 20000, 30000), 0.4)
    return ForkStudy(
        run=parent.files.out,
        at=2,
        base=parent.config,
        updates=4,
        seeds=[8, 9],
        eval_seeds=4,
        floor=floor,
        out=tmp_path / "forks",
    )


def ends(*successes):
    return [
        Fork(seed, "", k, k is not None and k >= 2, None if k is not None else "value_loss")
        for seed, k in enumerate(successes)
    ]


def test_a_change_is_held_against_none_noise_by_noise(study):
    none = ends(*[0] * 9, 3)
    change = ends(*[4] * 6, 0, 0, None, 1)
    found = forks._forks(study, [({}, none), ({"lr": 0.1}, change)])
    reference, changed = found.changes
    assert (reference.name, reference.above, reference.against_none) == ("none", 1, None)
    assert (changed.name, changed.above) == ("lr=0.1", 6)
    assert changed.mean_success == pytest.approx((6 * 4 + 1) / 4 / 10)
    assert changed.against_none[:2] == (6, 1)
    exact = 2 * stats.binom.cdf(1, 7, 0.5)  # McNemar's: the smaller of two tails, doubled
    assert changed.against_none.p_value == pytest.approx(exact)
    assert changed.against_none.mean_p_value == forks.sign_flip_p([4] * 6 + [0, 0, 0, -2])
    low, high = changed.interval_95
    assert stats.binom.sf(5, 10, low) == pytest.approx(0.025)  # Clopper-Pearson's definition
    assert stats.binom.cdf(6, 10, high) == pytest.approx(0.025)
    assert found.parent_at is None  # its first evaluation is after update 3
    assert found.parent_end[0] == 6


def test_flipping_signs_is_counting_flips():
    differences = [3, -1, 4, 1, -5, 9]
    sums = [
        abs(sum(d * s for d, s in zip(differences, signs, strict=True)))
        for signs in itertools.product((1, -1), repeat=6)
    ]
    as_far = sum(total >= abs(sum(differences)) for total in sums)
    assert forks.sign_flip_p(differences) == pytest.approx(as_far / 2**6)
    assert forks.sign_flip_p([0, 0, 0]) == 1
    many = np.random.default_rng(3).normal(0.5, 1, 40)
    by_student = stats.ttest_1samp(many, 0).pvalue
    assert forks.sign_flip_p(many) == pytest.approx(by_student, abs=0.005)


@pytest.mark.slow  # takes a quarter of a minute
def test_the_command(parent, tmp_path, capsys):
    words = [str(parent.files.out), "--at", "2", "--seeds", "2", "--out", str(tmp_path / "forks")]
    words += ["--change", "value_coef=0.1", "--change", "lr=1e-3,critic_lr=1e-4"]
    words += ["--json", str(tmp_path / "forks.json"), "--no-progress"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    result = read(tmp_path / "forks.json")
    assert (result["at"], result["updates"], result["eval_seeds"]) == (2, 4, 4)
    names = [change["name"] for change in result["changes"]]
    assert names == ["none", "value_coef=0.1", "lr=0.001,critic_lr=0.0001"]
    assert all(name in printed for name in names)
    first_rewards = []
    for change in result["changes"]:
        assert [fork["seed"] for fork in change["forks"]] == [8, 9]
        firsts = []
        for fork in change["forks"]:
            (manifest,) = (tmp_path / "forks").glob(f"{fork['folder'].split('/')[-1]}/manifests/*")
            content = read(manifest)
            assert content["status"] == "completed"
            assert content["fork"]["change"] == change["change"]
            assert (content["fork"]["update"], content["fork"]["seed"]) == (2, 7)
            logs = manifest.parents[1] / "logs" / f"{manifest.stem}_history.csv"
            firsts.append(rows(logs)[0]["mean_reward"])
            (summary,) = (manifest.parents[1] / "logs").glob("*_evaluation_summary.json")
            assert fork["successes"] == read(summary)["success_count"]
            assert fork["above"] == (fork["successes"] >= 2)  # 0.40 of 4 seeds
        first_rewards.append(firsts)
    # Before any update of its own a fork acts as its parent does, with the noise of its seed.
    assert first_rewards[0] == first_rewards[1] == first_rewards[2]
    assert first_rewards[0][0] != first_rewards[0][1]
    page = (tmp_path / "forks" / "FORKS.md").read_text()
    assert "| value_coef=0.1 |" in page
    assert "pathb fork" in page

    assert main([*words, "--seeds", "3", "--json", "-"]) == 0  # what is there is not trained again
    again = json.loads(capsys.readouterr().out)
    for one, other in zip(result["changes"], again["changes"], strict=True):
        assert other["forks"][:2] == one["forks"]
        assert len(other["forks"]) == 3


@pytest.mark.slow  # compiles the vmapped program
def test_forks_as_one_program_are_those_alone_to_rounding(parent, tmp_path):
    words = [str(parent.files.out), "--at", "2", "--seeds", "2", "--no-progress"]
    for out, more in (("alone", []), ("together", ["--runs-per-device", "2"])):
        assert main([*words, "--out", str(tmp_path / out), *more]) == 0
    histories = sorted((tmp_path / "alone").glob("*/logs/*_history.csv"))
    assert len(histories) == 2
    for path in histories:
        other = tmp_path / "together" / path.relative_to(tmp_path / "alone")
        first, second = (float(rows(file)[0]["value_loss"]) for file in (path, other))
        assert second == pytest.approx(first, 1e-4)
    (manifest, _) = sorted((tmp_path / "together").glob("*/manifests/*.json"))
    assert (read(manifest)["runs_together"], read(manifest)["fork"]["update"]) == (2, 2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--at", "5"], "--at: 5 is not allowed; "),
        (["--at", "6"], "--at: 6 .* ends there as planned"),
        (["--at", "2", "--seeds", "0"], "--seeds: 0"),
        (["--at", "2", "--updates", "0"], "--updates: 0"),
        (["--at", "2", "--change", "value_coef=0.5"], "--change: .* is that already in"),
        (["--at", "2", "--change", "lr=-1"], "--change: 'lr=-1.0' .* give a number > 0"),
        (["--at", "2", "--change", "lr=1", "--change", "lr=1.0"], "--change: .* there twice"),
        (["--at", "2", "--protocol", "none"], "--protocol: 'none'"),
        (["--at", "2", "--runs-per-device", "0"], "--runs-per-device: 0"),
        ([], "--at"),
    ],
)
def test_bad_input_is_one_line(parent, more, said, capsys):
    line = bad_input_line(main, [str(parent.files.out), *more], capsys, parent.files.out.parent)
    assert re.search(said, line), line


def test_a_folder_without_a_run(tmp_path, capsys):
    line = bad_input_line(main, [str(tmp_path), "--at", "2"], capsys, tmp_path)
    assert "RUN: " in line
