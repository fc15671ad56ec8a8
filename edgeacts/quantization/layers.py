"""The layers of a prepared model: what has weights, with the activation behind it. They are what can be left in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgeacts.acceleration.graph import attributes, consumers
from edgeacts.quantization.graphs import weights_of
from edgeacts.quantization.preparing import follower

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Layer:
    """One node with weights: `name` is the node's, `nodes` are its own and its activation's, which go to float together.

    `weights` counts the elements of its kernel, `multiply_adds` those of one image (0 where the output's size is open).
    """

    name: str
    operator: str
    nodes: tuple[str, ...]
    input: str
    output: str
    kernel: str
    bias: str
    axis: int
    weights: int
    multiply_adds: int


def layers_of(prepared: onnx.ModelProto) -> tuple[Layer, ...]:
    """All layers of a prepared model in the graph's order; only those whose weights are constant."""
    weights = weights_of(prepared.graph)
    sizes = _sizes(prepared.graph)
    readers, outputs = consumers(prepared.graph), {value.name for value in prepared.graph.output}
    found = []
    for node in prepared.graph.node:
        if node.op_type not in WEIGHTED or node.domain or len(node.input) < 2 or node.input[1] not in weights:
            continue
        kernel = weights[node.input[1]]
        activation = follower(node, readers, outputs)
        bias = node.input[2] if len(node.input) > 2 and node.input[2] in weights else ""
        count = int(np.prod(kernel.dims, dtype=np.int64))
        found.append(
            Layer(
                name=node.name,
                operator=node.op_type,
                nodes=(node.name,) if activation is None else (node.name, activation.name),
                input=node.input[0],
                output=node.output[0],
                kernel=node.input[1],
                bias=bias,
                axis=_channel_axis(node, len(kernel.dims)),
                weights=count,
                multiply_adds=_multiply_adds(node, kernel, count, sizes),
            )
        )
    return tuple(found)


def _channel_axis(node: onnx.NodeProto, rank: int) -> int:
    """The kernel's axis of output channels."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm" and "transB" in attributes(node) and attributes(node)["transB"].i:
        return 0
    return rank - 1


def _sizes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes without their first dimension; 0 where a size is open."""
    infos = (*graph.value_info, *graph.input, *graph.output)
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)[1:] for v in infos}


def _multiply_adds(
    node: onnx.NodeProto, kernel: onnx.TensorProto, count: int, sizes: Mapping[str, tuple[int, ...]]
) -> int:
    if node.op_type in ("Conv", "ConvTranspose"):
        name = node.output[0] if node.op_type == "Conv" else node.input[0]
        return count * int(np.prod(sizes.get(name, (0,))[1:], dtype=np.int64))
    return count * int(np.prod(sizes.get(node.output[0], ())[:-1], dtype=np.int64))
