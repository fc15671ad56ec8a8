"""Means over all pixels -> GlobalAveragePool, which ONNX Runtime computes in its blocked layout; a ReduceMean leaves it first."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper, shape_inference

from edgeacts.acceleration.graph import attributes
from edgeacts.acceleration.int8_regions import is_quantized

_PIXELS = (
    {2, 3},
    {-2, -1},
    {2, -1},
    {-2, 3},
)  # axes of the height and the width of [batch, channels, height, width]


def pool_means(model: onnx.ModelProto) -> None:
    """Replace each ReduceMean over the pixels of a float32 image, with its result of the same rank.

    A quantized model is left as it is: what comes out of it is to be equal to the last bit, and a pool adds in another order.
    """
    if is_quantized(model):
        return
    means = [node for node in model.graph.node if node.op_type == "ReduceMean" and not node.domain]
    if not means:
        return
    constants = _constants(model.graph)
    images = _images(model)
    for node in means:
        found = attributes(node)
        axes = list(found["axes"].ints) if "axes" in found else constants.get((*node.input, "")[1], [])
        kept = "keepdims" not in found or bool(found["keepdims"].i)
        if kept and len(axes) == 2 and set(axes) in _PIXELS and node.input[0] in images:
            node.CopyFrom(
                helper.make_node("GlobalAveragePool", [node.input[0]], list(node.output), node.name)
            )


def _constants(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Short lists of integers that do not change."""
    given = {value.name for value in graph.input}
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain and "value" in attributes(node):
            tensors[node.output[0]] = attributes(node)["value"].t
    return {
        name: numpy_helper.to_array(tensor).tolist()
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1 and tensor.dims[0] <= 8
    }


def _images(model: onnx.ModelProto) -> set[str]:
    """Values that are float32 of rank 4, as far as their shapes can be inferred."""
    graph = shape_inference.infer_shapes(model).graph
    return {
        value.name
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        and value.type.tensor_type.HasField("shape")
        and len(value.type.tensor_type.shape.dim) == 4
    }
