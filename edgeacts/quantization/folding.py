"""What is computed once instead of for every image: constants, batch norms, identities. Global pooling by its own name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeacts.acceleration.graph import attributes, consumers, producers
from edgeacts.quantization.graphs import (
    array,
    drop_unused_weights,
    refill,
    rename_values,
    set_array,
    weights_of,
)

_EPSILON = 1e-5  # BatchNormalization's default
_IDENTITIES = frozenset({"Identity", "Dropout"})


def fold_constants(model: onnx.ModelProto) -> None:
    """Constant nodes become initializers; Identity and Dropout go, where their output is not one of the graph's."""
    graph = model.graph
    kept = []
    outputs = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    for node in graph.node:
        constant = _constant(node)
        if constant is not None and node.output[0] not in outputs:
            graph.initializer.append(constant)
        elif _is_identity(node, outputs):
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    refill(graph.node, kept)
    rename_values(graph, renamed)


def _is_identity(node: onnx.NodeProto, outputs: set[str]) -> bool:
    if node.op_type not in _IDENTITIES or node.domain or node.output[0] in outputs:
        return False
    return len(node.output) == 1 and len([name for name in node.input if name]) == 1


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if node.op_type != "Constant" or node.domain or len(node.attribute) != 1:
        return None
    given = node.attribute[0]
    kinds: dict[str, tuple[Any, type]] = {
        "value_float": (given.f, np.float32),
        "value_floats": (given.floats, np.float32),
        "value_int": (given.i, np.int64),
        "value_ints": (given.ints, np.int64),
    }
    if given.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(given.t)
        tensor.name = node.output[0]
        return tensor
    if given.name in kinds:
        values, dtype = kinds[given.name]
        return numpy_helper.from_array(np.array(values, dtype), node.output[0])
    return None


def fold_batch_norms(model: onnx.ModelProto) -> None:
    """BatchNormalization behind a convolution that nothing else reads: into its weights and bias."""
    graph = model.graph
    weights, makers, readers = weights_of(graph), producers(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    shared = {name for name in weights if len(readers.get(name, [])) > 1}
    gone = set()
    for node in graph.node:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or len(readers[conv.output[0]]) != 1:
            continue
        needed = [*node.input[1:5], *conv.input[1:]]
        if conv.output[0] in outputs or any(n not in weights for n in needed) or conv.input[1] in shared:
            continue
        _fold(node, conv, graph, weights)
        gone.add(node.output[0])
    refill(
        graph.node, [n for n in graph.node if not (n.op_type == "BatchNormalization" and n.output[0] in gone)]
    )
    if gone:
        drop_unused_weights(graph)


def _fold(
    norm: onnx.NodeProto, conv: onnx.NodeProto, graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]
) -> None:
    scale, shift, mean, variance = (array(weights[name]).astype(np.float64) for name in norm.input[1:5])
    given = attributes(norm)
    factor = scale / np.sqrt(variance + (given["epsilon"].f if "epsilon" in given else _EPSILON))
    kernel = weights[conv.input[1]]
    values = array(kernel).astype(np.float64)
    set_array(kernel, (values * factor.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32))
    old = array(weights[conv.input[2]]).astype(np.float64) if len(conv.input) > 2 else 0.0
    bias = numpy_helper.from_array(
        (shift + (old - mean) * factor).astype(np.float32), f"{norm.output[0]}_bias"
    )
    graph.initializer.append(bias)
    refill(conv.input, [conv.input[0], conv.input[1], bias.name])
    conv.output[0] = norm.output[0]


def pool_globally(model: onnx.ModelProto) -> None:
    """ReduceMean over height and width becomes GlobalAveragePool, which ONNX Runtime has in 8 bits."""
    graph = model.graph
    weights = weights_of(graph)
    rank = {
        v.name: len(v.type.tensor_type.shape.dim)
        for v in (*graph.value_info, *graph.input)
        if v.type.tensor_type.HasField("shape")
    }
    for node in graph.node:
        if node.op_type != "ReduceMean" or node.domain or rank.get(node.input[0]) != 4:
            continue
        given = attributes(node)
        axes = array(weights[node.input[1]]) if len(node.input) > 1 and node.input[1] in weights else None
        keeps = "keepdims" not in given or given["keepdims"].i == 1
        if axes is not None and keeps and sorted(int(a) % 4 for a in axes.ravel()) == [2, 3]:
            node.CopyFrom(
                helper.make_node("GlobalAveragePool", [node.input[0]], [node.output[0]], name=node.name)
            )
