"""Draw unwinding.png, the picture of docs/UNWINDING.md: `python docs/figures/unwinding.py`."""

from pathlib import Path

import pandas as pd

TRACES = Path(__file__).parents[1] / "unwinding"
RUNS = {
    "0_97_seed_2_update_279": "lambda 0.97, seed 2, update 279",
    "phase3_seed_1_update_255": "reward phase3, seed 1, update 255",
}
DIVISORS = {
    "": ("as it was trained", "firebrick"),
    "_least_400": ("divided by 400 at least", "grey"),
}
ROWS = {
    "critic_grad_norm": "norm of the\ncritic's gradient",
    "actor_step": "step of the actor",
    "approx_kl": "approx_kl",
}


def main() -> None:
    """Draw a column per run, a row per figure."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        len(ROWS), len(RUNS), figsize=(9.4, 6.2), sharex=True, sharey="row", layout="constrained"
    )
    for panel, label in zip(panels[:, 0], ROWS.values(), strict=True):
        panel.set_ylabel(label)
    for column, (file, title) in zip(panels.T, RUNS.items(), strict=True):
        column[0].set_title(title, fontsize=10)
        for panel, name in zip(column, ROWS, strict=True):
            for ending, (said, color) in DIVISORS.items():
                trace = pd.read_csv(TRACES / f"{file}{ending}.csv")
                panel.semilogy(trace["minibatch"], trace[name], color=color, lw=1.1, label=said)
            panel.spines[["top", "right"]].set_visible(False)
        column[-1].set_ylim(bottom=1e-3)  # no distance before the first step
        column[-1].set_xlabel("minibatch of the update")
    panels[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)


if __name__ == "__main__":
    main()
