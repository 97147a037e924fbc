"""--eval-only: what it takes from the checkpoint, what it refuses, and what it never overwrites."""

import shutil

import pytest
from small_runs import (
    SHAPES,
    UPDATES,
    VARIANT,
    bad_input_line,
    build,
    command_line,
    read,
    small_config,
    tree_of,
)

from pathb_jax.cli.train import main
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.runs.evaluating import evaluate_only
from pathb_jax.runs.outcome import run_files
from pathb_jax.runs.trainer import train
from pathb_jax.store.lock import locked

SLUG = f"{VARIANT}_small_seed_0"
FLAGS = {"eval_only": True, "eval_seeds": 4, "success_floor": 0.0}


@pytest.fixture
def copied(finished, tmp_path):
    """The finished run in a folder that may be written to."""
    shutil.copytree(finished.files.out, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A run with other settings than the defaults in everything that its evaluation shows."""
    config = small_config(
        tmp_path_factory.mktemp("another") / "run",
        mixed_lambda=0.4,
        sensor_tier="noisy-field",
        seed=3,
        false_basin_beta=1.5,
        updates=1,
        eval_seeds=2,
    )
    train(config)
    return config


def words(checkpoint, out, **flags):
    return command_line(**{**FLAGS, "load_checkpoint": checkpoint, "out": out, **flags})


def written(out):
    return {name.removeprefix("logs/") for name, content in tree_of(out).items() if content}


def pair(stem):
    return {f"{stem}.csv", f"{stem}_summary.json"}


# Names.


def test_with_the_runs_own_folder_its_evidence_stays(copied):
    before = tree_of(copied)
    starts = (10000, 20000, 30000, 40000)
    assert main(words(copied, copied, eval_seeds=2, eval_seed_start=starts)) == 0
    after = tree_of(copied)
    assert {name: after[name] for name in before} == before
    new = {name.removeprefix("logs/") for name in set(after) - set(before)}
    # The unsuffixed set is the run's first; the informative ones have a suffix of their own.
    assert new == {
        *pair(f"{SLUG}_evaluation_seed_10000"),
        *pair(f"{SLUG}_evaluation_only_seed_20000"),
        *pair(f"{SLUG}_evaluation_only_seed_30000"),
        *pair(f"{SLUG}_evaluation_seed_40000"),
    }
    assert not train(small_config(copied)).trained  # it is believed still


def test_elsewhere_it_has_the_programmes_names(finished, tmp_path):
    out = tmp_path / "out"
    assert main(words(finished.files.out, out, variant=VARIANT, eval_seed_start=20000)) == 0
    assert written(out) == pair(f"{SLUG}_evaluation_seed_20000")
    assert main(words(finished.files.out, out, variant=VARIANT, run_label="demo")) == 0
    assert pair(f"{SLUG}_demo_evaluation_seed_10000") < written(out)


def test_a_run_still_to_end_keeps_its_names_too(copied):
    manifest = copied / "manifests" / f"{SLUG}.json"
    manifest.write_text(manifest.read_text().replace('"completed"', '"running"'))
    assert main(words(copied, copied, eval_seed_start=20000)) == 0
    assert pair(f"{SLUG}_evaluation_only_seed_20000") < written(copied)


def test_it_takes_the_folders_lock(copied, capsys):
    before = tree_of(copied)
    with locked(copied):
        assert main(words(copied, copied)) == 2
    assert "--out" in (err := capsys.readouterr().err)
    assert "in use by pid" in err
    after = tree_of(copied)
    assert {name for name in after if name != ".lock"} == {n for n in before if n != ".lock"}


# What is the checkpoint's.


def test_what_flags_do_not_say_is_the_checkpoints(another, tmp_path):
    out = tmp_path / "out"
    assert main(words(another.output.out, out, eval_seeds=2, eval_seed_start=20000)) == 0
    stem = f"{VARIANT}_small_seed_3_evaluation_seed_20000"
    assert written(out) == pair(stem)
    own = read(run_files(another).evaluation_summary(20000, first=False))
    summary = read(out / "logs" / f"{stem}_summary.json")
    assert {**summary, "checkpoint": 0} == {**own, "checkpoint": 0}
    assert summary["sensor_tier"] == "noisy-field"
    assert summary["env_config"]["mixed_lambda"] == 0.4
    assert summary["env_config"]["basin_bonus"] == 1.5


def test_flags_that_agree_are_no_disagreement(another, tmp_path):
    told = {"variant": VARIANT, "mixed_lambda": 0.4, "sensor_tier": "noisy-field", "seed": 3}
    told |= {"tier": "Small", "signature_shape": "integrated", "lr": 3e-4, "updates": 9, **SHAPES}
    assert main(words(another.output.out, tmp_path / "out", **told)) == 0


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        ({"variant": "signature_ppo_terminal"}, VARIANT),
        ({"mixed_lambda": 0.9}, "0.4"),
        ({"sensor_tier": "local-probe-field"}, "noisy-field"),
        ({"tier": "Large"}, "Small"),
        ({"false_basin_beta": 2.0}, "1.5"),
        ({"signature_shape": "terminal"}, "integrated"),
        ({"reward_compose_form": "delta"}, "canonical"),
        ({"seed": 0}, "3"),
        ({"lr": 1e-4}, "0.0003"),
    ],
)
def test_a_flag_that_disagrees_is_refused(another, tmp_path, capsys, flags, value):
    line = bad_input_line(
        main, words(another.output.out, tmp_path / "out", **flags), capsys, tmp_path
    )
    (name,) = flags
    assert line.startswith(f"error: --{name.replace('_', '-')}: ")
    assert value in line


def test_from_python_too(another, tmp_path):
    flags = {"out": tmp_path / "out", "load_checkpoint": another.output.out, "eval_only": True}
    flags |= {"sensor_tier": "noisy-field", "false_basin_beta": 1.5, "eval_seeds": 2}
    for wrong, flag in (
        ({"variant": "signature_ppo_dense"}, "--variant"),
        ({"variant": VARIANT}, "--mixed-lambda"),
        ({"variant": VARIANT, "mixed_lambda": 0.4, "reward_channel_scale": 2.0}, "--reward-ch"),
    ):
        with pytest.raises(InputError, match=rf"^{flag}"):
            evaluate_only(validated(build(**flags, **wrong)))
    assert not (tmp_path / "out").exists()
    evaluate_only(validated(build(**flags, variant=VARIANT, mixed_lambda=0.4)))


@pytest.mark.parametrize("how", [{"eval_only": True}, {"eval_only": None, "updates": 0}])
@pytest.mark.parametrize(("floor", "code"), [(0.0, 0), (1.0, 3)])
def test_below_the_floor_it_ends_with_3(finished, tmp_path, capsys, how, floor, code):
    assert main(words(finished.files.out, tmp_path / "out", success_floor=floor, **how)) == code
    assert ("is below --success-floor" in capsys.readouterr().out) == (code == 3)


def test_without_a_checkpoint_the_variant_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for flags in ({"eval_only": True}, {"updates": 3}):
        line = bad_input_line(main, command_line(**flags), capsys, tmp_path)
        assert "--variant" in line


def test_a_checkpoint_of_an_earlier_program_lacks_settings(finished, tmp_path, monkeypatch):
    from pathb_jax.store import checkpoints

    read_meta = checkpoints.read_meta

    def older(step):
        meta = read_meta(step)
        del meta["config"]["task"]["reward_compose_form"]
        meta["config"]["schedule"]["retired"] = 1
        return meta

    monkeypatch.setattr(checkpoints, "read_meta", older)
    assert main(words(finished.files.checkpoints / str(UPDATES), tmp_path / "out")) == 0
