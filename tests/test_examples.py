"""Examples that follow runs elsewhere, with stand-ins for libraries that are no dependencies."""

import importlib.util
import json
import subprocess
import sys
import tomllib
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from hand_made_policies import follower
from small_runs import small_config

from pathb_jax import load_policy, train
from pathb_jax.errors import InputError


def example(repository, name):
    spec = importlib.util.spec_from_file_location(name, repository / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_wandb_gets_every_row(repository, tmp_path, monkeypatch):
    logged = []
    run = SimpleNamespace(define_metric=MagicMock(), log=logged.append, finish=MagicMock())
    wandb = ModuleType("wandb")
    wandb.init = MagicMock(return_value=run)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    example(repository, "observe_wandb").main(tmp_path / "run", updates=3)
    wandb.init.assert_called_once()
    assert wandb.init.call_args.kwargs["config"]["lr"] == 3e-4
    entropies = [row for row in logged if "history/entropy" in row]
    assert [row["env_steps"] for row in entropies] == [8192.0, 16384.0, 24576.0]
    rates = [row for row in logged if "seeds_10000/success_rate" in row]
    assert rates[-1]["env_steps"] == 24576.0
    run.finish.assert_called_once()


@pytest.mark.slow
def test_mlflow_gets_every_row(repository, tmp_path, monkeypatch):
    client = MagicMock()
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    mlflow.MlflowClient = lambda: client
    entities.Metric = lambda *parts: parts
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    example(repository, "observe_mlflow").main(tmp_path / "run", updates=3)
    metrics = [metric for call in client.log_batch.call_args_list for metric in call[1]["metrics"]]
    steps = [step for name, _, _, step in metrics if name == "entropy"]
    assert steps == [8192, 16384, 24576]
    assert {step for name, _, _, step in metrics if name == "success_rate_20000"} >= {24576}
    client.set_terminated.assert_called_once()
    assert ("lr", pytest.approx(3e-4)) in [call[0][1:] for call in client.log_param.call_args_list]


def test_optuna_searches(repository, tmp_path, monkeypatch):
    """With a stand-in that asks for two trials: the second diverges."""
    found = []

    class Trial(SimpleNamespace):
        def suggest_float(self, name, low, high, log=False):
            assert low < high
            return {"lr": (1e-3, 1e30)[self.number]}.get(name, low)

    class PrunedError(Exception):
        pass

    class Study(SimpleNamespace):
        def optimize(self, objective, n_trials):
            for number in range(n_trials):
                try:
                    found.append(objective(Trial(number=number)))
                except PrunedError:
                    found.append("pruned")

    optuna = ModuleType("optuna")
    optuna.Trial, optuna.TrialPruned = Trial, PrunedError
    optuna.create_study = lambda **_: Study(best_value=0, best_params={})
    monkeypatch.setitem(sys.modules, "optuna", optuna)
    example(repository, "sweep_optuna").main(tmp_path, trials=2, updates=2)
    rate, pruned = found
    assert 0 <= rate <= 1
    assert pruned == "pruned"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["trial_0", "trial_1"]


def test_numpy_acts_as_the_policy_does(repository, tmp_path):
    for path in (repository / "tests/stored/small.policy.json", follower(tmp_path / "policy.json")):
        ours, theirs = load_policy(path), example(repository, "act_numpy").NumpyPolicy(path)
        seen = np.random.default_rng(0).normal(size=(100, ours.obs_dim)).astype(np.float32)
        np.testing.assert_allclose(theirs(seen), ours(seen), rtol=0, atol=1e-5)
    assert np.linalg.norm(theirs(seen), axis=-1).max() == pytest.approx(1)  # norms are limited


@pytest.mark.slow
def test_the_notebook_runs(repository, tmp_path):
    notebook = json.loads((repository / "examples" / "quickstart.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 6
    assert not any(cell["outputs"] for cell in cells)
    code = "\n".join(
        ["import matplotlib", "matplotlib.use('Agg')"] + ["".join(c["source"]) for c in cells]
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_citation_names_this_version(repository):
    told = (repository / "CITATION.cff").read_text("utf-8")
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"\nversion: {project['version']}\n" in told


def test_an_update_is_traced(repository, tmp_path, capsys):
    """What its minibatches say is on average what the run wrote down of the update."""
    trace = example(repository, "trace_update").main
    history = train(small_config(tmp_path / "run", keep_every=2), progress=False).frame
    furthest = int(history["approx_kl"].loc[3:].idxmax())
    table = trace(tmp_path / "run", out=tmp_path / "trace.csv")
    assert f"update {furthest}: approx_kl" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "trace.csv").columns.tolist() == table.columns.tolist()
    for at in (3, 6):
        table = trace(tmp_path / "run", at, out=tmp_path / "trace.csv")
        for name in ("approx_kl", "value_loss", "actor_grad_norm", "critic_grad_norm"):
            assert table[name].mean() == pytest.approx(history[name][at], rel=1e-4), (at, name)
    less = trace(tmp_path / "run", 6, least_norm=1e6, out=tmp_path / "trace.csv")
    assert less["actor_step"].is_monotonic_decreasing  # Adam goes on with what it had
    assert less["actor_step"].iloc[-1] < 0.5 * table["actor_step"].iloc[-1]
    with pytest.raises(InputError, match="states are kept from update 2 on"):
        trace(tmp_path / "run", 1)
