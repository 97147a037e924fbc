"""The arena as a picture: host code, outside every compiled program."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pathb_jax.envs.interventions import edited_point
from pathb_jax.envs.world import EditChannel, EnvParams, EnvState

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PIXELS = 480
"""Height and width of a picture of one state."""

BASIN, GOAL = "#b03a2e", "#f1c40f"


class Arena(NamedTuple):
    """What of the parameters is drawn, as plain numbers."""

    half_width: float
    signature_sigma: float
    success_radius: float
    basin_sigma: float


def arena_of(params: EnvParams) -> Arena:
    """Return what is drawn of parameters whose numbers are known."""
    return Arena(*(float(getattr(params, name)) for name in Arena._fields))


def basin_at(params: EnvParams, times: Any) -> np.ndarray:
    """Return x_false at time indices `[...]`, after the edits in effect by then: `[..., 2]`."""
    center = jnp.asarray(params.basin_center, float)

    def at(time: jax.Array) -> jax.Array:
        channel = EditChannel.BASIN_POSITION
        return edited_point(params.edits, channel, time, center, params.half_width)

    return np.asarray(jnp.vectorize(at, signature="()->(k)")(jnp.asarray(times)))


class ArenaView:
    """The arena in a panel: signature field, goal, false basin; where they are may change."""

    def __init__(self, axes: "Axes", arena: Arena) -> None:
        from matplotlib.patches import Circle

        wall = arena.half_width
        axis = np.linspace(-wall, wall, 121)
        self._points = np.stack(np.meshgrid(axis, axis), axis=-1)
        self._sigma = arena.signature_sigma
        self._field = axes.imshow(
            np.zeros((2, 2)),
            extent=(-wall, wall, -wall, wall),
            origin="lower",
            cmap="Blues",
            vmin=0,
            vmax=1.6,  # keeps the darkest blue light enough for lines
        )
        self._basin = Circle((0, 0), arena.basin_sigma, fill=False, ls=":", ec=BASIN)
        self._goal = Circle((0, 0), arena.success_radius, fill=False, ec="black")
        axes.add_patch(self._basin)
        axes.add_patch(self._goal)
        (self._cross,) = axes.plot([], [], **MARKS["false basin"])
        (self._star,) = axes.plot([], [], zorder=2.5, **MARKS["goal"])
        axes.set_aspect("equal")

    def show(self, goal: np.ndarray, basin: np.ndarray) -> None:
        """Put the goal `[2]` with its field, and the false basin `[2]`, in their places."""
        squared = np.sum(np.square(self._points - goal), axis=-1)
        self._field.set_data(np.exp(-squared / (2 * self._sigma**2)))
        self._goal.set(center=tuple(goal))
        self._basin.set(center=tuple(basin))
        self._star.set_data(goal[:1], goal[1:])
        self._cross.set_data(basin[:1], basin[1:])


MARKS: dict[str, dict[str, Any]] = {
    "start": {"marker": "s", "mfc": "white", "mec": "black", "ms": 5, "ls": "none"},
    "goal": {"marker": "*", "mfc": GOAL, "mec": "black", "ms": 9, "ls": "none"},
    "false basin": {"marker": "x", "color": BASIN, "ms": 6, "ls": "none"},
}
"""How places are marked."""


def legend_marks() -> "list[Artist]":
    """Return a legend's entries for the places."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=name, **mark) for name, mark in MARKS.items()]


def draw_state(state: EnvState, params: EnvParams) -> np.ndarray:
    """Return a picture of a state, `[PIXELS, PIXELS, 3]` uint8; see `MesaShadowField.render`.

    Raises:
        ValueError: more axes than one of time.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    positions, times, start, goal = (
        np.asarray(leaf) for leaf in (state.position, state.time, state.start, state.goal)
    )
    if positions.ndim > 2 or not times.size:
        allowed = "give the state of one episode, [2], or its states over time, [T, 2]"
        raise ValueError(f"the positions are {list(positions.shape)}: {allowed}")
    positions, times = positions.reshape(-1, 2), times.reshape(-1)
    began = np.flatnonzero(np.diff(times, prepend=times[0]) < 0)
    path = positions[began[-1] if len(began) else 0 :]
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(PIXELS / 100, PIXELS / 100), dpi=100, layout="constrained")
        axes = figure.subplots()
        view = ArenaView(axes, arena_of(params))
        view.show(goal.reshape(-1, 2)[-1], basin_at(params, times[-1]))
        axes.plot(*path.T, color="#1b1b1b", lw=1.2)
        axes.plot(*start.reshape(-1, 2)[-1], **MARKS["start"] | {"ms": 8})
        axes.plot(*positions[-1], "o", color="#1b1b1b", ms=5)
        axes.set_title(f"step {times[-1]} of {int(params.max_steps_in_episode)}", fontsize=10)
        axes.tick_params(labelsize=7)
        figure.legend(
            handles=legend_marks(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
        )
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
