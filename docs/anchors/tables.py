"""Print where these runs end (docs/ANCHORS.md), and what lost success (docs/UNWINDING.md).

Or those of another folder: `python docs/anchors/tables.py docs/medium` (docs/MEDIUM.md).
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pathb_jax.verification.float64_world import BASIN, start_and_goal

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
FALL = 0.25
"""What the success rate of the training episodes loses, and more, from one update to the next."""


def main() -> None:
    """Print where the runs' last episodes end, and the updates that lost success."""
    print(
        "| run | successes | distance from the goal | of it towards the basin | within 1.5 of it |"
    )
    for path in sorted(FOLDER.glob("*_evaluation.csv")):
        print(_end(_name(path), pd.read_csv(path)))
    print(
        "\n| run | update | success before and after | approx_kl | times the run's median "
        "| value_loss before, at and after it | highest success later |"
    )
    falls = []
    for path in sorted(FOLDER.glob("*_history.csv")):
        history = pd.read_csv(path)
        if "episode_success" in history:  # not in those of an earlier version
            falls += _falls(_name(path), history)
    print("\n".join(line for _, line in sorted(falls, reverse=True)))


def _name(path: Path) -> str:
    found = re.match(r"(?:medium-)?(?:mixed-)?(\w+?)(?:-10M)?_seed_(\d)", path.name)
    assert found, path
    return f"{found[1].replace('_', '.')}, seed {found[2]}"


def _end(name: str, episodes: pd.DataFrame) -> str:
    """Return a row of medians: of the distance at the end, and of its part towards the basin."""
    goals = np.array([start_and_goal(seed)[1] for seed in episodes.seed])
    miss = episodes[["terminalX", "terminalY"]].to_numpy() - goals
    basin = BASIN - goals
    towards = (miss * basin).sum(axis=1) / np.linalg.norm(basin, axis=1)
    distance = np.linalg.norm(miss, axis=1)
    successes = (episodes.terminalOutcome == "success").sum()
    near = (episodes.terminalBasinDistance < 1.5).sum()
    return (
        f"| {name} | {successes} | {np.median(distance):.2f} | {np.median(towards):.2f} | {near} |"
    )


def _falls(name: str, history: pd.DataFrame) -> list[tuple[float, str]]:
    """Return approx_kl over its median and a row, per update that lost success."""
    success, kl, loss = history.episode_success, history.approx_kl, history.value_loss
    times = kl / kl.median()
    return [
        (
            float(times[i]),
            f"| {name} | {history['update'][i]} | {success[i]:.2f}, {success[i + 1]:.2f} "
            f"| {kl[i]:.3f} | {times[i]:.0f} "
            f"| {loss[i - 1]:.0f}, {loss[i]:.0f}, {loss[i + 1]:.0f} "
            f"| {success[i + 2 :].max():.2f} |",
        )
        for i in history.index[success.shift(-1) - success < -FALL]
    ]


if __name__ == "__main__":
    main()
