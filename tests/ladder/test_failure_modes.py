"""Failure modes: each rule at its thresholds, the programme's own three, their order."""

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.ladder.failure_modes import FailureMode, Mode, classify, window_rows
from pathb_jax.ladder.protocol import load_protocol

TABLE = load_protocol("path_b").failure_modes
MODES = get_args(Mode)


def columns(
    rows: int = 204,
    log_std: tuple[float, float] = (-0.5, -0.6),
    value_loss: float = 100.0,
    reward: tuple[float, float] = (-1.0, -1.0),
) -> dict[str, list[float]]:
    """A history whose window starts and ends with the figures given."""
    half = rows // 2
    return {
        "log_std": [log_std[0]] * half + [log_std[1]] * (rows - half),
        "value_loss": [100.0] * (rows - 1) + [value_loss],
        "mean_reward": [reward[0]] * half + [reward[1]] * (rows - half),
    }


def name(history: dict[str, list[float]], **figures: Any) -> FailureMode:
    known: dict[str, Any] = {
        "updates": 1221,
        "success": (5, 32),
        "alignment": 0.5,
        "half_alignment": 0.5,
        "log_std_init": -0.5,
    }
    return classify(TABLE, history, **(known | figures))


EXT3 = columns(log_std=(-0.276, -0.039), value_loss=705.0, reward=(-1.83, -2.09))


def test_programme_default_hparams_ext3() -> None:
    mode = name(EXT3, success=(5, 32), alignment=0.621)
    assert mode.name == "critic_destabilisation"
    assert mode.figures["value_loss_max"] == 705.0
    assert mode.figures["log_std_rise"] == pytest.approx(0.237)
    assert mode.figures["reward_fall"] == pytest.approx(0.26)


def test_programme_lr1e4() -> None:
    mode = name(columns(log_std=(-1.3, -1.319)), success=(7, 32), alignment=0.832)
    assert mode == FailureMode(
        "mode_collapse", {"alignment": 0.832, "success_rate": 7 / 32, "log_std": -1.319}
    )


def test_programme_reward_phase3() -> None:
    history = columns(log_std=(-0.42, -0.407), value_loss=960.0)
    assert name(history, success=(0, 32), alignment=0.003) == FailureMode(
        "bootstrap_failure",
        {"success_rate": 0.0, "alignment": 0.003, "log_std": -0.407, "log_std_init": -0.5},
    )


def test_programme_vc0_25_is_healthy() -> None:
    mode = name(columns(log_std=(-0.55, -0.57)), success=(17, 32), alignment=0.934)
    assert mode == FailureMode("healthy", {"success_rate": 17 / 32})


@pytest.mark.parametrize(
    ("history", "figures", "expected"),
    [
        (columns(log_std=(0, -0.5)), {"success": (0, 32), "alignment": 0.099}, "bootstrap_failure"),
        (columns(log_std=(0, -0.5)), {"success": (0, 32), "alignment": 0.1}, "unclassified"),
        (columns(log_std=(0, -0.501)), {"success": (0, 32), "alignment": 0.0}, "unclassified"),
        (columns(log_std=(0, -0.5)), {"success": (1, 32), "alignment": 0.0}, "unclassified"),
        (columns(log_std=(-0.3, -0.2), value_loss=400, reward=(0, -0.05)), {}, MODES[2]),
        (columns(log_std=(-0.3, -0.201), value_loss=400, reward=(0, -0.05)), {}, MODES[-1]),
        (columns(log_std=(-0.3, -0.2), value_loss=399, reward=(0, -0.05)), {}, MODES[-1]),
        (columns(log_std=(-0.3, -0.2), value_loss=400, reward=(0, -0.049)), {}, MODES[-1]),
        (columns(log_std=(-1, -1.2)), {"alignment": 0.8, "success": (12, 32)}, "mode_collapse"),
        (columns(log_std=(-1, -1.2)), {"alignment": 0.8, "success": (13, 32)}, "healthy"),
        (columns(log_std=(-1, -1.199)), {"alignment": 0.8}, "under_budget"),
        (columns(log_std=(-1, -1.2)), {"alignment": 0.799}, "under_budget"),
        (columns(), {"alignment": 0.35, "half_alignment": 0.3}, "under_budget"),
        (columns(), {"alignment": 0.349, "half_alignment": 0.3}, "unclassified"),
        (columns(), {"alignment": 0.9, "half_alignment": None}, "unclassified"),
        (columns(), {"alignment": 0.9, "success": (13, 32)}, "healthy"),
        (columns(), {"success": None}, "unclassified"),
        (EXT3, {"success": (0, 32), "alignment": 0.0}, "bootstrap_failure"),
        (EXT3, {"success": (32, 32)}, "critic_destabilisation"),
        (EXT3, {"diverged": "value_loss at update 9"}, "diverged"),
        ({}, {"success": None, "alignment": None}, "unclassified"),
    ],
)
def test_rules_at_their_thresholds(
    history: dict[str, list[float]], figures: dict[str, Any], expected: str
) -> None:
    assert name(history, **figures).name == expected


def test_window_is_the_last_sixth_and_at_least_50() -> None:
    assert [window_rows(TABLE, n) for n in (50, 300, 301, 1221)] == [50, 50, 51, 204]
    before = {column: [*[1e6] * 99, *values] for column, values in EXT3.items()}
    assert name(before) == name(EXT3)
    early = {key: [*values, *[values[-1]] * 204] for key, values in EXT3.items()}
    assert name(early).name != "critic_destabilisation"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["log_std", "value_loss", "mean_reward"]),
        st.lists(st.floats(), max_size=80),
    ),
    st.none() | st.tuples(st.integers(-1, 40), st.integers(-1, 40)),
    st.none() | st.floats(),
    st.none() | st.floats(),
)
def test_never_raises_and_fits_json(
    history: dict[str, list[float]], success: Any, alignment: Any, half: Any
) -> None:
    mode = name(history, success=success, alignment=alignment, half_alignment=half, updates=60)
    assert mode.name in MODES
    json.dumps(mode.figures, allow_nan=False)


def test_a_gap_in_the_window_matches_no_rule() -> None:
    gap = {**EXT3, "value_loss": [math.nan, *EXT3["value_loss"][1:]]}
    assert name(gap).name == "unclassified"
