"""Look into an update, minibatch by minibatch: `python examples/trace_update.py --run RUN`.

RUN is the folder of a run that kept states to begin from (`pathb train --keep-every 30`). By
default it is the update that moved the policy furthest (largest approx_kl), played again from the
newest state kept before it, as a table with a row per minibatch. `--least-norm X` plays the same
minibatches with a gradient that its limit divides by X at least: the trainer limits the joint norm
of actor and critic, so that a small gradient of the critic makes the policy's steps large.

What is compiled here rounds otherwise than what trained: a chaotic update comes out alike, not
equal.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import tyro

from pathb_jax.config import TIERS
from pathb_jax.config_checks import validated
from pathb_jax.errors import InputError
from pathb_jax.learn import training, update
from pathb_jax.learn.hparams import traced
from pathb_jax.learn.program import program
from pathb_jax.learn.task import make_env, task_params
from pathb_jax.runs.loading import load_newest, load_state, saved_config
from pathb_jax.store.step_folders import complete_steps


def main(
    run: Path, at: int | None = None, least_norm: float = 0.0, out: Path | None = None
) -> pd.DataFrame:
    """Play one update again and tell what each of its minibatches does.

    Args:
        run: folder of the run.
        at: the update; by default the one with the largest approx_kl.
        least_norm: what a gradient is divided by at least where its norm is limited.
        out: a CSV file for the table; by default it is printed.

    Returns:
        A row per minibatch, in the order of the steps: figures of the loss, norms of the gradients
        before they are limited, and how far actor and critic move (Euclidean, over parameters).
    """
    config = validated(saved_config(run, "run"))
    if config.train.reshuffle_epochs:
        raise InputError("run", str(run), "a run with one order of the samples for all epochs")
    newest = load_newest(run, None, "run")
    updates, kept = newest.history["update"], complete_steps(newest.path.parent)
    if at is None:
        reached = np.where(updates > kept[0], newest.history["approx_kl"], 0.0)
        at = int(updates[np.argmax(reached)])
    begun = max((step for step in kept if step < at), default=None)
    if begun is None or at > updates[-1]:
        raise InputError("at", at, f"states are kept from update {kept[0]} on (--keep-every)")
    state = load_state(run, begun, None, "run").state

    env = make_env(config.train)
    world, hparams = task_params(config, env), traced(config)
    span = (0, config.schedule.updates)
    if begun + 1 < at:
        state, _ = program(config).train(state, hparams, world, at - 1 - begun, span)

    size, epochs = TIERS[config.train.tier], config.train.epochs

    def play(state: training.TrainState) -> dict[str, jax.Array]:
        numbers = training.scheduled(hparams, state.update, training.Span(*span))
        optimizer = update.optimizer(numbers._replace(max_grad_norm=jnp.inf))

        def step(carry: Any, minibatch: update.Batch) -> tuple[Any, dict[str, jax.Array]]:
            old, opt_state = carry
            gradient, figures = jax.grad(update.loss, has_aux=True)(old, size, minibatch, numbers)
            norm = optax.tree.norm(gradient)
            scale = jnp.minimum(1.0, numbers.max_grad_norm / jnp.maximum(norm, least_norm))
            change, opt_state = optimizer.update(optax.tree.scale(scale, gradient), opt_state)
            told = {
                **figures._asdict(),
                "grad_norm": norm,
                "actor_grad_norm": optax.tree.norm((gradient["actor"], gradient["log_std"])),
                "critic_grad_norm": optax.tree.norm(gradient["critic"]),
                "actor_step": optax.tree.norm(change["actor"]),
                "critic_step": optax.tree.norm(change["critic"]),
            }
            return (optax.apply_updates(old, change), opt_state), told

        played = training.collect(config.train, env, state, numbers, world)
        slices = update.minibatches(played.batch, played.shuffle_key, config.train.minibatch_size)
        first = (state.params, state.opt_state)
        _, told = jax.lax.scan(lambda c, _: jax.lax.scan(step, c, slices), first, None, epochs)
        return jax.tree.map(jnp.ravel, told)

    table = pd.DataFrame(jax.device_get(jax.jit(play)(state)))
    table.insert(0, "minibatch", range(1, len(table) + 1))
    if out is None:
        print(table.to_string(index=False))
    else:
        table.to_csv(out, index=False)
    print(f"update {at}: approx_kl {table['approx_kl'].mean():.4f} on average")
    return table


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
