"""Training and evaluation can be lowered for every accelerator, without one being there."""

import re

import jax
import numpy as np
import pytest
from jax import export

from pathb_jax.config import TIERS, RunConfig, TaskConfig, TrainConfig
from pathb_jax.config_checks import validated
from pathb_jax.envs.shadow_field import bind
from pathb_jax.envs.start_states import start_states
from pathb_jax.evaluation.evaluator import SET_CAPACITY, _play_sets
from pathb_jax.evaluation.policies import MeanPolicy, policy_data
from pathb_jax.learn.hparams import options
from pathb_jax.learn.program import chunk_arguments, state_shape, train_chunk
from pathb_jax.learn.task import make_env, task_params

PLATFORMS = ("cuda", "rocm", "tpu")
SEEDS = 64


def chunk(tier):
    run = example(tier)
    return train_chunk, chunk_arguments(run.train, options(run))


def evaluator(tier):
    run = example(tier)
    env, state = make_env(run.train), state_shape(run.train)
    data = jax.eval_shape(policy_data, state.params, state.normalizer)
    seeds = np.arange(SET_CAPACITY)[:, None] + np.arange(SEEDS)
    bank = bind(task_params(run, env), *start_states(seeds))
    actor = MeanPolicy(TIERS[tier])
    return _play_sets, (env, actor, data, bank, seeds.astype(np.uint32), np.int32(1))


def example(tier):
    return validated(
        RunConfig(TaskConfig("mixed_ppo_phase3_lambda_0_9"), train=TrainConfig(tier=tier))
    )


def custom_calls(exported):
    """Names of what XLA has to find outside itself."""
    return set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("build", [chunk, evaluator])
def test_a_program_can_be_lowered_for_an_accelerator(build, tier, platform):
    jitted, arguments = build(tier)
    exported = export.export(jitted, platforms=[platform])(*arguments)
    assert exported.platforms == (platform,)
    assert exported.nr_devices == 1
    # Neither a callback to the host nor a kernel that only the CPU has.
    assert custom_calls(exported) == set()
    width = TIERS[tier].width
    assert f"tensor<{width}x{width}xf32>" in exported.mlir_module()


def test_a_callback_to_the_host_cannot_be_lowered_for_an_accelerator():
    def noisy(x):
        jax.debug.print("{}", x)
        return x

    with pytest.raises(ValueError, match="platform"):
        export.export(jax.jit(noisy), platforms=["cuda"])(np.float32(0))


def test_a_platforms_own_kernel_is_seen():
    factorise = jax.jit(jax.numpy.linalg.qr)
    for platform in ("cpu", "cuda"):
        assert custom_calls(export.export(factorise, platforms=[platform])(np.eye(3, dtype="f4")))
