"""Kernels are counted as often as they run, which XLA's own cost analysis does not do."""

import jax
import jax.numpy as jnp
import pytest
from kernels import kernels, launches, total_bytes, total_flops
from work import update_work

from pathb_jax.learn.program import program

WIDTH, OUTER, INNER = 32, 3, 5
PRODUCT = 2 * WIDTH**3


def looping(x):
    def inner(x, _):
        return jnp.tanh(x @ x), None

    def outer(x, _):
        return jax.lax.scan(inner, x, None, length=INNER)[0] @ x, None

    return jax.lax.scan(outer, x, None, length=OUTER)[0]


def compiled(function, *shapes):
    return jax.jit(function).lower(*(jax.ShapeDtypeStruct(s, "float32") for s in shapes)).compile()


def test_a_loops_body_counts_as_often_as_it_runs():
    nested = compiled(looping, (WIDTH, WIDTH))
    # Once each, whatever the loops do: this is why the text is read.
    assert nested.cost_analysis()["flops"] < 3 * PRODUCT
    found = kernels(nested.as_text())
    assert total_flops(found) == OUTER * (INNER + 1) * PRODUCT
    products = sorted(kernel.times for kernel in found if kernel.flops)
    assert products == [OUTER, OUTER * INNER]
    assert launches(found) >= sum(products)


def test_without_loops_it_is_what_xla_counts():
    def layer(x, w, b):
        return jnp.tanh(x @ w + b[None])

    one = compiled(layer, (64, 48), (48, 96), (96,))
    found, xla = kernels(one.as_text()), one.cost_analysis()
    assert total_flops(found) == 2 * 64 * 48 * 96
    assert total_flops(found) <= xla["flops"] <= total_flops(found) + 2 * 64 * 96
    assert total_bytes(found) == pytest.approx(xla["bytes accessed"], rel=0.01)


def test_of_what_is_only_sliced_the_slice_counts():
    rows, columns = 1000, 8

    def table(rows_in, start):
        def fill(table, index):
            row = rows_in[index] + 1.0
            return jax.lax.dynamic_update_index_in_dim(table, row, index, 0), None

        return jax.lax.scan(fill, start, jnp.arange(rows))[0]

    found = kernels(compiled(table, (rows, columns), (rows, columns)).as_text())
    once = [kernel for kernel in found if kernel.times == rows]
    assert once
    assert all(kernel.bytes <= 4 * columns * 4 for kernel in once)


def test_training_computes_what_its_shapes_say(finished):
    found = kernels(program(finished.config).compiled.as_text())
    # A product with one column may have become a sum.
    assert total_flops(found) == pytest.approx(update_work(finished.config.train).flops, rel=0.02)
    shapes = finished.config.train
    steps = shapes.epochs * shapes.batch_size // shapes.minibatch_size
    assert launches(found) > 50 * steps
