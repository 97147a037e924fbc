"""What a run may be: tables, defaults, and every value that is refused."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from small_runs import build

from pathb_jax.config import TIERS, VARIANTS, TrainConfig
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.learn import networks
from pathb_jax.learn.task import make_env

TABLE = """
signature_ppo_dense                  L-Signature   signature     0    integrated
signature_ppo_terminal               L-Signature   signature     0    terminal
signature_ppo_threshold              L-Signature   signature     0    threshold
reward_ppo_dense                     L-Reward      dense         1    -
reward_ppo_phase3                    L-Reward      phase3        1    -
mixed_ppo_lambda_0_5                 L-Mixed       mixed         0.5  integrated
mixed_ppo_phase3_lambda_0_1          L-Mixed       mixed_phase3  0.1  integrated
mixed_ppo_phase3_lambda_0_3          L-Mixed       mixed_phase3  0.3  integrated
mixed_ppo_phase3_lambda_0_5          L-Mixed       mixed_phase3  0.5  integrated
mixed_ppo_phase3_lambda_0_7          L-Mixed       mixed_phase3  0.7  integrated
mixed_ppo_phase3_lambda_0_8          L-Mixed       mixed_phase3  0.8  integrated
mixed_ppo_phase3_lambda_0_9          L-Mixed       mixed_phase3  0.9  integrated
curriculum_sig_then_reward           L-Curriculum  phase3        1    integrated
curriculum_reward_then_sig           L-Curriculum  signature     0    integrated
curriculum_reward_then_terminal_sig  L-Curriculum  signature     0    terminal
"""
"""docs/spec/trainer.md, "Variants"."""

MIXED, REWARD = "mixed_ppo_phase3_lambda_0_9", "reward_ppo_phase3"
NAN, INF = math.nan, math.inf


def test_the_variants_are_the_trainer_pages():
    expected = [line.split() for line in TABLE.split("\n") if line]
    found = [
        [name, v.family, v.mode, f"{v.mixed_lambda:g}", v.signature_shape or "-"]
        for name, v in VARIANTS.items()
    ]
    assert found == expected
    curricula = {name for name, variant in VARIANTS.items() if variant.curriculum}
    assert curricula == {name for name in VARIANTS if name.startswith("curriculum_")}


@pytest.mark.parametrize(
    ("tier", "depth", "width", "parameters"),
    [("Small", 2, 64, 9_413), ("Medium", 4, 256, 399_109), ("Large", 5, 1024, 8_414_213)],
)
def test_the_tiers_have_the_pinned_sizes(tier, depth, width, parameters):
    assert TIERS[tier] == (depth, width)
    obs_dim = make_env(TrainConfig(tier=tier)).obs_dim
    shapes = jax.eval_shape(
        lambda: networks.init_params(jax.random.key(0), TIERS[tier], obs_dim, jnp.float32(-0.5))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters
    assert shapes["log_std"].shape == (2,)


def test_the_defaults_are_the_trainer_pages():
    config = validated(build(variant=REWARD))
    train, hparams, schedule = config.train, config.hparams, config.schedule
    assert (train.batch_envs, train.rollout_length, train.batch_size) == (64, 128, 8192)
    assert (train.epochs, train.minibatch_size) == (4, 256)
    numbers = (3e-4, 0.99, 0.95, 0.2, 0.01, 0.5, 0.5)
    assert tuple(dataclasses.asdict(hparams).values())[:7] == numbers
    assert (schedule.seed_start, schedule.log_std_init, schedule.seed) == (20000, -0.5, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_fills_in_what_was_not_said(variant):
    config = validated(build(variant=variant, load_checkpoint=Path("somewhere")))
    assert config.hparams.mixed_lambda == VARIANTS[variant].mixed_lambda
    assert config.task.signature_shape == VARIANTS[variant].signature_shape
    assert config.output.out == Path("results/mesa") / variant


@pytest.mark.parametrize("variant", VARIANTS)
def test_validating_again_changes_nothing(variant):
    options = {"lr_schedule": "linear:1e-5", "entropy_schedule": "linear:-0.5", "critic_lr": 1e-3}
    config = validated(build(variant=variant, load_checkpoint=Path("somewhere"), **options))
    assert validated(config) == config


def test_a_schedule_says_its_end():
    schedule = build(variant=MIXED, lr_schedule="linear:1e-5").schedule
    assert (schedule.lr_end, schedule.entropy_coef_end) == (1e-5, None)


def test_what_was_said_stays():
    config = validated(
        build(variant=MIXED, mixed_lambda=0.97, signature_shape="threshold", out=Path("here"))
    )
    assert config.hparams.mixed_lambda == 0.97
    assert config.task.signature_shape == "threshold"
    assert config.output.out == Path("here")


def test_a_tenth_of_the_run_lies_between_evaluations():
    cadence = {
        updates: build(variant=REWARD, updates=updates).eval_every for updates in (1, 9, 80, 1221)
    }
    assert cadence == {1: 1, 9: 1, 80: 8, 1221: 122}
    assert build(variant=REWARD, updates=80, eval_every=3).eval_every == 3


def test_a_configuration_is_plain_json():
    config = validated(build(variant=MIXED, out=Path("a/b"), eval_seed_start=(1, 1000)))
    plain = config.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["output"]["out"] == str(Path("a/b").absolute())
    assert plain["evaluation"]["eval_seed_start"] == [1, 1000]


BAD = [
    ("--variant", {"variant": "reward_ppo"}, "signature_ppo_dense"),
    ("--tier", {"tier": "large"}, "Small, Medium, Large"),
    ("--sensor-tier", {"sensor_tier": "perfect"}, "local-probe-field"),
    ("--reward-compose-form", {"reward_compose_form": "sum"}, "canonical, delta"),
    ("--signature-shape", {"signature_shape": "dense"}, "terminal, integrated, threshold"),
    ("--signature-shape", {"variant": REWARD, "signature_shape": "terminal"}, REWARD),
    ("--backend", {"backend": "metal"}, "auto, cpu, gpu, tpu"),
    ("--run-label", {"run_label": "a/b"}, "letters, digits"),
    ("--run-label", {"run_label": "../b"}, "letters, digits"),
    ("--run-label", {"run_label": ".hidden"}, "not starting with '.'"),
    *(("--mixed-lambda", {"mixed_lambda": x}, "0 < lambda < 1") for x in (0.0, 1.0, -0.1, NAN)),
    ("--mixed-lambda", {"variant": REWARD, "mixed_lambda": 0.9}, "mixes nothing"),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, "> 0")
        for flag in ("lr", "clip_range", "max_grad_norm")
        for x in (0.0, -1e-4, NAN, INF)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, ">= 0")
        for flag in ("entropy_coef", "value_coef")
        for x in (-0.01, NAN, INF)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, "0 <= number <= 1")
        for flag in ("gamma", "gae_lambda", "success_floor", "signature_threshold")
        for x in (-0.1, 1.1, NAN)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, "finite")
        for flag in ("false_basin_beta", "reward_channel_scale", "log_std_init")
        for x in (NAN, -INF)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, ">= 1")
        for flag in ("batch_envs", "rollout_length", "minibatch_size", "epochs", "eval_seeds")
        for x in (0, -1)
    ),
    # What float32 makes 0, infinite or (lambda) 1 of.
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, "1.2e-38")
        for flag in ("lr", "clip_range", "max_grad_norm", "critic_lr", "value_clip")
        for x in (1e-50, 1e-39, 1e39)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: x}, "1.2e-38")
        for flag in ("entropy_coef", "value_coef", "false_basin_beta", "reward_channel_scale")
        for x in (1e-50, 1e39)
    ),
    *(
        (f"--{flag.replace('_', '-')}", {flag: 1e-50}, "1.2e-38")
        for flag in ("gamma", "gae_lambda", "signature_threshold", "log_std_init")
    ),
    *(("--mixed-lambda", {"mixed_lambda": x}, "float32") for x in (1e-50, 1 - 1e-9)),
    *(
        (f"--{flag.replace('_', '-')}", {flag: f"linear:{x}"}, "1.2e-38")
        for flag in ("lr_schedule", "entropy_schedule")
        for x in ("1e-50", "1e39")
    ),
    ("--epochs", {"epochs": 2**31}, "2^31"),
    ("--batch-envs", {"batch_envs": 2**33}, "no more seeds"),
    ("--eval-seeds", {"eval_seeds": 2**33}, "no more seeds"),
    ("--eval-every", {"eval_every": 0}, ">= 1"),
    ("--eval-at", {"eval_at": (0,)}, "1 to 80"),
    ("--eval-at", {"eval_at": (3, 81)}, "1 to 80"),
    ("--eval-at", {"eval_at": (3, 3)}, "each once"),
    ("--updates", {"updates": -1}, ">= 0"),
    ("--updates", {"updates": 0}, "--load-checkpoint"),
    ("--minibatch-size", {"minibatch_size": 300}, "8192"),
    ("--minibatch-size", {"minibatch_size": 16384}, "8192"),
    ("--seed", {"seed": -1}, "0 <= seed <= 4294967295"),
    ("--seed", {"seed": 2**32}, "0 <= seed <= 4294967295"),
    ("--seed-start", {"seed_start": 2**32 - 63}, "0 <= seed <= 4294967232"),
    ("--eval-seed-start", {"eval_seed_start": (5, 2**32 - 63)}, "0 <= seed <= 4294967232"),
    ("--eval-seed-start", {"eval_seed_start": ()}, "at least one"),
    ("--eval-seed-start", {"eval_seed_start": (5, 5)}, "each once"),
    ("--load-checkpoint", {"variant": "curriculum_sig_then_reward"}, "give its path"),
    ("--eval-only", {"eval_only": True}, "--load-checkpoint"),
    ("--reset-optimizer", {"reset_optimizer": True}, "--load-checkpoint"),
]


@pytest.mark.parametrize(("flag", "flags", "allowed"), BAD)
def test_a_bad_value_is_refused_in_one_line(flag, flags, allowed):
    with pytest.raises(InputError) as caught:
        validated(build(**{"variant": MIXED, **flags}))
    message = str(caught.value)
    assert message.startswith(f"{flag}: ")
    assert "\n" not in message
    assert allowed in message
    (_, value), *_ = [item for item in flags.items() if item[0] != "variant"] or flags.items()
    if flag not in ("--load-checkpoint", "--eval-seed-start", "--eval-at"):
        assert repr(value) in message


def test_zero_and_the_ends_of_float32_are_fine():
    validated(build(variant=MIXED, lr=2.0**-126, max_grad_norm=3.4e38, log_std_init=-3e38))
    validated(build(variant=MIXED, entropy_coef=0.0, gamma=0.0, false_basin_beta=-0.0))
    validated(build(variant=MIXED, lr_schedule="linear:0", mixed_lambda=1 - 2.0**-24))


def test_the_largest_seeds_are_fine():
    validated(build(variant=MIXED, seed=2**32 - 1, seed_start=2**32 - 64))
    validated(build(variant=MIXED, eval_seed_start=(2**32 - 64,)))


def test_the_package_names_every_flag_once():
    """The command line leaves the group out, so no two groups may share a name."""
    groups = build(variant=MIXED).to_dict().values()
    names = [name for group in groups for name in group]
    assert len(names) == len(set(names))
    assert {"lr", "value_clip", "variant"} <= set(names)
