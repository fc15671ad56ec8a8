"""Fully connected layers -> our own, which read their weights as fast as memory gives them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeacts.acceleration.graph import attributes
from edgeacts.acceleration.placed import DOMAIN

_BLOCK = 16  # outputs that stand together in memory, whatever the CPU
_LEAST = (
    1 << 16
)  # weights: what is smaller stays in the cache, and the runtime's product of many rows is faster


def dense_fits(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether this is x·W or x·W + b with constant float32 W and b and no activation fused into it."""
    if node.op_type != "Gemm" or node.domain:
        return False
    found, constants = attributes(node), [name for name in node.input[1:] if name]
    if not all(name in weights and weights[name].data_type == onnx.TensorProto.FLOAT for name in constants):
        return False
    matrix = weights[node.input[1]]
    bias = list(weights[constants[1]].dims) if len(constants) > 1 else [_outputs(node, matrix)]
    return (
        all(found[name].f == 1.0 for name in ("alpha", "beta") if name in found)
        and not ("transA" in found and found["transA"].i)
        and bias == [_outputs(node, matrix)]
        and int(np.prod(matrix.dims)) >= _LEAST
    )


def place_dense(
    node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]
) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Make the node our own; returns its weights as the kernel wants them and its bias, tensors of new names."""
    matrix = numpy_helper.to_array(weights[node.input[1]])
    packed = _in_blocks(matrix.T if _transposed(node) else matrix)
    given = len(node.input) > 2 and bool(node.input[2])
    outputs = _outputs(node, weights[node.input[1]])
    bias = numpy_helper.to_array(weights[node.input[2]]) if given else np.zeros(outputs, np.float32)
    tensors = (
        numpy_helper.from_array(packed, f"{node.output[0]}_dense_weights"),
        numpy_helper.from_array(bias, f"{node.output[0]}_dense_bias"),
    )
    inputs = [node.input[0], tensors[0].name, tensors[1].name]
    node.CopyFrom(helper.make_node("Dense", inputs, list(node.output), node.name, domain=DOMAIN))
    return tensors


def _transposed(node: onnx.NodeProto) -> bool:
    found = attributes(node)
    return "transB" in found and bool(found["transB"].i)


def _outputs(node: onnx.NodeProto, matrix: onnx.TensorProto) -> int:
    return int(matrix.dims[0 if _transposed(node) else 1])


def _in_blocks(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """[in, out] -> [ceil(out / 16), in, 16], filled with zeros."""
    inputs, outputs = matrix.shape
    blocks = -(-outputs // _BLOCK)
    padded = np.zeros((inputs, blocks * _BLOCK), np.float32)
    padded[:, :outputs] = matrix
    return np.ascontiguousarray(padded.reshape(inputs, blocks, _BLOCK).transpose(1, 0, 2))
