"""One compiled program serves every chunk, candidate and variant of the same shapes."""

import contextlib
import re

import chex
import jax
import numpy as np
import pytest
from jax import monitoring
from small_runs import Watcher, small_config

from pathb_jax.evaluation.evaluator import evaluate_policy
from pathb_jax.learn import training
from pathb_jax.learn.hparams import options, traced
from pathb_jax.learn.program import lower, program
from pathb_jax.learn.task import task_params
from pathb_jax.runs.trainer import train

CANDIDATES = [
    {"lr": 1e-4},
    {"value_coef": 0.25, "mixed_lambda": 0.97, "gamma": 1.0, "clip_range": 0.1},
    {"variant": "reward_ppo_phase3", "entropy_coef": 0.0, "max_grad_norm": 5.0},
    {"variant": "signature_ppo_threshold", "signature_threshold": 0.25, "gae_lambda": 1.0},
    {"reward_compose_form": "delta", "reward_channel_scale": 2.0, "false_basin_beta": 1.0},
]
CHUNKS = (1, 3, 2, 1, 7)


@contextlib.contextmanager
def compilations():
    """Collect the name of everything that is compiled meanwhile."""
    names: list[str] = []

    def listen(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details.get("fun_name", "?"))

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        monitoring.unregister_event_duration_listener(listen)


def test_the_listener_hears_a_compilation():
    with compilations() as names:
        jax.jit(lambda x: x + 1)(np.float32(1))
    assert len(names) == 1


def test_many_chunks_of_many_candidates_are_one_trace(tmp_path):
    chex.clear_trace_counter()
    chunk = jax.jit(
        chex.assert_max_traces(training.train_chunk, n=1),
        static_argnums=(0, 1),
        donate_argnums=2,
    )
    entropies = set()
    for flags in CANDIDATES:
        config = small_config(tmp_path, **flags)
        compiled = program(config)
        env_params, hparams = task_params(config, compiled.env), traced(config)
        state = compiled.init(config, env_params)
        for updates in CHUNKS:
            span = training.Span(np.int32(0), np.int32(sum(CHUNKS)))
            state, done = chunk(
                config.train, compiled.env, state, hparams, env_params, span, np.int32(updates)
            )
            assert done.updates == updates
        assert state.update == sum(CHUNKS)
        entropies.add(float(done.metrics["entropy"][CHUNKS[-1] - 1]))
    assert len(entropies) == len(CANDIDATES)  # they were different candidates


def test_a_state_has_no_weak_types(finished):
    """A weak type in the first state would make the second chunk another program."""
    config = finished.config
    compiled = program(config)
    env_params = task_params(config, compiled.env)
    state = compiled.init(config, env_params)
    after, _ = compiled.train(state, traced(config), env_params, 1)
    again = compiled.init(config, env_params)
    for tree in (after, again, env_params, traced(config)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            assert not leaf.aval.weak_type, jax.tree_util.keystr(path)
    shapes = [
        jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)
        for tree in (again, after, compiled.continue_from(config, env_params, after))
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("flags", CANDIDATES)
def test_another_candidates_run_compiles_nothing(finished, tmp_path, one_update_per_chunk, flags):
    config = small_config(tmp_path / "run", run_label="other", seed=3, **flags)
    with compilations() as names:
        outcome = train(config, Watcher())
    assert outcome.trained
    assert names == []


def test_evaluating_other_sets_compiles_nothing(finished):
    config = finished.config
    compiled = program(config)
    env_params = task_params(config, compiled.env)
    state = compiled.init(config, env_params)

    def evaluate(*starts):
        return evaluate_policy(
            config.train, compiled.env, env_params, state.params, state.normalizer, starts, 4
        )

    evaluate(10000)
    with compilations() as names:
        evaluate(20000, 30000)
        evaluate(*range(0, 1000, 100))
    assert names == []


def test_a_chunk_has_a_largest_length(finished):
    compiled = program(finished.config)
    for updates in (0, -1, training.CHUNK_CAPACITY + 1):
        with pytest.raises(ValueError, match=f"updates: {updates}; give 1"):
            compiled.train(None, None, None, updates)


@pytest.mark.parametrize(
    ("precision", "xla"), [("float32", "HIGHEST"), ("tf32", "HIGH"), ("bfloat16", "DEFAULT")]
)
def test_matmul_precision_is_that_of_every_product(precision, xla, tmp_path):
    config = small_config(tmp_path, matmul_precision=precision)
    text = lower(config.train, options(config)).as_text()
    found = re.findall(r"dot_general.*precision = \[(\w+), (\w+)\]", text)
    assert len(found) == text.count("stablehlo.dot_general")
    assert set(found) == {(xla, xla)}
