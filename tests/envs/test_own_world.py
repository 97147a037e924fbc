"""Environments of gymnax and of one's own, in the form that training and evaluation use."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment, spaces
from quick import quick_jit

from pathb_jax.envs.own_world import OwnParams, OwnWorld, own_world
from pathb_jax.errors import InputError

WITH_BOXES = (
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "PointRobot-misc",
    "Reacher-misc",
    "Swimmer-misc",
)


def params_of(world: OwnWorld, success_return: float = 0.0) -> OwnParams:
    return OwnParams(world.params, jnp.asarray(success_return))


@pytest.mark.parametrize("name", WITH_BOXES)
def test_every_environment_with_boxes_steps_with_types_that_do_not_change(name: str) -> None:
    world = own_world(name)
    params = world.at_seeds(params_of(world), np.arange(3))
    step = jax.vmap(world.step, in_axes=(0, 0, 0, world.bank_axes(params)))
    reset = jax.vmap(world.reset, in_axes=(0, world.bank_axes(params)))
    keys = jax.random.split(jax.random.key(0), 3)
    action = jax.ShapeDtypeStruct((3, world.num_actions), jnp.float32)
    with jax.numpy_rank_promotion("allow"):  # some of them rely on it
        first = jax.eval_shape(reset, keys, params)
        after = jax.eval_shape(step, keys, first[1], action, params)
    assert after[:2] == first  # shapes, types and weakness alike: a loop carries them
    assert first[0].shape == (3, world.obs_dim)


def test_a_step_is_the_environments_own_and_actions_are_scaled_to_its_box() -> None:
    env, own = gymnax.make("Pendulum-v1")
    world = own_world("Pendulum-v1")
    params, key = params_of(world), jax.random.key(7)
    observation, mine = world.reset(key, params)
    theirs_seen, theirs = env.reset(key, own)
    np.testing.assert_array_equal(observation, theirs_seen)
    for action, torque in ((0.25, 0.5), (-1.0, -2.0), (3.0, 2.0)):
        step = jax.jit(world.transition)
        mine, outcome = step(key, mine, jnp.array([action]), params)
        _, theirs, reward, _, _, info = env.step(key, theirs, jnp.array([torque]), own)
        np.testing.assert_array_equal(mine.observation, info["final_observation"])
        assert outcome.reward == reward
    assert mine.time == 3
    assert world.episode_metrics(mine, params).episode_return == mine.episode_return


def test_an_episode_ends_with_its_time_and_begins_again_where_its_seed_says() -> None:
    world = own_world("Pendulum-v1")
    shorter = world.params.replace(max_steps_in_episode=jnp.int32(3))
    params = OwnParams(shorter, jnp.asarray(-1e9))
    bank = world.at_seeds(params, np.array([5, 6]))
    axes = world.bank_axes(bank)
    step = quick_jit(jax.vmap(world.step, in_axes=(0, 0, 0, axes)))
    keys = jax.random.split(jax.random.key(1), 2)
    first, state = jax.vmap(world.reset, in_axes=(0, axes))(keys, bank)
    assert not np.array_equal(first[0], first[1])
    seen = []
    for _ in range(6):
        obs, state, _, terminated, truncated, info = step(keys, state, jnp.zeros((2, 1)), bank)
        seen.append((bool(truncated[0]), bool(info["success"][0]), np.asarray(obs)))
        assert not terminated.any()
    assert [ended for ended, _, _ in seen] == [False, False, True] * 2
    assert [success for _, success, _ in seen] == [False, False, True] * 2
    np.testing.assert_array_equal(seen[2][2], seen[5][2])
    np.testing.assert_allclose(seen[2][2], first, atol=1e-6)  # two programs
    assert (state.time == 0).all()
    assert (state.episode_return == 0).all()


def test_unbound_episodes_begin_elsewhere_each_time() -> None:
    world = own_world("Pendulum-v1")
    params = OwnParams(world.params.replace(max_steps_in_episode=jnp.int32(1)), jnp.asarray(0.0))
    step, starts = quick_jit(world.step), []
    _, state = world.reset(jax.random.key(0), params)
    for number in range(3):
        obs, state, *_ = step(jax.random.key(number), state, jnp.zeros(1), params)
        starts.append(tuple(np.asarray(obs).tolist()))
    assert len(set(starts)) == 3


def test_success_is_a_return_of_so_much() -> None:
    world = own_world("Pendulum-v1")
    _, state = world.reset(jax.random.key(0), params_of(world))
    for least, expected in ((-5.0, True), (-4.0, False), (-4.5, True)):
        ended = state.replace(episode_return=jnp.asarray(-4.5))
        assert bool(world.episode_metrics(ended, params_of(world, least)).success) is expected


def test_one_object_serves_all_runs_of_a_name() -> None:
    assert own_world("Pendulum-v1") is own_world("Pendulum-v1")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CartPole-v1", "its actions are Discrete"),
        ("NoSuch-v0", "one of gymnax's with boxes: Pendulum-v1, MountainCarContinuous-v0"),
        ("MesaShadowField-v0", "leave it out"),
        ("no_such_module:Env", "No module named 'no_such_module'"),
        ("pathlib:Path", "which is no gymnax environment"),
        ("pathlib:Nothing", "no attribute 'Nothing'"),
    ],
)
def test_what_is_no_environment_gets_one_line(name: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        own_world(name)
    assert said in str(error.value)
    assert str(error.value).startswith("--env: ")
    assert "\n" not in str(error.value)


class Broken(environment.Environment[Any, Any]):
    """Says what a test wants of its actions, and cannot be reset."""

    box: Any = spaces.Box(-1.0, 1.0, (1,), jnp.float32)

    @property
    def default_params(self) -> Any:
        return environment.EnvParams()

    def action_space(self, params: Any) -> Any:
        return self.box

    def observation_space(self, params: Any) -> Any:
        return spaces.Box(-1.0, 1.0, (1,), jnp.float32)

    def reset_env(self, key: Any, params: Any) -> Any:
        raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (spaces.Box(-jnp.inf, 1.0, (1,), jnp.float32), "finite limits"),
        (spaces.Box(1.0, 1.0, (1,), jnp.float32), "low below high"),
        (Broken.box, "it cannot be reset (out of order)"),
    ],
)
def test_an_environment_that_cannot_be_used_says_why(
    box: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(Made=type("Made", (Broken,), {"box": box}))
    monkeypatch.setitem(sys.modules, "made_up", module)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--env") as error:
        OwnWorld("made_up:Made")
    assert said in str(error.value)


def test_a_class_is_found_in_the_folder_where_the_command_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).parents[2] / "examples" / "cart.py"
    (tmp_path / "my_cart.py").write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    world = OwnWorld("my_cart:Cart")
    assert sys.path == before
    assert (world.obs_dim, world.num_actions) == (2, 1)
    described = world.description
    assert described["env_params"] == {"max_steps_in_episode": 100, "force": 1.0, "dt": 0.1}
    assert described["env_source"].startswith("my_cart sha256 ")
    assert own_world("Pendulum-v1").description["env_source"] == "gymnax"
