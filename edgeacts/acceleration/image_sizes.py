"""How many pixels the values of an optimized graph have, as an estimate: its blocked values carry no shapes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from edgeacts.acceleration.ends import numbers_of
from edgeacts.acceleration.graph import attributes

_Size = tuple[int, int]


def estimated_pixels(graph: onnx.GraphProto) -> dict[str, int]:
    """Value -> height times width, from the inputs' sizes and the windows on the way; only where those are known."""
    sizes: dict[str, _Size] = {}
    for value in graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if len(dims) == 4 and min(dims[2:]) > 0:
            sizes[value.name] = (dims[2], dims[3])
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        known = [sizes[name] for name in node.input if name in sizes]
        if known:
            size = _behind(node, known[0], shapes)
            sizes.update(dict.fromkeys(node.output, size))
    return {name: height * width for name, (height, width) in sizes.items()}


def _behind(node: onnx.NodeProto, size: _Size, shapes: Mapping[str, list[int]]) -> _Size:
    if node.op_type.startswith(("Global", "ReduceMean")):
        return (1, 1)
    found = attributes(node)
    filters = shapes.get(node.input[1], []) if "Conv" in node.op_type or node.op_type == "Stem" else []
    window = numbers_of(found, "kernel_shape", filters[2:] or [1, 1])
    strides = numbers_of(found, "strides", [1, 1])
    pads = numbers_of(found, "pads", [0, 0, 0, 0])
    if len(window) != 2 or len(strides) != 2 or len(pads) != 4:
        return size
    height, width = ((size[k] + pads[k] + pads[k + 2] - window[k]) // strides[k] + 1 for k in (0, 1))
    return (max(height, 1), max(width, 1))
