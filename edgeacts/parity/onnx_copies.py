"""Copies of an ONNX file: with the terms of its products in another order, and with its activations' results moved."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeacts.bodies import DOMAIN
from edgeacts.onnx_metadata import read_model


def reordered_model(path: Path, target: Path, seed: int) -> Path | None:
    """Write the copy to `target`; None when no product's weights stand in the file itself."""
    model = read_model(path)
    graph = model.graph
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in graph.initializer):
        return None  # they are found beside the file only
    weights = {t.name: t for t in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        tensor = weights.get(node.input[1]) if len(node.input) > 1 else None
        axes = None if tensor is None or uses[tensor.name] > 1 else _summed_axes(node, len(tensor.dims))
        if tensor is not None and axes is not None:
            gather, order = _reorder(node, tensor, *axes, rng, f"edgeacts_order_{len(nodes)}")
            graph.initializer.append(order)
            nodes.append(gather)
        nodes.append(node)
    if len(nodes) == len(graph.node):
        return None
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)
    return target


def shifted_model(path: Path, target: Path, bound: float) -> Path | None:
    """Write a copy to `target` that adds bound·max(1, |x|) to each activation f(x) of ours; None where there is none."""
    model = read_model(path)
    graph = model.graph
    outside = any(t.data_location == onnx.TensorProto.EXTERNAL for t in graph.initializer)
    if outside or not any(node.domain == DOMAIN for node in graph.node):
        return None
    nodes: list[onnx.NodeProto] = []
    names = [f"edgeacts_shift_{what}" for what in ("one", "bound")]
    for name, value in zip(names, (1.0, bound), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    for i, node in enumerate(graph.node):
        nodes.append(node)
        if node.domain != DOMAIN:
            continue
        x, y = node.input[0], node.output[0]
        inner = [f"edgeacts_shift_{i}_{what}" for what in ("size", "scale", "share", "unmoved")]
        node.output[0] = inner[3]
        nodes += [
            helper.make_node("Abs", [x], inner[:1]),
            helper.make_node("Max", [inner[0], names[0]], inner[1:2]),
            helper.make_node("Mul", [inner[1], names[1]], inner[2:3]),
            helper.make_node("Add", inner[3:1:-1], [y]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)
    return target


def _summed_axes(node: Any, rank: int) -> tuple[int, int] | None:
    """(axis of the input, axis of the weights) that the product sums over; None for what is left alone."""
    attributes = {a.name: a.i for a in node.attribute}
    if node.domain not in ("", "ai.onnx") or rank < 2:
        return None
    if node.op_type == "Conv" and attributes.get("group", 1) == 1:
        return 1, 1
    if node.op_type == "Gemm" and not attributes.get("transA", 0):
        return 1, 1 if attributes.get("transB", 0) else 0
    return (-1, 0) if node.op_type == "MatMul" and rank == 2 else None


def _reorder(
    node: Any, tensor: Any, axis: int, weight_axis: int, rng: np.random.Generator, name: str
) -> tuple[Any, Any]:
    """Permute the weights and read the input in that order, in place; gives the Gather and its indices."""
    values = numpy_helper.to_array(tensor)
    order = rng.permutation(values.shape[weight_axis])
    tensor.CopyFrom(numpy_helper.from_array(np.take(values, order, weight_axis), tensor.name))
    gather = helper.make_node("Gather", [node.input[0], name], [f"{name}_input"], axis=axis)
    node.input[0] = f"{name}_input"
    return gather, numpy_helper.from_array(order.astype(np.int64), name)
