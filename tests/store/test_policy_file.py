"""The policy file: bit-equal when read again; another's, changed and hostile ones."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathb_jax.errors import InputError
from pathb_jax.store import policy_file
from pathb_jax.store.policy_file import read_policy, write_policy


def actor(obs_dim=5, act_dim=2, hidden_size=4, depth=2, seed=0):
    random = np.random.default_rng(seed)
    shapes = policy_file.layer_shapes(obs_dim, act_dim, hidden_size, depth)
    return {
        "family": "L-Mixed",
        "variant": "mixed_ppo_phase3_lambda_0_9",
        "tier": "Small",
        "layers": [
            (
                random.standard_normal(shape).astype(np.float32),
                random.standard_normal(shape[0]).astype(np.float32),
            )
            for shape in shapes
        ],
        "obs_mean": random.standard_normal(obs_dim).astype(np.float32),
        "obs_std": np.full(obs_dim, 1e-4, np.float32),
        "hidden_size": hidden_size,
        "depth": depth,
        "action_scale": 1.0,
        "metadata": {"sensor_tier": "local-probe-field", "env_steps": 8192},
    }


@pytest.fixture
def policy_json(tmp_path):
    """A good policy file's path and content."""
    path = tmp_path / "p.policy.json"
    write_policy(path, **actor())
    return path, json.loads(path.read_text())


def test_policy_round_trip_is_bit_equal(policy_json):
    path, content = policy_json
    given_actor, read = actor(), read_policy(path)
    for layer, (weight, bias) in zip(read.layers, given_actor["layers"], strict=True):
        assert layer.weight.dtype == layer.bias.dtype == np.float32
        assert layer.weight.tobytes() == weight.tobytes()
        assert layer.bias.tobytes() == bias.tobytes()
    assert read.normalization.obs_mean.tobytes() == given_actor["obs_mean"].tobytes()
    assert read.normalization.obs_std.tobytes() == given_actor["obs_std"].tobytes()
    assert read.metadata == given_actor["metadata"]
    assert (read.obs_dim, read.act_dim, read.parameter_count) == (5, 2, 54)
    assert list(content) == [
        "format", "family", "variant", "tier", "obs_dim", "act_dim", "activation", "action_scale",
        "hidden_size", "depth", "parameter_count", "layers", "normalization", "metadata",
    ]  # fmt: skip
    assert (content["format"], content["activation"]) == ("mesa-policy-json-v1", "tanh")
    assert np.shape(content["layers"][0]["weight"]) == (4, 5)  # rows are outputs


def test_parameter_count_may_include_log_std(policy_json):
    path, content = policy_json
    path.write_text(json.dumps({**content, "parameter_count": 56}))
    assert read_policy(path).parameter_count == 56


@pytest.mark.parametrize("indent", [None, 4])
def test_policy_written_by_others(policy_json, indent):
    """Any key order, any white space, further keys, metadata that uses the same names."""
    path, content = policy_json
    content["metadata"] |= {"depth": 1, "hidden_size": 512}
    content["notes"] = "x"
    path.write_text(json.dumps(dict(reversed(content.items())), indent=indent))
    assert read_policy(path).depth == 2


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 5},
        {"depth": 3},
        {"obs_mean": np.zeros(4)},
        {"obs_std": np.full(5, -1.0)},
        {"obs_std": np.full(5, np.nan)},
        {"action_scale": 0.0},
        {"layers": actor(depth=1)["layers"]},
        {"metadata": {"x": float("nan")}},
    ],
    ids=range(8),
)
def test_inconsistent_actor_is_not_written(tmp_path, change):
    with pytest.raises(ValueError, match=r"cannot be written|JSON"):
        write_policy(tmp_path / "p.json", **{**actor(), **change})
    assert not list(tmp_path.iterdir())


CHANGES = {
    "format": ["mesa-policy-json-v2", None, 1],
    "activation": ["relu", None, []],
    "family": [1],
    "obs_dim": [4, 0, -5, 5.0, "5", True, 10**9],
    "act_dim": [3, None],
    "hidden_size": [1024, 10**7, [4]],
    "depth": [1, 3, 101, 10**6],
    "parameter_count": [53, 55, "54", None],
    "action_scale": [0, -1, "1", None, 10**400, True],
    "layers": [[], {}, [1, 2, 3], None, [[]]],
    "normalization": [{}, [], {"obs_mean": [0] * 5}, {"obs_mean": [0] * 5, "obs_std": "11111"}],
    "metadata": [[], None],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in CHANGES.items() for v in vs])
def test_changed_policy_is_refused(policy_json, key, value):
    path, content = policy_json
    path.write_text(json.dumps({**content, key: value}))
    with pytest.raises(InputError, match=r"p\.policy\.json") as raised:
        read_policy(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("key", [key for key in CHANGES if key != "format"])
def test_policy_without_a_key_is_refused(policy_json, key):
    path, content = policy_json
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=key):
        read_policy(path)


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1e999", "1e39", "9" * 400, '"1"', "null", "true", "[1]", "{}"]
)
def test_policy_with_a_bad_number_is_refused(policy_json, number):
    path, content = policy_json
    content["layers"][1]["weight"][2][1] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', number))
    with pytest.raises(InputError):
        read_policy(path)


def test_ragged_and_empty_layers_are_refused(policy_json):
    path, content = policy_json
    for weight in ([], [[]], [[1, 2], [1]], [1, 2], "ab", {}):
        content["layers"][0]["weight"] = weight
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="layers"):
            read_policy(path)


@pytest.mark.parametrize(
    "bulk",
    [
        lambda: "[" * 10**6 + "]" * 10**6,
        lambda: '{"a":' * 10**6 + "1" + "}" * 10**6,
        lambda: "[" + "[]," * 10**6 + "[]]",
        lambda: "[" + "0," * 10**7 + "0]",
        lambda: "[" + "{}," * 10**6 + "{}]",
        lambda: "[" * 49_000 + "]" * 49_000,  # few enough to be parsed, too deep for the parser
    ],
    ids=["lists", "objects", "small lists", "numbers", "small objects", "deep"],
)
def test_huge_policy_is_refused_unparsed(policy_json, monkeypatch, bulk):
    path, content = policy_json
    content["metadata"]["bulk"] = "HERE"
    path.write_text(json.dumps(content).replace('"HERE"', bulk()))
    if path.stat().st_size > 10**5:
        monkeypatch.setattr(policy_file, "decode_json", None)  # never reached
    with pytest.raises(InputError, match=r"at most \d+ are read|deeply"):
        read_policy(path)


def test_size_hidden_behind_an_escape(policy_json):
    path, _ = policy_json
    path.write_text(path.read_text().rstrip()[:-1] + r',"dep\u0074h": 1000000000000}')
    with pytest.raises(InputError, match="depth"):
        read_policy(path)


def test_action_scale_keeps_its_digits(tmp_path):
    write_policy(tmp_path / "p.json", **{**actor(), "action_scale": 0.1})
    assert read_policy(tmp_path / "p.json").action_scale == 0.1


def test_policy_beyond_the_hard_cap_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_file, "MAX_PARAMETERS", 10)
    monkeypatch.setattr(policy_file, "SLACK_BYTES", 0)
    write_policy(tmp_path / "p.json", **actor())
    with pytest.raises(InputError, match="too large"):
        read_policy(tmp_path / "p.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_generated_hostile_policies(tmp_path_factory, data):
    """Replace any part of a good file by anything: refused in one line, or still a whole policy."""
    path = tmp_path_factory.getbasetemp() / "hostile.policy.json"
    write_policy(path, **actor())
    content = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        node = content
        for _ in range(data.draw(st.integers(0, 4))):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            inner = [key for key in keys if isinstance(node[key], dict | list) and node[key]]
            if not inner:
                break
            node = node[data.draw(st.sampled_from(inner))]
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        node[data.draw(st.sampled_from(keys))] = data.draw(json_values)
    path.write_text(json.dumps(content))
    check_refused_or_whole(path)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_generated_damage_of_policies(tmp_path_factory, data):
    """Change, cut or insert bytes."""
    path = tmp_path_factory.getbasetemp() / "damaged.policy.json"
    write_policy(path, **actor())
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 20)))
    content[start:stop] = data.draw(st.binary(max_size=10))
    path.write_bytes(content)
    check_refused_or_whole(path)


def check_refused_or_whole(path):
    refused = ""
    try:
        policy = read_policy(path)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused
    if refused:
        return
    shapes = policy_file.layer_shapes(5, 2, 4, 2)
    assert [layer.weight.shape for layer in policy.layers] == shapes
    arrays = [array for layer in policy.layers for array in (layer.weight, layer.bias)]
    assert all(np.isfinite(array).all() for array in arrays)
    assert np.isfinite(policy.normalization.obs_mean).all()
