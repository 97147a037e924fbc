"""What `render` shows, read from the pixels; no compiled program knows of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.wrappers import GymnaxToGymWrapper

from pathb_jax.envs import interventions as iv
from pathb_jax.envs.drawing import PIXELS, basin_at
from pathb_jax.envs.shadow_field import MesaShadowField, bind

ENV = MesaShadowField()
PARAMS = bind(ENV.default_params, [-3.0, 3.0], [0.0, 0.0])
KEY = jax.random.key(0)
BLACK, RED = (27, 27, 27), (176, 58, 46)


def places(picture, colour):
    """Rows and columns of the pixels of a colour, `[K, 2]`."""
    return np.argwhere((picture == colour).all(axis=-1))


def at(x, y, time=0):
    state = ENV.start_state(KEY, PARAMS)
    return state.replace(position=jnp.array([x, y]), time=jnp.int32(time))


def walk(params, action, steps):
    """States `[steps + 1, ...]` of the gymnax loop, which begins anew where an episode ends."""
    _, state = ENV.reset(KEY, params)

    def step(state, key):
        state = ENV.step(key, state, jnp.asarray(action), params)[1]
        return state, state

    rest = jax.lax.scan(step, state, jax.random.split(KEY, steps))[1]
    return jax.tree.map(lambda first, more: jnp.concatenate([first[None], more]), state, rest)


def test_it_is_what_gymnasium_calls_an_rgb_array():
    picture = ENV.render(at(1, 1))
    assert (picture.shape, picture.dtype) == ((PIXELS, PIXELS, 3), np.uint8)
    wrapped = GymnaxToGymWrapper(ENV, params=PARAMS)
    assert "rgb_array" in wrapped.metadata["render_modes"]
    wrapped.reset(seed=1)
    assert wrapped.render().shape == picture.shape


def test_the_point_is_where_the_state_has_it():
    low, high = (places(ENV.render(at(*place), PARAMS), BLACK) for place in ((-3, -4), (3, 2)))
    moved = np.median(high, axis=0) - np.median(low, axis=0)
    # The arena is a square of 10 and at least four fifths of the picture's width.
    assert moved[0] == pytest.approx(-moved[1], abs=1)  # up by as much as to the right
    assert 0.8 * PIXELS * 6 / 10 < moved[1] < PIXELS * 6 / 10


def test_states_over_time_have_a_path_from_the_last_start_on():
    states = walk(PARAMS.replace(max_steps_in_episode=60), [1.0, 0.0], 100)
    assert states.time.tolist() == [*range(60), *range(41)]
    picture = ENV.render(states, PARAMS)
    since = jax.tree.map(lambda leaf: leaf[60:], states)
    assert np.array_equal(picture, ENV.render(since, PARAMS))
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    path = np.argwhere((picture != ENV.render(last, PARAMS)).any(axis=-1))
    marks = 15  # it begins below the start and ends below the point
    assert 0.8 * PIXELS * 40 * 0.05 / 10 - marks < np.ptp(path[:, 1]) < PIXELS * 40 * 0.05 / 10
    assert np.ptp(path[:, 0]) < 5


def test_an_edited_basin_is_where_the_reward_has_it():
    edits = iv.stack_edits([iv.basin_position_edit(3, [4.0, 9.0])])
    params = PARAMS.replace(edits=edits)
    for time in (0, 3, 4, 5):
        state = at(1.0, 1.0, time)
        distance = ENV.episode_metrics(state, params).terminal_basin_distance
        assert np.hypot(*(basin_at(params, time) - 1)) == pytest.approx(float(distance), rel=1e-6)
    assert basin_at(params, np.arange(5)).tolist() == [[-2.5, -2.5]] * 4 + [[4.0, 5.0]]
    before, after = (places(ENV.render(at(1, 1, time), params), RED) for time in (3, 4))
    assert after[:, 1].mean() > before[:, 1].mean() + 100


def test_episodes_side_by_side_are_refused():
    states = jax.tree.map(lambda leaf: jnp.zeros((3, 2, *leaf.shape)), at(1, 1))
    with pytest.raises(ValueError, match=r"the positions are \[3, 2, 2\]: give the state of one"):
        ENV.render(states)
