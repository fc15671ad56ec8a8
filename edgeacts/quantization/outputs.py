"""The model's outputs in float: rounding them to 256 steps costs accuracy (ties between classes) and gains no time."""

from __future__ import annotations

import onnx

from edgeacts.acceleration.graph import producers, use_counts
from edgeacts.quantization.graphs import drop_unused_weights, refill

_FLOAT_AT_NO_COST = frozenset({"Gemm", "MatMul", "GlobalAveragePool", "AveragePool", "Add", "Mul"})
_SHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})


def leave_outputs_float(quantized: onnx.ModelProto) -> None:
    """Take Q and DQ away between the last layer and each output, through Reshape and its like."""
    graph = quantized.graph
    for value in graph.output:
        name = value.name
        while name:
            name = _unwrap(graph, name)
    drop_unused_weights(graph)


def _unwrap(graph: onnx.GraphProto, name: str) -> str:
    """Remove the pair that makes `name`; gives the value to go on with, or nothing."""
    makers, uses = producers(graph), use_counts(graph)
    node = makers.get(name)
    if node is not None and node.op_type in _SHAPES and uses[name] == 1:
        return str(node.input[0])
    quantize = makers.get(node.input[0]) if node is not None and node.op_type == "DequantizeLinear" else None
    if node is None or quantize is None or quantize.op_type != "QuantizeLinear":
        return ""
    before = makers.get(quantize.input[0])
    if before is None or uses[quantize.input[0]] != 1 or uses[quantize.output[0]] != 1 or uses[name] != 1:
        return ""
    if before.op_type not in _FLOAT_AT_NO_COST | _SHAPES:
        return ""
    index = list(before.output).index(quantize.input[0])
    before.output[index] = name
    refill(graph.node, [n for n in graph.node if n.name not in (node.name, quantize.name)])
    return name if before.op_type in _SHAPES else ""
