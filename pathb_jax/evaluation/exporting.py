"""A policy for other runtimes: ONNX, and StableHLO for JAX without this package."""

import importlib.util
from typing import Any

import jax
import numpy as np
from jax import export

from pathb_jax.errors import InputError
from pathb_jax.evaluation.acting import Policy

OPSET = 17
"""Of ONNX: from 2022, so that older runtimes read it too."""
PLATFORMS = ("cpu", "cuda", "tpu")
"""What the StableHLO export runs on."""
MISSING = "it needs onnx; install pathb-jax[export]"
NAMES = ("observation", "action")
"""Input `[batch, D]` and output `[batch, A]`, float32, of both."""


def can_write_onnx() -> bool:
    """Whether what writes ONNX is installed."""
    return importlib.util.find_spec("onnx") is not None


def to_onnx(policy: Policy) -> bytes:
    """Return the policy as an ONNX model, the normaliser and the limit of actions included.

    Raises:
        InputError: the package onnx is missing.
    """
    if not can_write_onnx():
        raise InputError("--onnx", True, MISSING)
    from onnx import TensorProto, checker, helper, numpy_helper

    observation, action = NAMES
    numbers: dict[str, Any] = {
        "mean": policy.data.obs_mean,
        "std": policy.data.obs_std,
        "scale": policy.data.action_scale,
        "one": np.ones(1),
    }
    nodes = [
        helper.make_node("Sub", [observation, "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["hidden_0"]),
    ]
    layers = sorted(policy.data.actor.items(), key=lambda item: int(item[0].rpartition("_")[2]))
    for place, (_, layer) in enumerate(layers):
        numbers |= {f"kernel_{place}": layer["kernel"], f"bias_{place}": layer["bias"]}
        inputs = [f"hidden_{place}", f"kernel_{place}", f"bias_{place}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"sum_{place}"]))
        nodes.append(helper.make_node("Tanh", [f"sum_{place}"], [f"hidden_{place + 1}"]))
    nodes.append(helper.make_node("Mul", [f"hidden_{len(layers)}", "scale"], ["wanted"]))
    if policy.action_box is None:
        nodes += [
            helper.make_node("ReduceL2", ["wanted"], ["norm"], axes=[1], keepdims=1),
            helper.make_node("Max", ["norm", "one"], ["length"]),
            helper.make_node("Div", ["wanted", "length"], [action]),
        ]
    else:
        low, high = np.asarray(policy.action_box)
        numbers |= {"minus_one": -np.ones(()), "plus_one": np.ones(())}
        numbers |= {"half": (high - low) / 2, "middle": (high + low) / 2}
        nodes += [
            helper.make_node("Clip", ["wanted", "minus_one", "plus_one"], ["clipped"]),
            helper.make_node("Mul", ["clipped", "half"], ["scaled"]),
            helper.make_node("Add", ["scaled", "middle"], [action]),
        ]
    sizes = {observation: policy.obs_dim, action: policy.action_dim}
    ends = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in sizes.items()
    }
    graph = helper.make_graph(
        nodes,
        "policy",
        [ends[observation]],
        [ends[action]],
        [
            numpy_helper.from_array(np.asarray(value, np.float32), name)
            for name, value in numbers.items()
        ],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, producer_name="pathb_jax", opset_imports=[opset], ir_version=8)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def to_stablehlo(policy: Policy) -> bytes:
    """Return the policy as `jax.export` serialises it; any batch size.

    `jax.export.deserialize(data).call(observations)` acts with it.
    """
    (batch,) = export.symbolic_shape("batch")
    seen = jax.ShapeDtypeStruct((batch, policy.obs_dim), np.float32)
    exported = export.export(jax.jit(policy), platforms=PLATFORMS)(seen)
    return bytes(exported.serialize())
