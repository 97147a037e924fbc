"""Search hyper-parameters with Optuna: `python examples/sweep_optuna.py`.

Needs `pip install optuna`. Each trial is a run in a folder of its own; started again, the
study goes on from its database.

What a search finds is a hypothesis: register it as a candidate of a protocol, and let the ladder
say whether it holds with seeds that the search has not seen.
"""

from pathlib import Path

import optuna

from pathb_jax import make_config, train

EVALUATED = 40000
"""First seed of the set that the search looks at: none of a protocol's."""


def main(out: Path = Path("results/optuna"), trials: int = 20, updates: int = 122) -> None:
    """Maximise the success rate after a tenth of the usual budget."""

    def success_rate(trial: optuna.Trial) -> float:
        config = make_config(
            "mixed_ppo_phase3_lambda_0_9",
            lr=trial.suggest_float("lr", 3e-5, 3e-3, log=True),
            entropy_coef=trial.suggest_float("entropy_coef", 1e-4, 3e-2, log=True),
            value_coef=trial.suggest_float("value_coef", 0.1, 1.0),
            updates=updates,
            eval_seed_start=(EVALUATED,),
            out=out / f"trial_{trial.number}",
        )
        outcome = train(config, progress=False)
        if outcome.diverged is not None:
            raise optuna.TrialPruned
        return outcome.evaluated[EVALUATED].success_rate

    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="pathb",
        storage=f"sqlite:///{out / 'study.db'}",
        load_if_exists=True,
        direction="maximize",
    )
    study.optimize(success_rate, n_trials=trials)
    print(study.best_value, study.best_params)


if __name__ == "__main__":
    main()
