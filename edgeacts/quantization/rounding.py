"""Weights and tensors as 8 bits give them back, in a float graph: what single layers are tried with."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization.quant_utils import compute_scale_zp, get_qmin_qmax_for_qType

from edgeacts.quantization.ranges import Range
from edgeacts.quantization.settings import QuantizeSettings

_ONNX_TYPES = {"uint8": onnx.TensorProto.UINT8, "int8": onnx.TensorProto.INT8}


def rounded_weights(
    kernel: NDArray[np.float32], axis: int, settings: QuantizeSettings
) -> NDArray[np.float32]:
    """The kernel after rounding to int8, symmetric, a scale a channel, as onnxruntime.quantization does it."""
    largest = 64.0 if settings.seven_bits else 127.0
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    scale = (np.abs(kernel).max(axis=others, keepdims=True).astype(np.float64) / largest).astype(np.float32)
    scale = np.where(scale < np.finfo(np.float32).tiny, np.float32(1.0), scale)
    result: NDArray[np.float32] = (
        np.clip(np.rint(kernel / scale), -largest, largest).astype(np.float32) * scale
    )
    return result


class Rounder:
    """Adds Q and DQ pairs to a graph, one a tensor, with the same scales as the quantizer."""

    def __init__(self, graph: onnx.GraphProto, settings: QuantizeSettings) -> None:
        self._graph, self._type = graph, _ONNX_TYPES[settings.activation_type]
        self._done: dict[str, str] = {}

    def pair(self, tensor: str, given: Range) -> tuple[list[onnx.NodeProto], str]:
        """The nodes (none when the tensor has its pair) and the name of the rounded tensor."""
        if tensor in self._done:
            return [], self._done[tensor]
        names = [f"{tensor}__{part}" for part in ("scale", "zero", "q", "rounded")]
        qmin, qmax = get_qmin_qmax_for_qType(self._type, reduce_range=False, symmetric=False)
        zero, scale = compute_scale_zp(np.float32(given[0]), np.float32(given[1]), qmin, qmax, False, None)
        self._graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), names[0]))
        self._graph.initializer.append(numpy_helper.from_array(np.array(zero, qmin.dtype), names[1]))
        self._done[tensor] = names[3]
        return [
            helper.make_node("QuantizeLinear", [tensor, names[0], names[1]], [names[2]]),
            helper.make_node("DequantizeLinear", [names[2], names[0], names[1]], [names[3]]),
        ], names[3]
