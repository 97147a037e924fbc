"""The three stages at their exact thresholds, the programme's own candidates, the predictions."""

import json
import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.ladder.acceptance import judge, passed_all
from pathb_jax.ladder.exact import difference, successes_needed, within
from pathb_jax.ladder.predictions import grade_predictions
from pathb_jax.ladder.protocol import load_protocol
from pathb_jax.store.models import to_json
from pathb_jax.store.record_schema import Grade
from pathb_jax.store.run_records import StageRecord

PLAN = load_protocol("path_b")
STAGES = PLAN.stages


def history(
    rows: int = 60,
    entropy: float = 2.0,
    log_std: tuple[float, float] = (-0.5, -0.6),
    value_loss: float = 100.0,
) -> dict[str, list[float]]:
    """A calm history: the log_std given is that of the first and last of the last 50 rows."""
    first, last = log_std
    window = [first, *[(first + last) / 2] * 48, last]
    return {
        "entropy": [2.0] * (rows - 1) + [entropy],
        "log_std": [0.0] * (rows - 50) + window if rows >= 50 else window[-rows:],
        "value_loss": [100.0] * (rows - 20) + [value_loss] + [100.0] * 19,
    }


def outcome(first: int, second: int, columns: dict[str, list[float]]) -> list[StageRecord]:
    return judge(STAGES, {10000: (first, 32), 20000: (second, 32)}, columns)


def passed(receipts: list[StageRecord]) -> list[bool | None]:
    return [receipt.passed for receipt in receipts]


@pytest.mark.parametrize(
    ("first", "second", "columns", "expected"),
    [
        (12, 12, history(), [False, None, None]),
        (13, 13, history(), [True, True, True]),
        (13, 16, history(), [True, True, True]),
        (13, 17, history(), [True, True, False]),
        (17, 13, history(), [True, True, False]),
        (16, 13, history(), [True, True, True]),
        (13, 13, history(entropy=2.28), [True, False, None]),
        (13, 13, history(entropy=math.nextafter(2.28, 0)), [True, True, True]),
        (13, 13, history(log_std=(-0.5, -0.5)), [True, True, True]),
        (13, 13, history(log_std=(-0.5, math.nextafter(-0.5, 0))), [True, False, None]),
        (13, 13, history(value_loss=400.0), [True, True, True]),
        (13, 13, history(value_loss=math.nextafter(400.0, 500)), [True, False, None]),
        (13, 13, history(rows=50), [True, True, True]),
        (13, 13, history(rows=49), [True, False, None]),
    ],
)
def test_exact_thresholds(
    first: int, second: int, columns: dict[str, list[float]], expected: list[bool | None]
) -> None:
    receipts = outcome(first, second, columns)
    assert passed(receipts) == expected
    assert passed_all(receipts) == (expected == [True] * 3)


def test_rows_before_the_window_are_not_judged() -> None:
    columns = history()
    columns["value_loss"][0] = 1e6
    columns["entropy"][9] = math.nan
    assert passed(outcome(13, 13, columns)) == [True] * 3


def test_programme_lr1e4_fails_stage_1_and_keeps_the_other_figures() -> None:
    receipts = outcome(7, 9, history(log_std=(-1.3, -1.319)))
    assert passed(receipts) == [False, None, None]
    assert receipts[0].reasons == ["0.219 < 0.40"]
    assert receipts[1].reasons == ["not judged: success_floor failed"]
    assert receipts[1].figures["log_std"] == -1.319
    assert receipts[2].figures["success_20000"] == 9 / 32


def test_programme_vc0_25_fails_stage_3_strictly() -> None:
    receipts = outcome(17, 13, history(entropy=1.42, log_std=(-0.55, -0.57)))
    assert passed(receipts) == [True, True, False]
    assert receipts[2].reasons == ["0.125 > 0.10"]
    assert passed(judge(STAGES, {10000: (17, 32), 20000: (20, 32)}, history())) == [True] * 3


def test_receipt_as_in_the_record() -> None:
    receipt = to_json(outcome(7, 9, history())[0])
    assert list(receipt) == ["stage", "name", "passed", "figures", "reasons"]
    assert (receipt["stage"], receipt["name"], receipt["passed"]) == (1, "success_floor", False)
    assert receipt["figures"] == {
        "success_rate": 7 / 32,
        "successes": 7,
        "seeds": 32,
        "threshold": 0.40,
    }


@pytest.mark.parametrize(
    ("counts", "columns", "stage", "reason"),
    [
        ({}, history(), 1, "no evaluation on the seeds from 10000"),
        ({10000: (0, 0)}, history(), 1, "no evaluation on the seeds from 10000 (0 of 0)"),
        ({10000: (20, 32)}, {}, 2, "0 history rows, 50 needed"),
        ({10000: (20, 32)}, history(entropy=math.nan), 2, "entropy is missing or not finite"),
        ({10000: (20, 32)}, history(value_loss=math.nan), 2, "value_loss_max is missing"),
        ({10000: (20, 32)}, history(value_loss=-math.inf), 2, "value_loss_max is missing"),
        ({10000: (20, 32)}, history(log_std=(-math.inf, 0)), 2, "log_std_rise is missing"),
        ({10000: (20, 32)}, history(entropy=2.5), 2, "entropy 2.500 >= 2.28"),
        ({10000: (20, 32)}, history(), 3, "no evaluation on the seeds from 20000"),
    ],
)
def test_a_failure_says_why(
    counts: dict[int, tuple[int, int]], columns: dict[str, list[float]], stage: int, reason: str
) -> None:
    receipt = judge(STAGES, counts, columns)[stage - 1]
    assert receipt.passed is False
    assert any(text.startswith(reason) for text in receipt.reasons), receipt.reasons


def test_reasons_look_true() -> None:
    receipts = outcome(13, 13, history(entropy=2.28, value_loss=400.0001))
    assert receipts[1].reasons == ["entropy 2.280 >= 2.28", "value_loss_max 400.0001 > 400.00"]


def test_divergence_fails_stage_1_whatever_the_figures() -> None:
    receipts = judge(STAGES, {10000: (32, 32)}, history(), diverged="policy_loss at update 7")
    assert passed(receipts) == [False, None, None]
    assert receipts[0].reasons == ["diverged: policy_loss at update 7"]


@given(st.integers(1, 200), st.integers(0, 100), st.data())
def test_counts_decide_as_decimals_do(seeds: int, percent: int, data: st.DataObject) -> None:
    """k >= ceil(t n) and |k2 - k1| <= floor(d n), for the decimals that the file states."""
    exact, number = Decimal(percent) / 100, percent / 100
    needed = int((exact * seeds).to_integral_value(ROUND_CEILING))
    assert successes_needed(number, seeds) == needed
    band = int((exact * seeds).to_integral_value(ROUND_FLOOR))
    first, second = (data.draw(st.integers(0, seeds)) for _ in range(2))
    assert within((first, seeds), (second, seeds), number) == (abs(second - first) <= band)


@pytest.mark.parametrize("seeds", range(1, 201))
def test_protocol_counts_for_every_number_of_seeds(seeds: int) -> None:
    assert successes_needed(0.40, seeds) == -(-2 * seeds // 5)
    for gap in range(seeds + 1):
        assert within((0, seeds), (gap, seeds), 0.10) == (gap <= seeds // 10)


anything = st.lists(st.floats(width=32), max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from([10000, 20000]), st.tuples(*[st.integers(-1, 40)] * 2)),
    st.dictionaries(st.sampled_from(["entropy", "log_std", "value_loss"]), anything),
)
def test_never_raises_and_fits_json(
    counts: dict[int, tuple[int, int]], columns: dict[str, list[float]]
) -> None:
    receipts = judge(STAGES, counts, columns)
    json.dumps([to_json(receipt) for receipt in receipts], allow_nan=False)
    states = passed(receipts)
    failed = states.index(False) if False in states else 3
    assert states == [True] * failed + [False] * (failed < 3) + [None] * (2 - failed)
    assert all(bool(r.reasons) == (r.passed is not True) for r in receipts)


@given(st.integers(0, 32), st.integers(0, 32))
def test_more_success_never_fails_stage_1(few: int, more: int) -> None:
    few, more = sorted((few, more))
    low, high = (outcome(k, k, history())[0].passed for k in (few, more))
    assert not low or high


@given(st.floats(0, 5), st.floats(0, 5), st.floats(0, 1000), st.floats(0, 1000))
def test_calmer_dynamics_never_fail_stage_2(a: float, b: float, c: float, d: float) -> None:
    (calm, wild), (small, large) = sorted((a, b)), sorted((c, d))
    wild_passes = outcome(32, 32, history(entropy=wild, value_loss=large))[1].passed
    assert not wild_passes or outcome(32, 32, history(entropy=calm, value_loss=small))[1].passed


def test_differences_are_those_of_the_decimals() -> None:
    assert 0.35 - 0.3 < 0.05 == difference(0.35, 0.3)
    assert difference(1e308, -1e308) is None
    assert difference(math.nan, 0.0) is None
    assert difference(None, 0.0) is None


@pytest.mark.parametrize(
    ("outcomes", "grades"),
    [
        ({}, "untested untested untested"),
        ({"lr1e4": []}, "untested untested untested"),
        ({"lr1e4": [False, None, None]}, "falsified untested untested"),
        ({"lr1e4": [True, False, None]}, "confirmed falsified untested"),
        ({"lr1e4": [True, True, False]}, "confirmed confirmed falsified"),
        ({"lr1e4": [True, True, True]}, "confirmed confirmed confirmed"),
        (
            {"lr1e4": [False, None, None], "vc0_25": [True, True, True]},
            "falsified untested confirmed",
        ),
        (
            {"lr1e4": [True, False, None], "vc0_25": [True, True, False], "ec0_001": [True] * 3},
            "confirmed falsified falsified",
        ),
        ({"vc0_25": [True, True, True]}, "untested untested confirmed"),
        (
            {tag: [False, None, None] for tag in ("lr1e4", "vc0_25", "ec0_001", "clip0_1")},
            "falsified untested untested",
        ),
    ],
)
def test_predictions(outcomes: dict[str, Any], grades: str) -> None:
    expected: list[Grade] = grades.split()  # type: ignore[assignment]
    graded = grade_predictions(PLAN.predictions, outcomes)
    assert graded == dict(zip(("GG1", "GG2", "GG3"), expected, strict=True))


def test_a_diverged_candidate_has_failed_stage_1() -> None:
    receipts = judge(STAGES, {}, {}, diverged="gradient at update 3")
    assert grade_predictions(PLAN.predictions, {"lr1e4": passed(receipts)})["GG2"] == "untested"
