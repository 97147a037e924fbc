"""The rules written twice: whatever a run's figures, both lead to the same receipts."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_protocol import listed_table, shipped_table, to_toml

from pathb_jax.ladder.acceptance import judge
from pathb_jax.ladder.failure_modes import classify
from pathb_jax.ladder.predictions import grade_predictions
from pathb_jax.ladder.protocol import load_protocol, parse_protocol
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.ladder.training_seeds import verdict_of
from pathb_jax.store.run_records import StageRecord
from pathb_jax.verification import failure_modes, rules, votes

PROTOCOL, TABLE = load_protocol("path_b"), shipped_table()
LISTED_TABLE = listed_table()
LISTED = parse_protocol(
    "\n".join(f"{k} = {to_toml(v)}" for k, v in LISTED_TABLE.items()).encode(), "listed.toml"
)
TAGS = [candidate["tag"] for candidate in TABLE["candidates"]]


def near(*limits, width=0.2):
    """Numbers at, beside and around the limits."""
    edges = [limit + step for limit in limits for step in (0.0, 1e-9, -1e-9, 1e-3, -1e-3)]
    low, high = min(limits) - width, max(limits) + width
    return st.sampled_from(edges) | st.floats(low, high)


counts = st.integers(0, 32).map(lambda successes: (successes, 32))


@st.composite
def facts(draw):
    diverged = draw(st.none() | st.just("value_loss not finite at update 7"))
    whole = (10000, 20000, 30000, 40000)
    starts = draw(st.sampled_from([(), (10000,), (20000,), whole[:3], whole]))
    found = {start: draw(counts) for start in starts} if diverged is None else {}
    rows = draw(st.sampled_from([0, 1, 19, 20, 49, 50, 120]))
    last = draw(near(2.28))
    ends = draw(near(-0.5, -1.2, 0.1)), draw(near(-0.5, -1.2, 0.1))
    history = {
        "entropy": np.linspace(1.0, last, rows).tolist(),
        "log_std": np.linspace(*ends, rows).tolist(),
        "value_loss": np.linspace(draw(near(400.0)), draw(near(400.0)), rows).tolist(),
        "mean_reward": np.linspace(-1.0, draw(near(-1.05)), rows).tolist(),
    }
    alignment = st.none() | near(0.1, 0.8)
    halves = {10000: value} if (value := draw(alignment)) is not None else {}
    alignments = {start: draw(near(0.1, 0.8)) for start in found}
    return rules.Facts(
        found, alignments, {}, history, draw(st.sampled_from([50, 1221])), halves, diverged
    )


@settings(max_examples=400, deadline=None)
@given(facts())
def test_both_judge_alike(run):
    for protocol, table in ((PROTOCOL, TABLE), (LISTED, LISTED_TABLE)):
        assert_alike(protocol, table, run)


@settings(max_examples=400, deadline=None)
@given(st.tuples(*[counts] * 4))
def test_both_judge_rates_alike(found):
    history = {name: [0.0] * 60 for name in ("entropy", "log_std", "value_loss")}
    by_start = dict(zip((10000, 20000, 30000, 40000), found, strict=True))
    assert_alike(LISTED, LISTED_TABLE, rules.Facts(by_start, {}, {}, history, 60, {}, None))


EXAMPLE = Path(__file__).parents[2] / "examples" / "pendulum.toml"
RETURNS, RETURNS_TABLE = load_protocol(EXAMPLE), tomllib.loads(EXAMPLE.read_text("utf-8"))


@settings(max_examples=200, deadline=None)
@given(facts(), st.none() | near(-250.0), st.integers(0, 256))
def test_both_judge_returns_alike_and_name_the_same_failure(run, mean, successes):
    found = {10000: (successes, 256), 20000: (200, 256)} if run.counts else {}
    told = {} if mean is None or not found else {10000: mean}
    of_returns = run._replace(counts=found, alignments={}, half_alignments={}, returns=told)
    assert_alike(RETURNS, RETURNS_TABLE, of_returns)
    mode = classify(
        RETURNS.failure_modes,
        run.history,
        updates=run.updates,
        success=found.get(10000),
        alignment=None,
        half_alignment=None,
        log_std_init=-0.5,
        diverged=run.diverged or "",
    )
    table = RETURNS_TABLE["failure_modes"]
    assert failure_modes.failure_mode(table, -0.5, 10000, of_returns) == (mode.name, mode.figures)


def assert_alike(protocol, table, run):
    assert rules.set_starts(table) == [*protocol.seed_sets]
    receipts = judge(
        protocol.stages,
        run.counts,
        run.history,
        mean_returns=run.returns,
        diverged=run.diverged or "",
    )
    stages = rules.stages(table, run)
    for receipt, stage in zip(receipts, stages, strict=True):
        assert (receipt.stage, receipt.name, receipt.passed) == stage[:3]
        assert list(receipt.figures) == list(stage.figures)
        for name, value in stage.figures.items():
            close = name.startswith("interval_") and value is not None
            figure = pytest.approx(value, rel=1e-12, abs=1e-12) if close else value
            assert receipt.figures[name] == figure
        assert len(receipt.reasons) == len(stage.reasons)
        assert all(map(rules.says, receipt.reasons, stage.reasons)), (receipt.reasons, stage)


@settings(max_examples=400, deadline=None)
@given(facts())
def test_both_name_the_same_failure(run):
    mode = classify(
        PROTOCOL.failure_modes,
        run.history,
        updates=run.updates,
        success=run.counts.get(10000),
        alignment=run.alignments.get(10000),
        half_alignment=run.half_alignments.get(10000),
        log_std_init=-0.5,
        diverged=run.diverged or "",
    )
    assert failure_modes.failure_mode(TABLE["failure_modes"], -0.5, 10000, run) == (
        mode.name,
        mode.figures,
    )


receipts = st.sampled_from(
    [(True, True, True), (True, True, False), (True, False, None), (False, None, None)]
)


@settings(deadline=None)
@given(st.lists(receipts, max_size=4))
def test_both_grade_alike(passed):
    outcomes = dict(zip(TAGS, passed, strict=False))
    grades = grade_predictions(PROTOCOL.predictions, outcomes)
    assert votes.grades(TABLE["predictions"], outcomes) == grades


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 2), receipts), min_size=1, max_size=4))
def test_both_say_what_a_seed_would_have(by_seed):
    passed = dict(zip(TAGS, by_seed, strict=False))
    stages = {
        tag: {
            seed: [StageRecord.model_construct(passed=p) for p in run] for seed, run in runs.items()
        }
        for tag, runs in passed.items()
    }
    for seed in range(3):
        assert votes.verdict_of_seed(passed, seed) == verdict_of(stages, seed)


def test_both_have_the_same_intervals():
    for seeds in (1, 4, 32, 64):
        for successes in range(seeds + 1):
            ours, theirs = rules.interval(successes, seeds), clopper_pearson(successes, seeds)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_reason_has_to_be_the_reason():
    reason = rules.Comparison("", 7 / 32, "<", 0.4)
    assert rules.says("0.219 < 0.40", reason)
    for other in ("0.220 < 0.40", "0.219 < 0.30", "0.219 > 0.40", "entropy 0.219 < 0.40", "x", ""):
        assert not rules.says(other, reason), other
