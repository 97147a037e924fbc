"""The files a run leaves: names, columns, keys, what they say (docs/spec/ladder.md, "Files")."""

import datetime
import json
import math
import socket

import jax
import numpy as np
import pytest
from small_runs import (
    BATCH_SIZE,
    SEEDS,
    UPDATES,
    VARIANT,
    Watcher,
    command_line,
    figures,
    read,
    rows,
    small_config,
    stored_state,
)

from pathb_jax.config import TIERS
from pathb_jax.learn import networks, normalizer
from pathb_jax.runs.trainer import train

HISTORY = [
    *("update", "env_steps", "mean_reward", "episode_done_rate", "policy_loss", "value_loss"),
    *("entropy", "approx_kl", "clip_frac", "explained_variance", "log_std"),
]
EVALUATIONS = [
    *("update", "env_steps", "seed_start", "seeds", "success_rate"),
    *("mean_terminal_alignment", "mean_steps"),
]
EVALUATION = [
    *("seed", "terminalOutcome", "steps", "terminalAlignment", "terminalDistance"),
    *("pathEfficiency", "saturationCount"),
]
SUMMARY = [
    *("checkpoint", "sensor_tier", "seed_start", "seeds", "success_count", "success_rate"),
    *("mean_terminal_alignment", "mean_steps", "env_config"),
]
POLICY = [
    *("format", "family", "variant", "tier", "obs_dim", "act_dim", "activation", "action_scale"),
    *("hidden_size", "depth", "parameter_count", "layers", "normalization", "metadata"),
]
SLUG = f"{VARIANT}_small_seed_0"
SETS = {10000: "", 20000: "_seed_20000", 30000: "_seed_30000"}


def expected_files(slug):
    logs = [
        f"_evaluation{suffix}{end}" for suffix in SETS.values() for end in (".csv", "_summary.json")
    ]
    logs += ["_history.csv", "_evaluations.csv"]
    return {f"logs/{slug}{name}" for name in logs} | {
        f"policies/{slug}.policy.json",
        f"manifests/{slug}.json",
    }


def files_under(folder):
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    # The lock's file stays: deleting it would let two processes hold the folder.
    return {name for name in names if not name.startswith("checkpoints/")} - {".lock"}


def test_the_files_are_named_as_the_programme_names_them(finished):
    out = finished.files.out
    assert files_under(out) == expected_files(SLUG)
    assert {path.name for path in out.iterdir()} == {
        *(".lock", "checkpoints", "logs", "policies", "manifests"),
    }
    assert {path.name for path in (out / "checkpoints" / SLUG).iterdir()} == {"3", "6"}


def test_the_history_has_the_pinned_columns_first(finished):
    table = rows(finished.files.history)
    columns = list(table[0])
    assert columns[: len(HISTORY)] == HISTORY
    assert columns[12:14] == ["wall_seconds", "env_steps_per_second"]
    assert [row["update"] for row in table] == [str(i + 1) for i in range(UPDATES)]
    assert [row["env_steps"] for row in table] == [
        str((i + 1) * BATCH_SIZE) for i in range(UPDATES)
    ]
    assert all(math.isfinite(figure) for row in table for figure in figures(row))
    seconds = [float(row["wall_seconds"]) for row in table]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_history_figures_lie_where_they_can(finished):
    history = finished.outcome.history
    for name in ("episode_done_rate", "clip_frac"):
        assert ((history[name] >= 0) & (history[name] <= 1)).all()
    assert (history["value_loss"] >= 0).all()
    assert (history["explained_variance"] <= 1).all()
    # Of a Gaussian in two dimensions; the entropy is a mean over the update, log_std its end.
    start = np.concatenate([[-0.5], history["log_std"][:-1]])
    low, high = np.minimum(start, history["log_std"]), np.maximum(start, history["log_std"])
    entropy = history["entropy"] / 2 - 0.5 * math.log(2 * math.pi * math.e)
    assert (entropy >= low - 2e-3).all()
    assert (entropy <= high + 2e-3).all()


def test_the_last_row_holds_the_log_std_of_the_checkpoint(finished):
    log_std = np.asarray(stored_state(finished.config).params["log_std"])
    assert finished.outcome.history["log_std"][-1] == np.float32(log_std.mean())


def test_the_history_is_on_disk_after_each_chunk(tmp_path, one_update_per_chunk):
    config = small_config(tmp_path / "run")
    seen = []

    def look(progress):
        table = rows(config.output.out / "logs" / f"{SLUG}_history.csv")
        seen.append((progress.update, [int(row["update"]) for row in table]))
        assert float(table[-1]["entropy"]) == progress.row["entropy"]

    train(config, Watcher(look))
    assert seen == [(n, list(range(1, n + 1))) for n in range(1, UPDATES + 1)]


def test_progress_says_where_the_run_stands(finished):
    chunks = finished.watcher.chunks
    assert [chunk.update for chunk in chunks][-1] == UPDATES
    assert {chunk.updates for chunk in chunks} == {UPDATES}
    assert all(chunk.env_steps_per_second > 0 for chunk in chunks)
    assert chunks[-1].seconds_left == 0
    assert chunks[0].success_rate is None
    assert chunks[-1].success_rate == finished.outcome.summaries[10000]["success_rate"]
    for name in ("entropy", "log_std", "value_loss"):
        assert chunks[-1].row[name] == finished.outcome.history[name][-1]


def test_in_run_evaluations_have_a_row_per_set(finished):
    table = rows(finished.files.evaluations)
    assert list(table[0]) == EVALUATIONS
    assert [(row["update"], row["seed_start"]) for row in table] == [
        (update, str(start)) for update in ("3", "6") for start in SETS
    ]
    for row in table:
        assert int(row["env_steps"]) == int(row["update"]) * BATCH_SIZE
        assert int(row["seeds"]) == SEEDS
    for row in table[-len(SETS) :]:
        summary = finished.outcome.summaries[int(row["seed_start"])]
        for name in ("success_rate", "mean_terminal_alignment", "mean_steps"):
            assert float(row[name]) == summary[name]


@pytest.mark.parametrize("start", SETS)
def test_evaluation_rows_and_summary_agree(finished, start):
    base = finished.files.out / "logs" / f"{SLUG}_evaluation{SETS[start]}"
    table = rows(base.with_name(base.name + ".csv"))
    assert list(table[0])[: len(EVALUATION)] == EVALUATION
    assert [int(row["seed"]) for row in table] == [start + i for i in range(SEEDS)]
    summary = read(base.with_name(base.name + "_summary.json"))
    assert list(summary)[: len(SUMMARY)] == SUMMARY
    assert (summary["seed_start"], summary["seeds"]) == (start, SEEDS)
    successes = [row["terminalOutcome"] == "success" for row in table]
    assert summary["success_count"] == sum(successes)
    assert summary["success_rate"] == sum(successes) / SEEDS
    for name, column in (("mean_terminal_alignment", "terminalAlignment"), ("mean_steps", "steps")):
        assert summary[name] == pytest.approx(np.mean([float(row[column]) for row in table]))
    assert summary["sensor_tier"] == "local-probe-field"
    assert (finished.files.out / summary["checkpoint"]).is_dir()
    assert summary["env_config"]["max_steps_in_episode"] == 200
    assert summary["env_config"]["mixed_lambda"] == 0.9
    assert "start" not in summary["env_config"]


def read_action(policy, observation):
    """Follow docs/spec/ladder.md's rule for reading a policy file, in float64."""
    mean, std = (np.array(policy["normalization"][name]) for name in ("obs_mean", "obs_std"))
    x = (observation - mean) / np.maximum(std, 1e-8)
    for layer in policy["layers"]:
        x = np.tanh(np.array(layer["weight"]) @ x + np.array(layer["bias"]))
    x = x * policy["action_scale"]
    return x / max(1.0, float(np.linalg.norm(x)))


def test_the_policy_file_acts_as_the_policy(finished):
    policy, state = read(finished.files.policy), stored_state(finished.config)
    observations = np.random.default_rng(0).uniform(-5, 5, (200, 6)).astype(np.float32)
    normalized = normalizer.normalize(state.normalizer, observations)
    mean = np.asarray(networks.actor_mean(state.params, TIERS["Small"], normalized), np.float64)
    norm = np.linalg.norm(mean, axis=-1, keepdims=True)
    applied = mean / np.maximum(1.0, norm)  # the environment clips the norm
    ours = np.stack([read_action(policy, o) for o in observations.astype(np.float64)])
    np.testing.assert_allclose(ours, applied, rtol=0, atol=1e-5)
    assert np.ptp(applied, axis=0).min() > 0.1  # else any file would do


def test_the_policy_file_has_its_keys(finished):
    policy = read(finished.files.policy)
    assert list(policy) == POLICY
    assert policy["format"] == "mesa-policy-json-v1"
    assert (policy["family"], policy["variant"], policy["tier"]) == ("L-Mixed", VARIANT, "Small")
    assert (policy["hidden_size"], policy["depth"], policy["activation"]) == (64, 2, "tanh")
    actor = stored_state(finished.config).params["actor"]
    assert policy["parameter_count"] == sum(leaf.size for leaf in jax.tree.leaves(actor))
    shapes = [np.shape(layer["weight"]) for layer in policy["layers"]]
    assert shapes == [(64, policy["obs_dim"]), (64, 64), (policy["act_dim"], 64)]
    assert policy["metadata"]["sensor_tier"] == "local-probe-field"
    assert policy["metadata"]["env_steps"] == UPDATES * BATCH_SIZE


def test_the_manifest_repeats_the_run(finished):
    manifest = read(finished.files.manifest)
    assert {"config", "env_config", "source", "backend", "status", "env_steps"} <= set(manifest)
    assert manifest["status"] == "completed"
    assert manifest["env_steps"] == UPDATES * BATCH_SIZE
    assert manifest["config"] == json.loads(json.dumps(finished.config.to_dict()))
    assert {"version", "commit", "dirty", "program"} <= set(manifest["source"])
    assert len(manifest["source"]["program"]) == 64
    assert manifest["backend"]["jax_config"] == {}
    assert manifest["host"] == socket.gethostname()
    begun, ended = (
        datetime.datetime.strptime(manifest[name], "%Y-%m-%dT%H:%M:%S%z")
        for name in ("started", "ended")
    )
    assert begun <= ended <= datetime.datetime.now(datetime.UTC)
    assert begun.tzinfo == datetime.UTC
    assert {"platform", "device_kind", "device_count", "versions"} <= set(manifest["backend"])
    assert manifest["diverged"] is None


def test_what_an_operator_types_gets_the_programmes_names(tmp_path, monkeypatch):
    from pathb_jax.cli.train import main

    monkeypatch.chdir(tmp_path)
    label, out = "mixed_0_90_pathb_lr1e4", "results/mesa/phase7v2-large-cliff-subset"
    typed = (
        f"--variant {VARIANT} --tier Large --mixed-lambda 0.90 --updates 1221 --eval-seeds 32 "
        f"--lr 1e-4 --out {out}/{label} --run-label {label} --progress"
    )
    # The same words, but sized for a test.
    small = (
        typed.replace("Large --m", "Small --m").replace("1221", "4").replace("seeds 32", "seeds 4")
    )
    sizes = command_line(batch_envs=4, rollout_length=16, minibatch_size=16, epochs=2)
    assert main([*small.split(), *sizes, "--success-floor", "0"]) == 0
    slug = f"{VARIANT}_small_seed_0_{label}"
    assert files_under(tmp_path / out / label) == expected_files(slug)
    manifest = read(tmp_path / out / label / "manifests" / f"{slug}.json")
    assert manifest["config"]["hparams"]["lr"] == 1e-4
    assert manifest["config"]["hparams"]["mixed_lambda"] == 0.9
