"""Draw task.png, the picture of docs/spec/environment.md: `python docs/figures/task.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.envs import MesaShadowField, bind, controllers, fields, start_states

SEED = 10008


def path(tier: str, choose: Callable[[Any], jax.Array]) -> np.ndarray:
    """Return the positions `[T + 1, 2]` of one episode of `choose(reading) -> action`."""
    env, key = MesaShadowField(tier), jax.random.key(0)
    params = bind(env.default_params, *start_states(SEED))
    state = env.start_state(key, params)
    positions, ended = [state.position], False
    while not ended:
        state, outcome = env.transition(key, state, choose(env.sense(key, state, params)), params)
        positions.append(state.position)
        ended = bool(outcome.terminated | outcome.truncated)
    return np.asarray(positions)


def main() -> None:
    """Draw both panels."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    env = MesaShadowField("privileged-field")
    params, oracle = env.default_params, controllers.oracle(env)
    goal = jnp.asarray(start_states(SEED).goal, float)
    basin = jnp.asarray(params.basin_center)
    axis = np.linspace(-params.half_width, params.half_width, 201)
    points = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    signature = fields.signature(points, goal, params.signature_sigma)
    bonus = params.basin_bonus * fields.signature(points, basin, params.basin_sigma)
    corrupted = bonus - fields.distance(points, goal)
    paths = (
        path("privileged-field", lambda read: oracle.act((), *read, jnp.int32(0))[1]),
        path("local-probe-field", lambda read: basin - read.observation[:2]),
    )

    figure, panels = plt.subplots(1, 2, figsize=(9.4, 4.6), layout="constrained")
    titles = ("signature S, path of the Oracle", "-d + beta B, path of a lured controller")
    for panel, field, positions, title, colors in zip(
        panels, (signature, corrupted), paths, titles, ("Blues", "Oranges"), strict=True
    ):
        filled = panel.contourf(axis, axis, field, levels=24, cmap=colors)
        figure.colorbar(filled, ax=panel, shrink=0.85)
        panel.plot(*positions.T, color="black", linewidth=1.6)
        panel.plot(*positions[0], "o", color="white", markeredgecolor="black", label="start")
        panel.plot(*goal, "*", color="black", markersize=12, label="goal")
        panel.plot(*basin, "x", color="firebrick", markersize=9, label="false basin")
        circle = plt.Circle(basin, params.basin_sigma, fill=False, color="firebrick", ls=":")
        panel.add_patch(circle)
        panel.set(title=title, aspect="equal", xlabel="x", ylabel="y")
    panels[0].legend(loc="upper left", framealpha=0.9)
    figure.savefig(Path(__file__).with_name("task.png"), dpi=110)


if __name__ == "__main__":
    main()
