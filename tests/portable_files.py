"""Portable files without torch: an activation alone, or between two convolutions that are alive."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeacts.activations import activation
from edgeacts.bodies import fingerprint
from edgeacts.forms import choose, function
from edgeacts.preprocessing import Preprocessing

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("edgeacts", 1)]
PREPROCESSING = Preprocessing(channels=3, height=12, width=10, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def value(name: str, *shape: Any) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def statement(name: str, form: str, bound: float) -> dict[str, Any]:
    definition = activation(name)
    told = {"name": name, "formula": str(definition.formula), "form": form, "bound": bound}
    return {definition.operator: told | {"source": definition.source}}


def alone(path: Path, name: str, form: str | None = "exact", **metadata: str) -> Path:
    """x -> activation -> y, any number of values."""
    choice = choose(activation(name), form=form)
    attributes = {p.name: p.default for p in activation(name).parameters}
    node = helper.make_node(activation(name).operator, ["x"], ["y"], "act", domain="edgeacts", **attributes)
    graph = helper.make_graph([node], "alone", [value("x", "n", 1)], [value("y", "n", 1)])
    return save(path, graph, [function(choice)], statement(name, choice.form.name, choice.bound), metadata)


def network(path: Path, name: str = "tanhexp", batch: Any = "batch", **metadata: str) -> Path:
    """image [batch, 3, 12, 10] -> convolution, activation, strided convolution, activation, mean -> logits [batch, 5]."""
    rng, choice = np.random.default_rng(7), choose(activation(name), form="exact")
    operator = activation(name).operator
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), label)
        for label, shape, scale in (("w1", (8, 3, 3, 3), 0.4), ("w2", (5, 8, 3, 3), 0.3))
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["c1"], ["a1"], "one", domain="edgeacts"),
        helper.make_node("Conv", ["a1", "w2"], ["c2"], "second", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node(operator, ["c2"], ["a2"], "two", domain="edgeacts"),
        helper.make_node("GlobalAveragePool", ["a2"], ["p"], "mean"),
        helper.make_node("Flatten", ["p"], ["logits"], "flat"),
    ]
    shapes = [value("image", batch, 3, 12, 10)], [value("logits", batch, 5)]
    graph = helper.make_graph(nodes, "network", *shapes, weights)
    return save(path, graph, [function(choice)], statement(name, "exact", 0.0), metadata)


def save(
    path: Path,
    graph: onnx.GraphProto,
    functions: list[onnx.FunctionProto],
    forms: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> Path:
    model = helper.make_model(graph, functions=functions, opset_imports=OPSETS, ir_version=10)
    for key, text in {"edgeacts.forms": json.dumps(forms), **metadata}.items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)
    return path


def body_text(operator: str, nodes: list[onnx.NodeProto], inputs: tuple[str, ...] = ("x",)) -> str:
    """A function body as it travels in the metadata."""
    made = helper.make_function("edgeacts", operator, list(inputs), ["y"], nodes, OPSETS[:1])
    return base64.b64encode(made.SerializeToString()).decode()


def doubled(operator: str = "TanhExp", *, form: str = "double", precision: str = "f32", **record: Any) -> str:
    """Metadata by which OpenVINO would compute 2x: what no other runtime and no other precision gets."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    entry = {"bound": 1e-6, "body": body_text(operator, nodes)} | record
    told = {
        "forms": {operator: {form: entry}},
        "chosen": {"openvino": {precision: {operator: form}}},
        "instead_of": {operator: fingerprint(function(choose(activation(operator.lower()), form="exact")))},
    }
    return json.dumps(told)
