"""One gradient step and one epoch in float64, against NumPy and central differences."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from learn_setup import TINY_TIERS, on_stub, traced_hparams
from quick import quick_jit
from stubs import UNBOUND, Walk

from pathb_jax.config import Hparams
from pathb_jax.learn import networks, update

OBS_DIM, COUNT, MINIBATCH = 4, 48, 12
SIZE = TINY_TIERS["1x3"]
TOLERANCE = 1e-8
"""On parameters. The issue asks for 1e-6; a step here is about 1e-2."""
step = quick_jit(update.minibatch_step, static_argnums=2)

CASES = {
    "gradient-scaled": Hparams(lr=1e-2, max_grad_norm=0.05),
    "gradient-kept": Hparams(lr=1e-2, max_grad_norm=1e3, entropy_coef=0.3, value_coef=2.0),
    "critic-lr": Hparams(lr=1e-2, critic_lr=3e-3),
    "value-clip": Hparams(lr=1e-2, value_clip=0.1, clip_range=0.1),
}


class Problem(NamedTuple):
    params: networks.Params
    batch: update.Batch
    samples: reference.Samples


def problem(count=COUNT, seed=0):
    """Samples of a policy that differs from the one being learned, so that both clips act."""
    rng = np.random.default_rng(seed)
    params = networks.init_params(jax.random.key(seed), SIZE, OBS_DIM, -0.5)
    params = {**params, "log_std": jnp.asarray([-0.7, -0.3])}
    numpy = reference.as_numpy(jax.device_get(params))
    obs = rng.normal(size=(count, OBS_DIM))
    mean = reference.actor_mean(numpy, obs)
    raw = mean + np.exp(numpy["log_std"]) * rng.normal(size=mean.shape)
    value = reference.critic_value(numpy, obs)
    samples = reference.Samples(
        obs=obs,
        raw_action=raw,
        log_prob=reference.log_prob(raw, mean, numpy["log_std"]) + 0.2 * rng.normal(size=count),
        advantage=rng.normal(size=count),
        returns=value + rng.normal(size=count),
        value=value + 0.2 * rng.normal(size=count),
    )
    return Problem(params, update.Batch(*(jnp.asarray(x) for x in samples)), samples)


def as_vector(params):
    return reference.flatten(reference.as_numpy(jax.device_get(params)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_the_references_gradient_is_that_of_its_loss(x64, name, seed):
    """Derived by hand, for the replay of whole updates, against central differences."""
    params, _, samples = problem(seed=seed)
    numpy = reference.as_numpy(jax.device_get(params))
    derived = reference.derived_gradient(numpy, samples, CASES[name])
    differenced = reference.differenced_gradient(numpy, samples, CASES[name])
    np.testing.assert_allclose(derived, differenced, rtol=0, atol=1e-9)
    assert np.all(np.abs(derived) > 1e-6)  # every parameter matters


@pytest.mark.parametrize("name", CASES)
def test_steps_with_gradients_from_central_differences(x64, name):
    """Three steps on other minibatches, so that Adam's moments and their bias correction count."""
    hparams, traced = CASES[name], traced_hparams(**vars(CASES[name]))
    params, batch, samples = problem()
    learner = reference.Learner(params, reference.differenced_gradient)
    opt_state = update.optimizer(traced).init(params)
    for number in range(3):
        chosen = np.arange(number, COUNT, 3)
        minibatch = jax.tree.map(lambda x, at=chosen: x[at], batch)
        params, opt_state, metrics = step(params, opt_state, SIZE, minibatch, traced)
        figures = learner.step(samples.at(chosen), hparams)
        np.testing.assert_allclose(
            as_vector(params), reference.flatten(learner.params), rtol=0, atol=TOLERANCE
        )
        for figure, value in figures.items():
            assert abs(getattr(metrics, figure) - value) < TOLERANCE, figure
        if name == "gradient-scaled":
            assert figures["grad_norm"] > hparams.max_grad_norm
        if name == "gradient-kept":
            assert figures["grad_norm"] < hparams.max_grad_norm
        assert 0 < figures["clip_frac"] < 1


@pytest.mark.parametrize("name", CASES)
def test_one_epoch_with_gradients_from_central_differences(x64, name):
    hparams, key = CASES[name], jax.random.key(5)
    traced = traced_hparams(**vars(hparams))
    params, batch, samples = problem()
    config = on_stub(
        Walk(), UNBOUND, batch_envs=4, rollout_length=12, minibatch_size=MINIBATCH, epochs=1
    ).config
    learner = reference.Learner(params, reference.differenced_gradient)
    order = np.asarray(update.random_order(key, COUNT)).reshape(-1, MINIBATCH)
    figures = [learner.step(samples.at(chosen), hparams) for chosen in order]
    opt_state = update.optimizer(traced).init(params)
    params, _, metrics = quick_jit(update.run_epochs, static_argnums=(2, 3))(
        params, opt_state, config, SIZE, batch, traced, key
    )
    np.testing.assert_allclose(
        as_vector(params), reference.flatten(learner.params), rtol=0, atol=TOLERANCE
    )
    for figure in update.UpdateMetrics._fields:
        mean = np.mean([f[figure] for f in figures])
        assert abs(getattr(metrics, figure) - mean) < TOLERANCE, figure


def test_adam_by_hand(x64):
    """The first step is lr g / (|g| + eps): the bias corrections cancel, eps does not."""
    params = {"actor": jnp.array([3.0]), "critic": jnp.array([-2.0]), "log_std": jnp.array([0.0])}
    grads = {"actor": jnp.array([1e-8]), "critic": jnp.array([-0.4]), "log_std": jnp.array([0.0])}
    optimizer = update.optimizer(traced_hparams(lr=0.1, max_grad_norm=1.0))
    updates, _ = optimizer.update(grads, optimizer.init(params))
    np.testing.assert_allclose(updates["actor"], [-0.1 * 0.5], rtol=1e-9)
    np.testing.assert_allclose(updates["critic"], [0.1 / (1.0 + 2.5e-8)], rtol=1e-12)
    assert updates["log_std"] == 0


@pytest.mark.parametrize(("limit", "factor"), [(10.0, 1.0), (5.0, 1.0), (2.5, 0.5)])
def test_the_norm_is_that_of_all_parameters_together(x64, limit, factor):
    grads = {"actor": jnp.array([3.0]), "critic": jnp.array([0.0]), "log_std": jnp.array([4.0])}
    optimizer = update.optimizer(traced_hparams(max_grad_norm=limit))
    _, state = optimizer.update(grads, optimizer.init(grads))
    first = next(s.mu for s in jax.tree.leaves(state, is_leaf=_has_moments) if _has_moments(s))
    np.testing.assert_allclose(first["actor"], [0.1 * 3.0 * factor], rtol=1e-12)
    np.testing.assert_allclose(first["log_std"], [0.1 * 4.0 * factor], rtol=1e-12)


def _has_moments(node):
    return hasattr(node, "mu")


def test_advantages_are_normalised_over_the_whole_rollout(x64):
    advantages = np.random.default_rng(0).normal(2.0, 3.0, size=(6, 4))
    got = update.normalize_advantages(jnp.asarray(advantages))
    expected = (advantages - advantages.mean()) / (np.std(advantages, ddof=1) + 1e-8)
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    np.testing.assert_array_equal(update.normalize_advantages(jnp.full((3, 2), 7.0)), 0.0)


def test_the_surrogate_by_hand(x64):
    """A in (+1, -1) x ratio in (0.5, 1, 1.5), clip range 0.2."""
    ratio = jnp.asarray([0.5, 1.0, 1.5, 0.5, 1.0, 1.5])
    advantage = jnp.asarray([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    each = [-0.5, -1.0, -1.2, 0.8, 1.0, 1.5]
    np.testing.assert_allclose(
        update.clipped_surrogate(ratio, advantage, 0.2), np.mean(each), rtol=1e-14
    )
