"""A film of episodes, as an animated GIF: the pictures of `paths`, step by step."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pathb_jax.envs.drawing import BASIN, GOAL, MARKS, Arena
from pathb_jax.report.paths import ENDED, EpisodePath, Panel, lay_out
from pathb_jax.report.style import drawing
from pathb_jax.store.own_files import SOFTWARE

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES = 67
"""Frames at most, but for the last: of 200 steps each third is shown."""
FRAME_MS, LAST_MS = 100, 3000
"""How long a frame is shown, and the last one, which has all outcomes."""
WIDTH = 748
"""Of a film with four panels side by side, in pixels; smaller ones are drawn finer."""
FINEST = 144
"""Dots per inch."""
GOING = "#6c3483"
"""Colour of a path that has not ended yet."""


class _Moving(NamedTuple):
    """What is drawn anew in every frame."""

    panel: Panel
    path: Any
    point: Any
    title: Any

    def go_to(self, step: int) -> None:
        """Show the episode up to a step, or to its end."""
        episode = self.panel.episode
        ended = step >= episode.steps
        so_far = episode.positions[: step + 1]
        colour = ENDED[episode.success] if ended else GOING
        self.path.set(data=so_far.T, color=colour)
        self.point.set(data=so_far[-1:].T, color=colour)
        self.title.set(text=episode.outcome if ended else f"{episode.name}: step {step}")
        for artist in (self.path, self.point, self.title):
            self.panel.axes.draw_artist(artist)

    def places(self, step: int) -> np.ndarray:
        """Return goal and false basin at a step, `[2, 2]`."""
        episode, at = self.panel.episode, min(step, self.panel.episode.steps)
        return np.stack([episode.goals[at], episode.basins[at]])


def draw_film(episodes: Sequence[EpisodePath], arena: Arena, heading: str) -> bytes:
    """Return a GIF that plays episodes side by side, for ever; arguments as of `draw_paths`.

    A path has the colour of its outcome as soon as it has ended.

    Raises:
        FigureError: it cannot be drawn, whatever goes wrong.
    """
    with drawing():
        from PIL.Image import Dither

        frames = _frames(episodes, arena, heading)
        # One palette for all, so that what rests has equal bytes and is left out of later frames.
        palette = _palette([frames[0], frames[len(frames) // 2], frames[-1]])
        images = [_image(frame).quantize(palette=palette, dither=Dither.NONE) for frame in frames]
        stream = io.BytesIO()
        images[0].save(
            stream,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=[*[FRAME_MS] * (len(images) - 1), LAST_MS],
            loop=0,
            comment=SOFTWARE.encode(),
        )
        return stream.getvalue()


def _frames(episodes: Sequence[EpisodePath], arena: Arena, heading: str) -> list[np.ndarray]:
    """Draw every frame, `[height, width, 3]`; what rests is drawn once, as long as it rests."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, panels = lay_out(episodes, arena, heading)
    figure.set_dpi(min(FINEST, WIDTH / figure.get_figwidth()))
    canvas = FigureCanvasAgg(figure)
    moving = [_moving(panel) for panel in panels]
    canvas.draw()
    figure.set_layout_engine("none")  # as it is laid out now
    longest = max(episode.steps for episode in episodes)
    every = max(1, -(-longest // FRAMES))
    frames: list[np.ndarray] = []
    shown, background = None, None
    for step in [*range(0, longest, every), longest]:
        places = np.stack([item.places(step) for item in moving])
        if shown is None or not np.array_equal(places, shown):
            shown = places
            for item, (goal, basin) in zip(moving, places, strict=True):
                item.panel.view.show(goal, basin)
            canvas.draw()
            background = canvas.copy_from_bbox(figure.bbox)
        canvas.restore_region(background)
        for item in moving:
            item.go_to(step)
        frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return frames


def _moving(panel: Panel) -> _Moving:
    axes, start = panel.axes, panel.episode.positions[0]
    axes.plot(*start, **MARKS["start"])
    (path,) = axes.plot([], [], lw=1.2, animated=True)
    (point,) = axes.plot([], [], "o", ms=4, animated=True)
    title = axes.set_title(panel.episode.outcome, fontsize=8)  # the layout leaves room for it
    title.set_animated(True)
    return _Moving(panel, path, point, title)


def _palette(frames: Sequence[np.ndarray]) -> "Image":
    """Choose 256 colours: those that mean something, and others for what is in some frames."""
    from matplotlib.colors import to_rgb
    from PIL.Image import Quantize

    telling = ["white", "black", *ENDED.values(), GOING, BASIN, GOAL]
    own = [round(255 * part) for colour in telling for part in to_rgb(colour)]
    # Each colour once: how large an area it fills is no matter.
    packed = np.unique([frame @ np.array([1, 2**8, 2**16], np.uint32) for frame in frames])
    colours = packed.astype("<u4").view(np.uint8).reshape(1, -1, 4)[..., :3]
    others = 256 - len(telling)
    palette = _image(np.ascontiguousarray(colours)).quantize(others, method=Quantize.MEDIANCUT)
    palette.putpalette([*(palette.getpalette() or [])[: 3 * others], *own])
    return palette


def _image(pixels: np.ndarray) -> "Image":
    from PIL import Image

    return Image.fromarray(pixels)
