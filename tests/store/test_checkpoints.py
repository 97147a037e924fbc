"""Checkpoints: complete and bit-equal, or detected, named and set aside."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathb_jax.errors import CheckpointError, InputError
from pathb_jax.store import checkpoint_store, integrity
from pathb_jax.store.checkpoint_store import CheckpointStore, best_step
from pathb_jax.store.checkpoints import read_meta, read_state, resolve_checkpoint, restore
from pathb_jax.store.step_folders import complete_steps, latest_good


class EnvState(NamedTuple):
    position: jax.Array
    done: jax.Array


def make_state(seed=0, rows=3):
    """Stand in for a train state: nested, and with every kind of leaf."""
    params = {
        "actor": [
            {"weight": jax.random.normal(jax.random.key(seed), (3, 5)), "bias": jnp.zeros(5)}
        ],
        "log_std": jnp.full((2,), -0.5),
    }
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(optax.constant_schedule(1)))
    return {
        "params": params,
        "optimizer": optimizer.init(params),
        "environment": EnvState(jnp.arange(6.0).reshape(3, 2), jnp.array([True, False, True])),
        "key": jax.random.PRNGKey(seed),
        "typed_key": jax.random.split(jax.random.key(seed), 2),
        "update": jnp.asarray(7 + seed, jnp.int32),
        "count": np.asarray(1e-4, np.float32),
        "specials": np.array([np.nan, -0.0, np.inf, 1e-45], np.float32),
        "half": jnp.arange(3, dtype=jnp.bfloat16),
        "history": np.arange(rows * 4, dtype=np.float64).reshape(rows, 4) / 3,
    }


def bits(leaf):
    plain = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return str(leaf.dtype), np.shape(leaf), np.asarray(plain).tobytes()


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert bits(one) == bits(other)


def saved(directory, updates=(1, 2), rates=()):
    """Save one tree per update; return the trees."""
    trees = {update: make_state(update) for update in updates}
    rates = dict(zip(updates, rates, strict=False))
    with CheckpointStore(directory) as store:
        for update, tree in trees.items():
            store.save(update, tree, {"update": update}, rates.get(update))
    return trees


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """Two checkpoints, to be copied and then damaged."""
    directory = tmp_path_factory.mktemp("two") / "checkpoints" / "run"
    return directory, saved(directory)


def copy_of(two_steps, tmp_path):
    target = tmp_path / "out" / "checkpoints" / "run"
    shutil.copytree(two_steps[0], target)
    return target


def step_names(directory):
    return sorted(entry.name for entry in directory.iterdir())


# -- saving and restoring


def test_round_trip_is_bit_equal(tmp_path):
    state = make_state()
    with CheckpointStore(tmp_path / "run") as store:
        store.save(5, state, {"rows": 3, "note": "ü"}, 0.25)
    step = resolve_checkpoint(tmp_path / "run")
    assert read_meta(step) == {"rows": 3, "note": "ü"}
    restored = restore(step, state)
    assert_same(restored, state)
    assert not any(getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves(restored))


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_was_removed_gets_no_checkpoint(tmp_path, again):
    with CheckpointStore(tmp_path / "run") as store:
        store.save(1, make_state(), {"rows": 3}, None)
        store.wait()
        shutil.rmtree(tmp_path / "run")
        if again:
            (tmp_path / "run").mkdir()
        store.save(2, make_state(), {"rows": 3}, None)
        with pytest.raises(CheckpointError, match="No such file"):
            store.wait()
    assert not (tmp_path / "run" / "2").exists()


@pytest.mark.parametrize("name", ["[bold]", "a*b", "what?", "[a-z]"])
def test_a_folder_whose_name_is_a_pattern(tmp_path, name):
    trees = saved(tmp_path / name)
    assert_same(restore(tmp_path / name / "2", trees[2]), trees[2])


def test_abstract_template_will_do(two_steps):
    directory, trees = two_steps
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), trees[2])
    assert_same(restore(directory / "2", template), trees[2])


def test_random_numbers_go_on_from_a_restored_key(two_steps):
    directory, trees = two_steps
    keys = restore(directory / "1", trees[1])["typed_key"]
    expected = jax.random.normal(trees[1]["typed_key"][1], (4,))
    np.testing.assert_array_equal(jax.random.normal(keys[1], (4,)), expected)


def test_history_without_rows(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(0, make_state(rows=0), {}, None)
    assert restore(tmp_path / "0", make_state(rows=0))["history"].shape == (0, 4)
    with pytest.raises(CheckpointError, match=r"history is float64\[0, 4\], expected"):
        restore(tmp_path / "0", make_state(rows=1))


def test_history_whose_rows_only_the_meta_knows(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(9, make_state(rows=9), {"rows": 9}, None)
    step = resolve_checkpoint(tmp_path)
    assert_same(restore(step, make_state(rows=read_meta(step)["rows"])), make_state(rows=9))


def test_snapshot_is_taken_before_save_returns(tmp_path):
    host = np.arange(4.0)
    device = jnp.arange(4.0)
    consume = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    with CheckpointStore(tmp_path) as store:
        store.save(1, {"host": host, "device": device}, {}, None)
        host[:] = -1
        jax.block_until_ready(consume(device))
    template = {"host": np.zeros(4), "device": np.zeros(4, np.float32)}
    for leaf in jax.tree.leaves(restore(tmp_path / "1", template)):
        np.testing.assert_array_equal(leaf, [0, 1, 2, 3])


def test_a_template_names_every_leaf_and_no_more(two_steps):
    directory, trees = two_steps
    with pytest.raises(CheckpointError, match="is not expected"):
        restore(directory / "2", {"params": trees[2]["params"]})
    with pytest.raises(CheckpointError, match="it has no more"):
        restore(directory / "2", {**trees[2], "more": np.zeros(1)})


@pytest.mark.parametrize(
    ("leaf", "named"),
    [
        (np.zeros((4, 2), np.float32), r"bfloat16\[3\], expected float32\[4, 2\]"),
        (np.zeros(3, np.float16), r"half is bfloat16\[3\], expected float16\[3\]"),
    ],
)
def test_mismatch_names_the_leaf(two_steps, leaf, named):
    directory, trees = two_steps
    with pytest.raises(CheckpointError, match=named):
        restore(directory / "2", {**trees[2], "half": leaf})


def test_checkpoint_holds_no_code(two_steps):
    names = {path.name for path in two_steps[0].rglob("*")}
    assert not any(name.endswith((".pkl", ".pickle", ".py", ".npy", ".msgpack")) for name in names)


@pytest.mark.parametrize(
    ("tree", "meta", "rate", "error"),
    [
        ({"a": np.ones(1)}, {"x": float("nan")}, None, ValueError),
        ({"a": np.ones(1)}, {"x": object()}, None, TypeError),
        ({"a": np.ones(1)}, {}, float("nan"), ValueError),
        ({"a": np.array(["text"])}, {}, None, TypeError),
        ({}, {}, None, ValueError),
        ({1: np.ones(1), "1": np.ones(1)}, {}, None, ValueError),
        ({"a": np.ones(1)}, {"x": "y" * 2**24}, None, ValueError),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once(tmp_path, tree, meta, rate, error):
    with CheckpointStore(tmp_path) as store, pytest.raises(error):
        store.save(1, tree, meta, rate)
    assert step_names(tmp_path) == []


# -- which are kept


@pytest.mark.parametrize(
    ("rates", "best", "kept"),
    [
        ((0.9, 0.1, 0.2, None, 0.3), 1, ["1", "4", "5"]),  # an early best outlives later ones
        ((0.1, 0.2, 0.3, 0.4, 0.5), 5, ["4", "5"]),  # the best is among the last
        ((0.5, None, 0.5, None, None), 3, ["3", "4", "5"]),  # of equals the latest
        ((None,) * 5, None, ["4", "5"]),
        ((0.0, None, None, None, None), 1, ["1", "4", "5"]),
    ],
)
def test_keeps_the_last_two_and_the_best(tmp_path, rates, best, kept):
    tree = {"a": np.ones(2)}
    with CheckpointStore(tmp_path) as store:
        assert best_step(tmp_path) is None
        for update, rate in enumerate(rates, start=1):
            store.save(update, tree, {}, rate)
    assert best_step(tmp_path) == best
    assert step_names(tmp_path) == kept


def test_best_survives_a_restart(tmp_path):
    tree = {"a": np.ones(2)}
    for update, rate in ((1, 0.8), (2, None), (3, 0.1), (4, None)):
        with CheckpointStore(tmp_path) as store:
            store.save(update, tree, {}, rate)
    assert step_names(tmp_path) == ["1", "3", "4"]


def test_the_last_are_told_by_number_and_not_by_name(tmp_path):
    with CheckpointStore(tmp_path) as store:
        for update in (9, 10, 11):
            store.save(update, {"a": np.ones(2)}, {}, None)
    assert step_names(tmp_path) == ["10", "11"]


def test_saving_an_update_again_replaces_it(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(3, {"a": np.zeros(2)}, {"try": 1}, 0.5)
    with CheckpointStore(tmp_path) as store:
        store.save(3, {"a": np.ones(2)}, {"try": 2}, None)
    assert read_state(tmp_path / "3").success_rate == 0.5  # it carries over
    assert step_names(tmp_path) == ["3"]
    assert read_meta(tmp_path / "3") == {"try": 2}
    assert restore(tmp_path / "3", {"a": np.zeros(2)})["a"].tolist() == [1, 1]


def test_what_is_to_be_kept_outlives_all_others(tmp_path):
    tree = {"a": np.ones(2)}
    with CheckpointStore(tmp_path) as store:
        for update in range(1, 8):
            store.save(update, tree, {}, {2: 0.9, 3: 0.5}.get(update), keep=update in (2, 4))
    assert step_names(tmp_path) == ["2", "3", "4", "6", "7"]  # 3: the best of those not kept
    for update in (2, 8, 9, 10):  # a later session knows, and saving again keeps it
        with CheckpointStore(tmp_path) as store:
            store.save(update, tree, {}, None)
    assert step_names(tmp_path) == ["10", "2", "3", "4", "9"]
    assert (read_state(tmp_path / "2").kept, read_state(tmp_path / "3").kept) == (True, False)
    assert "kept" not in json.loads((tmp_path / "3" / "state.json").read_text())


def test_a_kept_one_that_was_half_replaced_is_kept(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(1, {"a": np.ones(2)}, {}, None, keep=True)
    (tmp_path / "1").rename(tmp_path / "1.replaced")
    with CheckpointStore(tmp_path) as store:
        for update in (2, 3, 4):
            store.save(update, {"a": np.ones(2)}, {}, None)
    assert step_names(tmp_path) == ["1", "3", "4"]


# -- what goes wrong while saving


def fail_writing(monkeypatch, error):
    def write(path, arrays):
        path.mkdir(parents=True)
        (path / "part").write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint_store, "write_arrays", write)


@pytest.mark.parametrize("surfaces_at", ["wait", "close", "save", "leaving"])
def test_background_error_surfaces(tmp_path, monkeypatch, surfaces_at):
    saved(tmp_path, updates=(1,))
    fail_writing(monkeypatch, OSError(28, "No space left on device"))
    store = CheckpointStore(tmp_path)
    store.save(2, {"a": np.ones(2)}, {}, None)
    actions = {
        "wait": store.wait,
        "close": store.close,
        "save": lambda: store.save(3, {"a": np.ones(2)}, {}, None),
        "leaving": lambda: store.__exit__(None, None, None),
    }
    with pytest.raises(CheckpointError, match=r"saving update 2 .*No space left") as raised:
        actions[surfaces_at]()
    assert isinstance(raised.value.__cause__, OSError)
    store.close()  # reported once
    assert step_names(tmp_path) == ["1"]


def test_saving_works_again_after_an_error(tmp_path, monkeypatch):
    with CheckpointStore(tmp_path) as store:
        with monkeypatch.context() as broken:
            fail_writing(broken, OSError(28, "No space left on device"))
            store.save(1, {"a": np.ones(2)}, {}, None)
            with pytest.raises(CheckpointError):
                store.wait()
        store.save(2, {"a": np.ones(2)}, {}, None)
    assert complete_steps(tmp_path) == [2]


def test_error_of_the_body_is_not_hidden(tmp_path, monkeypatch):
    fail_writing(monkeypatch, OSError(28, "No space left on device"))

    def interrupted():
        with CheckpointStore(tmp_path) as store:
            store.save(1, {"a": np.ones(2)}, {}, None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        interrupted()
    assert "saving update 1" in raised.value.__notes__[0]


@pytest.mark.parametrize("function", ["seal", "write_atomically"])
def test_killed_before_the_manifest_is_no_checkpoint(tmp_path, monkeypatch, function):
    def killed(*_):
        raise OSError(5, "killed here")

    trees = saved(tmp_path, updates=(1,))
    monkeypatch.setattr(checkpoint_store, function, killed)
    monkeypatch.setattr(checkpoint_store.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(CheckpointError), CheckpointStore(tmp_path) as store:
        store.save(2, trees[1], {}, 0.9)
    monkeypatch.undo()
    assert step_names(tmp_path) == ["1", "2.saving"]
    assert resolve_checkpoint(tmp_path).name == "1"
    assert latest_good(tmp_path) == (tmp_path / "1", ())
    assert step_names(tmp_path) == ["1"]


def test_kill_between_the_two_renames_of_a_replacement(tmp_path):
    trees = saved(tmp_path, updates=(1,))
    (tmp_path / "1").rename(tmp_path / "1.replaced")
    found = latest_good(tmp_path)
    assert_same(restore(found.path, trees[1]), trees[1])


def test_kill_while_deleting(tmp_path):
    saved(tmp_path, updates=(1, 2))
    (tmp_path / "1").rename(tmp_path / "1.deleting")
    (tmp_path / "1.deleting" / "manifest.json").unlink()
    CheckpointStore(tmp_path).close()
    assert step_names(tmp_path) == ["2"]


# -- damage


def damage_truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_empty(path):
    os.truncate(path, 0)


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def damage_grow(path):
    path.write_bytes(path.read_bytes() + b"\n0")


def files_of(step):
    return [path for path in sorted(step.rglob("*")) if path.is_file()]


DAMAGES = [damage_truncate, damage_empty, damage_flip, damage_grow, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
def test_damage_of_every_file_is_detected(two_steps, tmp_path, damage):
    directory, trees = two_steps
    count = len(files_of(directory / "2"))
    assert count >= 6
    for index in range(count):
        copy = copy_of(two_steps, tmp_path / str(index))
        victim = files_of(copy / "2")[index]
        if not victim.stat().st_size and damage not in (damage_grow, Path.unlink):
            continue  # Orbax's commit marker is an empty file
        damage(victim)
        with pytest.raises(CheckpointError) as raised:
            restore(copy / "2", trees[2])
        assert victim.name in str(raised.value)
        found = latest_good(copy)
        assert found.path == copy / "1"
        (aside,) = found.set_aside
        assert (aside.update, aside.moved_to.name) == (2, "2.damaged-1")
        assert victim.name in aside.reason
        assert aside.moved_to.is_dir()
        assert_same(restore(found.path, trees[1]), trees[1])


def test_every_bit_of_the_manifest_counts(two_steps, tmp_path):
    copy = copy_of(two_steps, tmp_path)
    manifest = copy / "2" / "manifest.json"
    content = manifest.read_bytes()
    for index in range(len(content)):
        flipped = content[index] ^ (1 << index % 8)
        manifest.write_bytes(content[:index] + bytes([flipped]) + content[index + 1 :])
        found = integrity.find_damage(copy / "2", only="state.json")
        assert found == "manifest.json is damaged", index


def test_whole_folders_lost(two_steps, tmp_path):
    copy = copy_of(two_steps, tmp_path)
    shutil.rmtree(copy / "2" / "arrays")
    found = latest_good(copy)
    assert found.path == copy / "1"
    assert "is missing" in found.set_aside[0].reason


def test_none_left_is_an_error_and_stays_one(two_steps, tmp_path):
    copy = copy_of(two_steps, tmp_path)
    for step in ("1", "2"):
        damage_flip(copy / step / "state.json")
    with pytest.raises(CheckpointError, match=r"no good checkpoint is left.*state\.json"):
        latest_good(copy)
    assert step_names(copy) == ["1.damaged-1", "2.damaged-1"]
    with pytest.raises(CheckpointError, match=r"1\.damaged-1, 2\.damaged-1"):
        latest_good(copy)  # a second start must not begin at zero either


def test_damaged_twice(two_steps, tmp_path):
    copy = copy_of(two_steps, tmp_path)
    for number in (1, 2):
        damage_flip(copy / "2" / "state.json")
        assert latest_good(copy).set_aside[0].moved_to.name == f"2.damaged-{number}"
        shutil.copytree(two_steps[0] / "2", copy / "2")


def test_damaged_best_is_not_trusted(tmp_path):
    saved(tmp_path, updates=(1, 2), rates=(0.9, 0.5))
    damage_flip(tmp_path / "1" / "state.json")
    assert best_step(tmp_path) == 2


def test_no_checkpoint_at_all(tmp_path):
    assert latest_good(tmp_path) == (None, ())
    assert latest_good(tmp_path / "missing") == (None, ())


def rewrite_manifest(step):
    (step / "manifest.json").unlink()
    integrity.seal(step)


def test_arrays_of_another_shape_than_declared(two_steps, tmp_path):
    """A forged checkpoint must not make us allocate what its arrays declare."""
    _, trees = two_steps
    copy = copy_of(two_steps, tmp_path)
    state = json.loads((copy / "2" / "state.json").read_text())
    state["leaves"]["half"]["shape"] = [5]
    (copy / "2" / "state.json").write_text(json.dumps(state))
    rewrite_manifest(copy / "2")
    with pytest.raises(CheckpointError, match="half is stored as"):
        restore(copy / "2", {**trees[2], "half": jnp.zeros(5, jnp.bfloat16)})


@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        {"success_rate": "x", "meta": {}, "leaves": {}},
        {"success_rate": None, "meta": [], "leaves": {}},
        {"success_rate": None, "meta": {}, "leaves": {"a": 3}},
        {"success_rate": None, "meta": {}, "leaves": {"a": {"shape": "x"}}},
        {"success_rate": 10**400, "meta": {}, "leaves": {}},
    ],
)
def test_forged_state_is_refused(two_steps, tmp_path, state):
    copy = copy_of(two_steps, tmp_path)
    (copy / "2" / "state.json").write_text(json.dumps(state))
    rewrite_manifest(copy / "2")
    with pytest.raises(CheckpointError, match="not what this program writes"):
        read_meta(copy / "2")


@pytest.mark.parametrize("name", ["../outside", "/dev/zero", "arrays"])
def test_forged_manifest_reads_nothing_outside(two_steps, tmp_path, name):
    copy = copy_of(two_steps, tmp_path)
    files = {name: {"size": 0, "sha256": "0"}}
    forged = {"format": "pathb-manifest-v1", "files": files}
    forged["files_sha256"] = integrity._digest_of(files)
    (copy / "2" / "manifest.json").write_text(json.dumps(forged))
    assert integrity.find_damage(copy / "2") is not None


# -- finding a checkpoint from a path


def test_resolve_checkpoint(two_steps, tmp_path, monkeypatch):
    copy = copy_of(two_steps, tmp_path)
    out = tmp_path / "out"
    assert resolve_checkpoint(out) == copy / "2"
    assert resolve_checkpoint(copy) == copy / "2"
    assert resolve_checkpoint(copy / "1") == copy / "1"
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint(Path("out")) == copy / "2"
    (copy / "10").mkdir()  # incomplete
    (out / "checkpoints" / "empty").mkdir()
    (out / "checkpoints" / "file").write_text("")
    assert resolve_checkpoint(out) == copy / "2"


def test_resolve_checkpoint_refuses(two_steps, tmp_path):
    copy = copy_of(two_steps, tmp_path)
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (copy / "2" / "manifest.json").unlink()
    for path in (
        "missing",
        "empty",
        "file",
        "out/checkpoints/run/2",
        "out/checkpoints/run/1/arrays",
    ):
        with pytest.raises(InputError, match="--load-checkpoint"):
            resolve_checkpoint(tmp_path / path)
    shutil.copytree(copy, out / "checkpoints" / "other")
    with pytest.raises(InputError, match="other, run"):
        resolve_checkpoint(out)


# -- manners


def test_orbax_is_imported_late_and_quietly(tmp_path):
    script = f"""
import logging, sys
logging.basicConfig(level=logging.INFO)
from pathb_jax.store import checkpoint_store, checkpoints
assert "orbax" not in sys.modules
import numpy as np
with checkpoint_store.CheckpointStore({str(tmp_path)!r}) as store:
    store.save(1, {{"a": np.ones(3)}}, {{}}, None)
checkpoints.restore(checkpoints.resolve_checkpoint({str(tmp_path)!r}), {{"a": np.ones(3)}})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "INFO:absl:" not in done.stderr


def test_relative_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointStore(Path("run")) as store:
        store.save(1, {"a": np.ones(3)}, {}, None)
    assert restore(Path("run/1"), {"a": np.zeros(3)})["a"].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_time_of_100_megabytes(tmp_path, caplog):
    """Tier Large with Adam's moments: print what saving costs the training loop, and in all.

    What it may cost is this thread's own time: the machine may be busy with other things.
    """
    import time

    tree = {str(i): jax.random.normal(jax.random.key(i), (1024, 1024)) for i in range(24)}
    with CheckpointStore(tmp_path) as store:
        for update in (1, 2):  # the first time imports Orbax
            start, own = time.perf_counter(), time.thread_time()
            store.save(update, tree, {}, None)
            snapshot = time.thread_time() - own
            store.wait()
            whole = time.perf_counter() - start
    start = time.perf_counter()
    assert_same(restore(tmp_path / "2", tree), tree)
    restoring = time.perf_counter() - start
    logging.getLogger(__name__).warning(
        "100 MB: snapshot %.2f s, saved %.2f s, restored %.2f s", snapshot, whole, restoring
    )
    assert snapshot < 2
