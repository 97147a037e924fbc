"""The work counted from shapes is the work XLA counts in the program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from work import forward_flops, gradient_flops, layers, update_work

from pathb_jax.config import TIERS, NetworkSize, RunConfig, TaskConfig, TrainConfig
from pathb_jax.learn import networks, update
from pathb_jax.learn.hparams import traced

MINIBATCH = 256
OBS_DIM = 6


def test_a_network_counted_by_hand():
    network = layers(NetworkSize(depth=2, width=10), 3, 2)
    assert network == [(3, 10), (10, 10), (10, 2)]
    assert forward_flops(network, 5) == 2 * 5 * (30 + 100 + 20)
    assert gradient_flops(network, 5) == 2 * 5 * (2 * 150 + 120)


@pytest.mark.parametrize("tier", TIERS)
def test_parameters_are_those_of_the_networks(tier):
    params = jax.eval_shape(
        lambda: networks.init_params(jax.random.key(0), TIERS[tier], OBS_DIM, 0.0)
    )
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert update_work(TrainConfig(tier=tier)).parameters == count


# Besides products XLA counts what is done element by element: a share that falls with the width.
@pytest.mark.parametrize(("tier", "tolerance"), [("Small", 0.06), ("Medium", 0.02)])
def test_a_gradient_step_is_what_xla_counts(tier, tolerance):
    size = TIERS[tier]
    hparams = traced(RunConfig(TaskConfig("reward_ppo_dense")))
    params = networks.init_params(jax.random.key(0), size, OBS_DIM, -0.5)
    column = jnp.zeros(MINIBATCH)
    batch = update.Batch(
        obs=jnp.zeros((MINIBATCH, OBS_DIM)),
        raw_action=jnp.zeros((MINIBATCH, networks.ACTION_DIM)),
        log_prob=column,
        advantage=column,
        returns=column,
    )

    def step(params, opt_state, batch):
        return update.minibatch_step(params, opt_state, size, batch, hparams)

    opt_state = update.optimizer(hparams).init(params)
    counted = jax.jit(step).lower(params, opt_state, batch).cost_analysis()["flops"]
    work = update_work(TrainConfig(tier=tier))
    ours = work.learning_flops / work.gradient_steps
    assert ours <= counted <= ours * (1 + tolerance)
