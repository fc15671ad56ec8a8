"""Squeeze-and-excitation's product of an image and one pixel -> our own, which stays in the blocked layout."""

from __future__ import annotations

import onnx
from onnx import helper

from edgeacts.acceleration.graph import consumers, producers, use_counts
from edgeacts.acceleration.placed import BLOCKED, DOMAIN

_POOLS = ("GlobalAveragePool", "GlobalMaxPool")
# What makes one pixel of one pixel, and what moves it between the layouts.
_KEEPS = frozenset({"Conv", "Pointwise", "ReorderOutput", "ReorderInput", "Relu", "Clip", "LeakyRelu"})
_KEEPS |= frozenset({"Sigmoid", "HardSigmoid", "Tanh", "HardSwish", "Table", "TableInPlace"})


def place_scales(graph: onnx.GraphProto, block: int) -> None:
    """Let each Mul of a blocked image and a blocked pixel whose result goes back into the blocked layout stay in it."""
    makers, readers, pixels = producers(graph), consumers(graph), _pixels(graph)
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type != "Mul" or node.domain or node.output[0] in outputs:
            continue
        before = [makers.get(name) for name in node.input]
        after = readers[node.output[0]]
        if not all(_is(one, "ReorderOutput") for one in before) or not all(
            _is(one, "ReorderInput") for one in after
        ):
            continue
        factors = [name for name in node.input if name in pixels]
        if len(factors) == 1 and node.input[0] != node.input[1]:
            image = next(name for name in node.input if name not in pixels)
            _replace(graph, node, makers[image].input[0], makers[factors[0]].input[0], after, block)
    _drop_unread(graph)


def _is(node: onnx.NodeProto | None, operator: str) -> bool:
    return node is not None and node.domain == BLOCKED and node.op_type == operator


def _pixels(graph: onnx.GraphProto) -> set[str]:
    """Values of one pixel: what a global pool makes, and what such values alone are made into, pixel by pixel."""
    found: set[str] = set()
    weights = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        read = {name for name in node.input if name and name not in weights}
        if node.op_type in _POOLS or (node.op_type in _KEEPS and read and read <= found):
            found.update(node.output)
    return found


def _replace(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    image: str,
    factors: str,
    after: list[onnx.NodeProto],
    block: int,
) -> None:
    name = f"{node.output[0]}_blocked"  # the graph may say the shape of the other
    node.CopyFrom(helper.make_node("Scale", [image, factors], [name], node.name, domain=DOMAIN, block=block))
    moved = {reader.output[0] for reader in after}
    for reader in graph.node:
        for i, value in enumerate(reader.input):
            if value in moved:
                reader.input[i] = name
    for reader in after:
        graph.node.remove(reader)


def _drop_unread(graph: onnx.GraphProto) -> None:
    uses = use_counts(graph)
    for node in list(graph.node):
        if _is(node, "ReorderOutput") and not uses[node.output[0]]:
            graph.node.remove(node)
