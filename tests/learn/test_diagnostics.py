"""The figures that are logged of an update: what they say, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from learn_setup import TINY_TIERS, learned_from, on_stub, traced_hparams
from quick import quick_jit
from scipy import stats
from stubs import UNBOUND, Walk

from pathb_jax.learn import networks, update
from pathb_jax.learn.training import explained_variance

SIZE = TINY_TIERS["1x3"]
CLIP = 0.2
HPARAMS = traced_hparams(clip_range=CLIP)
loss = quick_jit(update.loss, static_argnums=1)


def with_ratios(ratios):
    """Metrics of a batch whose probability ratios are these."""
    ratios = np.asarray(ratios, np.float64)
    raw, log_std = np.full((len(ratios), 2), 0.1), np.array([-0.5, -0.3])
    actor, critic = (
        {
            "Dense_0": {"kernel": np.zeros((3, 3)), "bias": np.zeros(3)},
            "Dense_1": {"kernel": np.zeros((3, outputs)), "bias": np.zeros(outputs)},
        }
        for outputs in (2, 1)
    )
    log_prob = reference.log_prob(raw, 0.0, log_std) - np.log(ratios)
    zeros = np.zeros(len(ratios))
    batch = update.Batch(np.zeros((len(ratios), 3)), raw, log_prob, zeros, zeros)
    params = {"actor": actor, "critic": critic, "log_std": log_std}
    return jax.device_get(loss(params, SIZE, batch, HPARAMS)[1])


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, (9,), elements=st.floats(-3.0, 3.0)))
def test_approx_kl_and_clip_frac_are_as_defined(log_ratios):
    with jax.enable_x64(True):
        ratios = np.exp(log_ratios)
        metrics = with_ratios(ratios)
    assert metrics.approx_kl > -1e-14
    np.testing.assert_allclose(metrics.approx_kl, np.mean(ratios - 1 - log_ratios), atol=1e-10)
    near = np.abs(np.abs(ratios - 1) - CLIP) < 1e-9
    fraction = np.abs(ratios - 1) > CLIP
    assert fraction[~near].mean() * (~near).mean() <= metrics.clip_frac + 1e-12
    assert metrics.clip_frac <= (fraction | near).mean() + 1e-12


def test_clip_frac_by_hand(x64):
    assert with_ratios([0.7, 0.81, 1.0, 1.19, 1.3]).clip_frac == pytest.approx(0.4, abs=1e-15)


def test_equal_policies_have_no_divergence(x64):
    metrics = with_ratios(np.ones(5))
    assert (float(metrics.approx_kl), float(metrics.clip_frac)) == (0.0, 0.0)


def test_approx_kl_estimates_the_divergence(x64):
    """Over many samples of the old policy it is KL(old, new), here of two unit Gaussians."""
    rng = np.random.default_rng(0)
    shift = 0.3
    raw = rng.normal(size=200_000)
    ratios = np.exp(stats.norm.logpdf(raw, shift) - stats.norm.logpdf(raw))
    estimates = ratios - 1 - np.log(ratios)
    error = estimates.std() / np.sqrt(estimates.size)
    assert abs(with_ratios(ratios).approx_kl - shift**2 / 2) < 5 * error


RETURNS = np.array([[1.0, 2.0, -3.0], [0.5, 4.0, 2.5]])


@pytest.mark.parametrize(
    ("values", "returns", "expected"),
    [
        (RETURNS, RETURNS, 1.0),
        (RETURNS + 7.0, RETURNS, 1.0),  # a constant error is not counted
        (np.zeros_like(RETURNS), RETURNS, 0.0),
        (-RETURNS, RETURNS, -3.0),
        (RETURNS / 2, RETURNS, 0.75),
        (RETURNS, np.full_like(RETURNS, 5.0), 0.0),  # constant returns
        (np.zeros_like(RETURNS), np.full_like(RETURNS, 5.0), 0.0),
    ],
)
def test_explained_variance(values, returns, expected):
    got = explained_variance(jnp.asarray(values), jnp.asarray(returns))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(("variance", "expected"), [(0.99e-8, 0.0), (1.01e-8, 1.0)])
def test_returns_of_next_to_no_variance_count_as_constant(x64, variance, expected):
    returns = np.sqrt(variance) * np.array([[-1.0, 1.0]])
    np.testing.assert_allclose(explained_variance(returns, returns), expected, atol=1e-12)


def test_the_first_gradient_step_sees_the_policy_that_acted():
    """Ratio 1 everywhere: the policy loss is minus the mean of the normalised advantages."""
    setup = on_stub(Walk(), UNBOUND)
    state = setup.init(seed=2)
    learned = learned_from(setup, state)
    slices = update.minibatches(learned.batch, learned.key, setup.config.minibatch_size)
    first = jax.tree.map(lambda x: x[0], slices)
    size = TINY_TIERS[setup.config.tier]
    metrics = loss(state.params, size, first, setup.hparams)[1]
    expected = -np.mean(first.advantage)
    assert abs(expected) > 0.01
    np.testing.assert_allclose(metrics.policy_loss, expected, atol=1e-6)
    np.testing.assert_allclose(metrics.approx_kl, 0.0, atol=1e-7)
    assert metrics.clip_frac == 0


def test_one_epoch_of_no_learning_leaves_every_ratio_at_one():
    """With a learning rate of nothing, an update's row is that of its rollout."""
    setup = on_stub(Walk(), UNBOUND, lr=1e-30)
    state = setup.init(seed=2)
    _, row = setup.update(state)
    batch = learned_from(setup, state).batch
    np.testing.assert_allclose(row["policy_loss"], -np.mean(batch.advantage), atol=1e-6)
    assert row["clip_frac"] == 0
    assert abs(row["approx_kl"]) < 1e-7
    values = np.asarray(networks.critic_value(state.params, TINY_TIERS["2x8"], batch.obs))
    np.testing.assert_allclose(
        row["value_loss"], np.mean(0.5 * (values - batch.returns) ** 2), rtol=1e-5
    )
    explained = 1 - np.var(batch.returns - values) / np.var(batch.returns)
    np.testing.assert_allclose(row["explained_variance"], explained, rtol=1e-4)
    np.testing.assert_allclose(
        row["entropy"], stats.norm.entropy(scale=np.exp(-0.5)) * 2, rtol=1e-6
    )
    np.testing.assert_allclose(row["log_std"], -0.5, rtol=1e-6)
    ends = np.asarray([step % Walk().length == 0 for step in range(1, 17)]).mean()
    np.testing.assert_allclose(row["episode_done_rate"], ends, rtol=1e-6)


def test_log_std_is_that_after_the_update():
    setup = on_stub(Walk(), UNBOUND, lr=1e-2)
    state = setup.init(seed=2)
    after, row = setup.update(state)
    np.testing.assert_allclose(row["log_std"], np.mean(after.params["log_std"]), rtol=1e-6)
    assert abs(row["log_std"] + 0.5) > 1e-3
