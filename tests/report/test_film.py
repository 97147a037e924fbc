"""A film shows an episode as it goes on, where its world is then, and how it ended."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pathb_jax.envs.drawing import Arena
from pathb_jax.report.film import FRAMES, draw_film
from pathb_jax.report.paths import EpisodePath
from pathb_jax.store.own_files import is_own_picture

ARENA = Arena(5.0, 1.5, 0.2, 1.5)
BASIN = (-2.5, -2.5)


def episode(name, steps, success, start=(-4.0, 4.0), goal=(3.0, 0.0)):
    """One that goes straight."""
    share = np.linspace(0, 1, steps + 1)[:, None]
    path = (1 - share) * start + share * goal
    places = (np.tile(place, (steps + 1, 1)) for place in (goal, BASIN))
    return EpisodePath(name, path, *places, success)


def frames(film):
    return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(film))]


def near(picture, colour):
    """How many pixels are about of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) < 40).sum())


PURPLE, ORANGE = (108, 52, 131), (211, 84, 0)


def test_paths_grow_and_take_the_colour_of_their_end():
    film = draw_film([episode("1", 4, False), episode("2", 9, True)], ARENA, "two")
    assert film == draw_film([episode("1", 4, False), episode("2", 9, True)], ARENA, "two")
    assert is_own_picture(film)
    pictures = frames(io.BytesIO(film))
    assert len(pictures) == 10
    width = pictures[0].shape[1] // 2
    left, right = ([frame[:, half] for frame in pictures] for half in np.s_[:width, width:])
    growing = [near(frame, PURPLE) for frame in right]
    assert all(more > less for less, more in itertools.pairwise(growing[:9]))
    assert growing[9] < growing[0]
    assert near(left[3], PURPLE) > 0
    assert near(left[4], PURPLE) < near(left[0], PURPLE)
    assert near(left[4], ORANGE) > near(left[3], ORANGE) + 50
    assert np.array_equal(left[4], left[9])  # it rests when it has ended


def test_a_goal_that_moves_takes_its_field_along():
    moving = episode("1", 6, False)
    moving.goals[4:] = (-3.0, -4.0)
    pictures = [frame.astype(int) for frame in frames(io.BytesIO(draw_film([moving], ARENA, "")))]
    lower = pictures[0].shape[0] // 2
    left = np.s_[lower : lower + 120, 60:150]
    assert near(pictures[3][left], (107, 174, 214)) == near(pictures[0][left], (107, 174, 214))
    assert near(pictures[4][left], (107, 174, 214)) > near(pictures[3][left], (107, 174, 214)) + 500


@pytest.mark.slow
def test_what_evaluate_draws_by_default_is_small():
    rng = np.random.default_rng(0)
    places = rng.uniform(-4, 4, (16, 2, 2))
    film = draw_film([episode("1", 200, True, *place) for place in places], ARENA, "sixteen")
    assert len(film) < 1_500_000
    image = Image.open(io.BytesIO(film))
    assert image.n_frames == FRAMES + 1
    assert image.info["loop"] == 0
