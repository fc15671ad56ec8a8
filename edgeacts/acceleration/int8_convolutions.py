"""QLinearConv of an optimized graph in numbers, and the kernels' nodes for it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeacts.acceleration.graph import attributes
from edgeacts.acceleration.int8_tables import ByteTable
from edgeacts.acceleration.placed import DOMAIN
from edgeacts.circumstances import cpu
from edgeacts.native import int8

CONV = "QLinearConv"
# Kernels round a sum times its scale to an int32: what is larger would come out as the smallest one. A clamp before that
# costs 1 to 3 % of a depthwise convolution (AVX2), and no network has such scales.
_LARGEST = 2.0**30
_LANES = 8  # channels that the kernel's weights are packed for
# A product of more rows than this is where ONNX Runtime's own is as fast: it then takes more time than what surrounds it.
_DEEPEST = 256


@dataclass(frozen=True)
class Convolution:
    """A QLinearConv with channels last: weights [out, in / groups, K, K] less their zero point; zero points as those of uint8."""

    weights: NDArray[np.int32]
    bias: NDArray[np.int64]
    scale: NDArray[np.float32]
    groups: int
    stride: int
    pads: list[int]
    signed_in: bool
    signed_out: bool
    zero_in: int
    zero_out: int
    symmetric: bool  # int8 weights without a zero point

    @property
    def refusal(self) -> str:
        """Why no kernel can do it whatever its shape; "" where one may."""
        most = np.abs(self.bias) + 255 * np.abs(self.weights.astype(np.int64)).sum(axis=(1, 2, 3))
        if most.max() >= 2**31:
            return f"sums of up to {most.max():.1e} do not fit an int32"
        largest = (most * self.scale.astype(np.float64)).max()
        if largest < _LARGEST:
            return ""
        return f"its scales take sums up to {largest:.1e}, beyond what an int32 holds"

    @property
    def depthwise(self) -> bool:
        """Whether the kernel for depthwise convolutions can do it."""
        shape = self.weights.shape
        return shape[1] == 1 and self.groups == shape[0] and shape[2] in (3, 5) and self.stride in (1, 2)

    @property
    def shallow(self) -> bool:
        """Whether the kernel for convolutions of all channels can do it, and is likely to be faster than the runtime's."""
        depth = int(np.prod(self.weights.shape[1:]))
        fits = (
            _saturates()
            and self.groups == 1
            and self.symmetric
            and not self.signed_in
            and self.weights.shape[0] >= _LANES
        )
        return fits and depth <= _DEEPEST

    def numbers(
        self, *, depthwise: bool
    ) -> tuple[NDArray[np.generic], NDArray[np.int32], NDArray[np.float32]]:
        """Weights as the kernel has them, bias, scale."""
        bias = self.bias.astype(np.int32)
        if depthwise:
            return int8.paired(self.weights[:, 0].transpose(1, 2, 0)), bias, self.scale
        return int8.packed(self.weights.transpose(2, 3, 1, 0).reshape(-1, len(bias))), bias, self.scale

    def node(
        self,
        source: str,
        constants: list[str],
        target: str,
        *,
        depthwise: bool,
        threads: int,
        before: ByteTable | None,
        after: ByteTable | None,
    ) -> onnx.NodeProto:
        """The kernel's node."""
        size = self.weights.shape[2]
        result = helper.make_node(
            "Depthwise8" if depthwise else "Convolution8",
            [source, *constants],
            [target],
            domain=DOMAIN,
            kernel_shape=[size, size],
            strides=[self.stride, self.stride],
            pads=self.pads,
            zero_point=self.zero_out,
            padding=self.zero_in,
            threads=threads,
        )
        if not depthwise:
            result.attribute.append(helper.make_attribute("channels", self.weights.shape[0]))
        for which, table in (("before", before), ("after", after)):
            if table is not None:
                result.attribute.append(helper.make_attribute(which, table.tolist()))
        return result


@functools.cache
def _saturates() -> bool:
    """Whether ONNX Runtime's products of bytes saturate here as the kernel's do: AVX2 without VNNI."""
    return int8.isa() == "avx2" and not any("vnni" in feature for feature in cpu()[1])


def read_convolution(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> Convolution | None:
    """The numbers of a QLinearConv with channels last, square and without dilation; None for any other node."""
    found = attributes(node)
    if node.op_type != CONV or "channels_last" not in found or not found["channels_last"].i:
        return None
    if not all(name in constants for name in node.input[1:] if name):
        return None
    arrays = {
        i: np.asarray(numpy_helper.to_array(constants[n])) for i, n in enumerate(node.input) if i > 0 and n
    }
    weights, strides = arrays[3], _ints(found, "strides", [1, 1])
    supported = (
        weights.ndim == 4
        and weights.shape[2] == weights.shape[3]
        and strides[0] == strides[1]
        and _ints(found, "dilations", [1, 1]) == [1, 1]
        and ("auto_pad" not in found or found["auto_pad"].s in (b"NOTSET", b""))
        and all(arrays[i].size == 1 for i in (1, 2, 6, 7))
    )
    if not supported:
        return None
    groups = found["group"].i if "group" in found else 1
    return _numbers(arrays, int(groups), strides[0], _ints(found, "pads", [0] * 4))


def _numbers(
    arrays: Mapping[int, NDArray[np.generic]], groups: int, stride: int, pads: list[int]
) -> Convolution:
    channels = arrays[3].shape[0]
    zeros = [int(arrays[i].ravel()[0]) + (128 if arrays[i].dtype == np.int8 else 0) for i in (2, 7)]
    weight_zeros = arrays[5].astype(np.int32).reshape(-1, 1, 1, 1)
    wide = arrays[3].astype(np.int32) - weight_zeros
    bias = arrays[8].astype(np.int64) if 8 in arrays else np.zeros(channels, np.int64)
    bias = bias - zeros[0] * wide.astype(np.int64).sum(axis=(1, 2, 3))
    # As ONNX Runtime multiplies them: in float32, the output's scale last.
    x_scale, w_scale, y_scale = (arrays[i].astype(np.float32).ravel() for i in (1, 4, 6))
    scale = np.broadcast_to(x_scale * w_scale / y_scale, (channels,)).astype(np.float32)
    return Convolution(
        weights=wide,
        bias=bias,
        scale=scale,
        groups=groups,
        stride=stride,
        pads=pads,
        signed_in=arrays[2].dtype == np.int8,
        signed_out=arrays[7].dtype == np.int8,
        zero_in=zeros[0],
        zero_out=zeros[1],
        symmetric=arrays[3].dtype == np.int8 and not weight_zeros.any(),
    )


def _ints(found: Mapping[str, onnx.AttributeProto], name: str, default: list[int]) -> list[int]:
    return list(found[name].ints) if name in found else default
