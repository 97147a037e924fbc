"""The power of a protocol: exact sums, against closed forms and against playing it through."""

import math

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from pathb_jax.judging import power
from pathb_jax.judging.power import Population, RunRates, adoption, passing_chance, votes_needed
from pathb_jax.judging.rates import equivalent_pairs
from pathb_jax.ladder.acceptance import judge, passed_all
from pathb_jax.ladder.equivalence import equivalence
from pathb_jax.ladder.stages import (
    EquivalenceStage,
    SeedShift,
    Stages,
    SuccessFloor,
    TrainingDynamics,
)

FLOOR = SuccessFloor(seed_start=10000, threshold=0.40)
SHIFT = SeedShift(seed_start=20000, difference_at_most=0.10)
FAR = EquivalenceStage(seed_start=30000, margin=0.10, alpha=0.05)
DYNAMICS = TrainingDynamics(
    window=50, entropy_below=2.28, log_std_rise_at_most=0.0, value_loss_at_most=400.0
)


def run(*rates, seeds=100, dynamics=1.0, hours=1.0):
    """A run with these rates on the sets from 10000, 20000, 30000."""
    starts = (10000, 20000, 30000)
    counts = {start: (round(p * seeds), seeds) for start, p in zip(starts, rates, strict=False)}
    return RunRates(counts, dynamics, hours)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.45, 1.0])
@pytest.mark.parametrize("seeds", [32, 64])
def test_a_floor_alone_is_a_binomial_tail(rate, seeds):
    chance = passing_chance(run(rate), Stages([FLOOR]), seeds)
    assert chance == pytest.approx(binom.sf(math.ceil(0.4 * seeds) - 1, seeds, rate))


def test_rates_may_be_known_only_as_far_as_the_sets_tell():
    chance = passing_chance(run(0.45, seeds=20), Stages([FLOOR]), 32, uncertain=True)
    assert chance == pytest.approx(betabinom.sf(12, 32, 9.5, 11.5))
    # With very many seeds behind the rates it is the same.
    known, uncertain = (
        passing_chance(run(0.45, 0.5, seeds=10**8), Stages([FLOOR, SHIFT]), 32, uncertain=u)
        for u in (False, True)
    )
    assert uncertain == pytest.approx(known, abs=1e-4)


def test_stages_on_two_sets_are_the_double_sum():
    stages = Stages([FLOOR, DYNAMICS, SHIFT])
    n, p, q = 32, 0.45, 0.52
    pairs = [(a, b) for a in range(n + 1) for b in range(n + 1) if a >= 13 and abs(a - b) <= 3]
    double = math.fsum(binom.pmf(a, n, p) * binom.pmf(b, n, q) for a, b in pairs)
    chance = passing_chance(run(p, q, dynamics=0.07), stages, n)
    assert chance == pytest.approx(0.07 * double)


def test_equivalence_of_all_pairs_is_that_of_each():
    allowed = equivalent_pairs(40, 0.25, 0.05)
    for a in range(41):
        for b in range(41):
            assert allowed[a, b] == equivalence((a, 40), (b, 40), 0.25, 0.05).equivalent, (a, b)
    assert 0 < allowed.sum() < 41**2


def test_votes():
    assert [votes_needed(n, (1, 1)) for n in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert [votes_needed(n, (5, 4)) for n in (1, 3, 5, 10)] == [1, 3, 4, 8]
    assert adoption(0.3, 5, 4) == pytest.approx(5 * 0.3**4 * 0.7 + 0.3**5)


def cell(populations, stages, training_seeds=1, eval_seeds=32, rule=(1, 1), **options):
    return power.power(populations, stages, rule, training_seeds, eval_seeds, **options)


def population(name, runs, stages):
    return Population(name, runs, power.holds(runs, stages))


def test_one_candidate_of_one_rate_is_a_binomial_of_binomials():
    stages = Stages([FLOOR])
    runs = [run(0.45)] * 3
    found = cell([population("a", runs, stages)], stages, 5, 64, (5, 4))
    one = binom.sf(25, 64, 0.45)
    assert found.pass_at_least == 4
    assert found.adopts_holding.value == pytest.approx(binom.sf(3, 5, one))
    assert found.adopts_other.value == 0
    assert found.rejects.value == pytest.approx(binom.cdf(3, 5, one))
    # Runs that are all alike leave nothing to resample.
    assert found.adopts_holding.interval_90 == pytest.approx([found.adopts_holding.value] * 2)


def test_candidates_come_in_order_and_hours_with_them():
    stages = Stages([FLOOR])
    good, bad = [run(0.6, hours=2.0)] * 2, [run(0.35, hours=3.0)] * 2
    a, b = binom.sf(12, 32, 0.6), binom.sf(12, 32, 0.35)
    first = cell([population("bad", bad, stages), population("good", good, stages)], stages)
    assert first.adopts_other.value == pytest.approx(b)
    assert first.adopts_holding.value == pytest.approx((1 - b) * a)
    assert first.rejects.value == pytest.approx((1 - a) * (1 - b))
    assert first.hours == pytest.approx(3 + (1 - b) * 2)
    assert first.most_hours == 5
    turned = cell([population("good", good, stages), population("bad", bad, stages)], stages, 3)
    a3 = 3 * a**2 * (1 - a) + a**3
    assert turned.adopts_holding.value == pytest.approx(a3)
    assert turned.hours == pytest.approx(3 * (2 + (1 - a3) * 3))


def test_more_seeds_tell_better():
    stages = Stages([FLOOR])
    holding = [population("a", [run(0.5)] * 2, stages)]
    lacking = [population("a", [run(0.3)] * 2, stages)]
    sizes = (32, 64, 256, 1024)
    adopts = [cell(holding, stages, 1, n).adopts_holding.value for n in sizes]
    errs = [cell(lacking, stages, 1, n).adopts_other.value for n in sizes]
    assert adopts == sorted(adopts)
    assert adopts[-1] > 0.999
    assert errs == sorted(errs, reverse=True)
    assert errs[-1] < 0.001
    by_votes = [cell(lacking, stages, t, 32).adopts_other.value for t in (1, 3, 5)]
    assert by_votes == sorted(by_votes, reverse=True)
    better = [
        cell([population("a", [run(p)] * 2, stages)], stages).rejects.value for p in (0.3, 0.4, 0.5)
    ]
    assert better == sorted(better, reverse=True)


def test_what_holds():
    stages = Stages([FLOOR, DYNAMICS, SHIFT])
    assert power.holds(
        [run(0.2, 0.3), run(0.6, 0.7)], stages
    )  # 0.4 and 0.5, exactly at both limits
    assert not power.holds([run(0.2, 0.3), run(0.59, 0.7)], stages)
    assert not power.holds([run(0.2, 0.3), run(0.6, 0.71)], stages)
    assert power.holds([run(0.8, 0.8, dynamics=0.0)], stages)  # dynamics are no part of it
    diverged = RunRates({}, 0.0, 1.0)
    assert not power.holds([run(0.6, 0.6), diverged], stages)
    assert power.holds([run(0.9, 0.9), diverged], stages)
    assert passing_chance(diverged, stages, 32) == 0
    strict = Stages([FLOOR, FAR])
    assert not power.holds([run(0.5, 0.0, 0.6)], strict)  # differences of the margin are too large
    assert power.holds([run(0.5, 0.0, 0.59)], strict)


def test_one_run_tells_nothing_of_training_seeds():
    stages = Stages([FLOOR])
    several = population("a", [run(0.2), run(0.7), run(0.5)], stages)
    alone = population("b", [run(0.5)], stages)
    low, high = cell([several], stages).adopts_holding.interval_90
    assert low < cell([several], stages).adopts_holding.value < high
    assert cell([several, alone], stages).adopts_holding.interval_90 is None


def test_the_interval_is_that_of_resampled_runs():
    """Of two runs, one always and one never passing: 0, 1/2 and 1 with 1/4, 1/2 and 1/4."""
    stages = Stages([FLOOR])
    found = cell([population("a", [run(1.0), run(0.0)], stages)], stages)
    assert found.adopts_holding == (0.5, (0.0, 1.0))


def history_of(rows):
    rising = np.where(np.arange(rows) % 2, 0.0, 0.1)
    return {"entropy": np.ones(rows), "log_std": rising, "value_loss": np.ones(rows)}


def test_dynamics_pass_as_often_as_their_windows():
    """log_std is 0.1 at every odd row: no window of 51 rises, one of 50 does from an even row."""
    history = history_of(300)
    even = DYNAMICS.model_copy(update={"window": 51})
    assert power.dynamics_share(history, Stages([FLOOR, even])) == 1
    half = power.dynamics_share(history, Stages([FLOOR, DYNAMICS]))
    assert half == pytest.approx(0.5, abs=0.01)
    assert power.dynamics_share(history, Stages([FLOOR, even, DYNAMICS])) == half
    assert power.dynamics_share(history_of(20), Stages([FLOOR, DYNAMICS])) == 0
    assert power.dynamics_share({}, Stages([FLOOR])) == 1


@pytest.mark.slow  # takes a quarter of a minute
def test_it_is_what_playing_the_protocol_gives():
    """Draw runs, windows and sets, judge them by the ladder's own rules, and count adoptions."""
    stages = Stages([FLOOR, DYNAMICS, SHIFT, FAR])
    a = [run(0.5, 0.52, 0.5, dynamics=0.9), run(0.25, 0.3, 0.3, dynamics=0.9)]
    b = [run(0.6, 0.65, 0.55, dynamics=0.8), run(0.7, 0.7, 0.7, dynamics=0.6), run(0.45, 0.3, 0.3)]
    populations = [population("a", a, stages), population("b", b, stages)]
    n, seeds, needed, draws = 256, 3, 2, 1500
    found = cell(populations, stages, seeds, n)
    generator = np.random.default_rng(1)
    flat = {name: np.ones(50) for name in ("entropy", "log_std", "value_loss")}
    risen = {**flat, "log_std": np.arange(50.0)}

    def passes(drawn):
        counts = {s: (generator.binomial(n, k / m), n) for s, (k, m) in drawn.counts.items()}
        history = flat if generator.random() < drawn.dynamics else risen
        return passed_all(judge(stages, counts, history))

    adopted = dict.fromkeys("ab", 0)
    for _ in range(draws):
        for name, _, _ in populations:
            runs = {"a": a, "b": b}[name]
            votes = [passes(runs[generator.integers(len(runs))]) for _ in range(seeds)]
            if sum(votes) >= needed:
                adopted[name] += 1
                break
    true = dict.fromkeys((True, False), 0.0)
    for name, _, held in populations:
        true[held] += adopted[name] / draws
    for held, chance in ((True, found.adopts_holding), (False, found.adopts_other)):
        error = math.sqrt(max(chance.value * (1 - chance.value), 1e-3) / draws)
        assert true[held] == pytest.approx(chance.value, abs=4 * error)
    assert found.adopts_holding.value > 0.05
    assert found.adopts_other.value > 0.05
