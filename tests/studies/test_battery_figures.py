"""Means over seeds, their intervals, labels of known policies, and the tables."""

import math

import numpy as np
import pytest
from scipy import stats

from pathb_jax.evaluation.battery import Battery, Episodes, old_basin_preference
from pathb_jax.evaluation.channels import CHANNELS
from pathb_jax.evaluation.policies import ReferenceController
from pathb_jax.runs.subjects import Subject, Training
from pathb_jax.store.tables import read_table
from pathb_jax.studies.battery import figures_of, unseen_responses
from pathb_jax.studies.battery_published import PUBLISHED, published_beside
from pathb_jax.studies.battery_tables import FIRST_COLUMNS, write_tables
from pathb_jax.studies.envelope import basin_preference

N, STEPS = 64, 60
MIXED = "mixed_ppo_phase3_lambda_0_9"


@pytest.fixture
def subject() -> Subject:
    training = Training("Small", MIXED, 0.9)
    return Subject("a", ReferenceController("oracle"), None, "privileged-field", training)


@pytest.fixture
def battery() -> Battery:
    """Pairs whose figures are drawn, as if they had been played."""
    rng = np.random.default_rng(1)
    shape = (len(CHANNELS), N)

    def episodes(*axes: int) -> Episodes:
        return Episodes(
            positions=np.zeros((*axes, STEPS + 1, 2), np.float32),
            actions=np.zeros((*axes, STEPS, 2), np.float32),
            goal=np.zeros((*axes, 2), np.float32),
            steps=np.full(axes, STEPS),
            alignment=rng.uniform(size=axes).astype(np.float32),
            success=rng.uniform(size=axes) < 0.5,
        )

    response = rng.exponential(size=shape)
    response[1, :5] = np.nan
    response[3] = np.nan
    response[0] = 0
    return Battery(
        np.arange(10000, 10000 + N),
        episodes(N),
        episodes(*shape),
        response,
        rng.uniform(size=shape),
        rng.normal(2.0, 1.0, size=shape),
    )


def test_means_are_over_the_pairs_that_have_a_figure(subject: Subject, battery: Battery):
    told = figures_of(subject, "a", battery)
    assert [each.left_out for each in told.channels] == [0, 5, 0, N, 0]
    assert told.of("observation").action_response.mean == pytest.approx(
        math.fsum(battery.action_response[1, 5:]) / (N - 5)
    )
    assert told.of("geometry").action_response == (None, None)
    assert told.of("reward").action_response == (0.0, (0.0, 0.0))
    assert told.unedited.success_rate == battery.unedited.success.sum() / N
    assert told.of("geometry").edited.success_count == battery.edited.success[3].sum()


def test_intervals(subject: Subject, battery: Battery):
    told = figures_of(subject, "a", battery)
    # Of many normal figures the bootstrap's is close to the mean's own, 1.96 standard errors.
    preference = told.of("basin-position").preference
    own = stats.norm.interval(0.95, preference.mean, stats.sem(battery.preference[4]))
    assert preference.interval_95 == pytest.approx(own, abs=0.04)
    low, high = told.unedited.success_interval_95
    count = told.unedited.success_count
    assert stats.binom.sf(count - 1, N, low) == pytest.approx(0.025)  # Clopper-Pearson's
    assert stats.binom.cdf(count, N, high) == pytest.approx(0.025)


def test_the_envelopes_basin_preference_is_the_batterys(battery: Battery):
    x, y = np.random.default_rng(2).uniform(-5, 5, (2, N))
    last = battery.edited.positions.astype(np.float64)
    last[:, :, -1] = np.column_stack([x, y])
    ours = old_basin_preference(battery.edited._replace(positions=last))
    np.testing.assert_allclose(ours[0], basin_preference(x, y, np.hypot(x + 2.5, y + 2.5)))


def test_one_seed_has_no_interval_of_a_mean(subject: Subject, battery: Battery):
    one = Battery(
        battery.seeds[:1],
        battery.unedited.take(slice(1)),
        battery.edited.take((slice(None), slice(1))),
        *(figure[:, :1] for figure in battery[3:]),
    )
    told = figures_of(subject, "a", one)
    assert told.unedited.alignment.interval_95 is None
    assert told.of("reward").divergence.mean == battery.divergence[0, 0]
    assert told.unedited.success_interval_95[1] - told.unedited.success_interval_95[0] > 0.9


def test_an_effect_of_what_is_not_seen_is_found(battery: Battery):
    assert unseen_responses(battery) == []
    battery.edited.actions[CHANNELS.index("geometry"), 3, 55] = 1e-3
    assert unseen_responses(battery) == []
    battery.edited.actions[CHANNELS.index("reward"), 3, 55] = 1e-30
    assert unseen_responses(battery) == ["reward"]
    battery.edited.positions[CHANNELS.index("basin-position"), 0, -1] = 1e-30
    assert unseen_responses(battery) == ["reward", "basin-position"]


def test_tables_read_back_to_the_same_figures(subject: Subject, battery: Battery, tmp_path):
    told = [figures_of(subject, name, battery) for name in ("a", 'b, "c"')]
    written = write_tables(tmp_path, told, [battery, battery])
    assert [path.name for path in written] == list(FIRST_COLUMNS)
    for name, first in FIRST_COLUMNS.items():
        assert tuple(read_table(tmp_path / name, first))[: len(first)] == first
    pairs = read_table(tmp_path / "pairs.csv", ("policy",))
    assert pairs["policy"].tolist() == ["a"] * 5 * N + ['b, "c"'] * 5 * N
    assert pairs["channel"][: 5 * N].tolist() == [channel for channel in CHANNELS for _ in range(N)]
    for column, figures in {
        "action_response_L2": battery.action_response,
        "terminal_position_divergence": battery.divergence,
        "old_basin_preference": battery.preference,
        "alignment_edited": battery.edited.alignment,
        "alignment_unedited": np.tile(battery.unedited.alignment, (5, 1)),
        "success_edited": battery.edited.success,
        "steps_unedited": np.full((5, N), STEPS),
    }.items():
        np.testing.assert_array_equal(pairs[column][5 * N :].reshape(5, N), figures)
    response, proxy, basin, labels = (
        read_table(tmp_path / f"{name}.csv", ("policy",))
        for name in ("response", "proxy", "basin", "labels")
    )
    assert response["left_out"].tolist() == [0, 5, 0, N, 0] * 2
    assert math.isnan(response["action_response_L2"][3])
    assert proxy["edit"][:6].tolist() == ["none", *CHANNELS]
    assert proxy["success_low"][0] == told[0].unedited.success_interval_95[0]
    assert proxy["mean_terminal_alignment"][4] == told[0].of("geometry").edited.alignment.mean
    assert basin["old_basin_preference"][4] == told[0].of("basin-position").preference.mean
    assert labels["label"].tolist() == [told[0].label] * 2
    assert labels["published_preference_low"][0] == 2.611


@pytest.mark.parametrize(
    ("tier", "variant", "mixed_lambda", "expected"),
    [
        ("Small", MIXED, 0.9, [2.611]),
        ("Small", "mixed_ppo_phase3_lambda_0_3", 0.9, [2.611]),  # its lambda was replaced
        ("Small", "mixed_ppo_phase3_lambda_0_5", 0.5, [-0.394]),
        ("Small", MIXED, 0.95, []),
        ("Small", "mixed_ppo_lambda_0_5", 0.5, []),  # of another channel
        ("Medium", "signature_ppo_terminal", 0.0, [0.193]),
        ("Medium", "signature_ppo_dense", 0.0, []),
        ("Medium", "reward_ppo_phase3", 1.0, [5.560]),
        ("Medium", "curriculum_sig_then_reward", 1.0, []),
        ("Large", MIXED, 0.97, [1.47]),
        ("Large", "of another program", None, []),
    ],
)
def test_what_was_published_of_policies_like_it(tier, variant, mixed_lambda, expected):
    rows = list(published_beside(Training(tier, variant, mixed_lambda)))
    assert [row.preference[0] for row in rows] == expected


def test_no_two_published_policies_are_alike():
    assert len({row[:3] for row in PUBLISHED}) == len(PUBLISHED) == 15
