"""A node of ONNX Runtime's optimized INT8 graph that multiplies 8-bit tensors, read once and computed in numpy."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.quantization.integer_products import (
    Ints,
    Sums,
    Window,
    exact_sums,
    paired_sums,
    patches,
    requantize,
)


class NotEmulated(UsageError):
    """What other CPUs make of this model cannot be computed here."""


Constants = Mapping[str, NDArray[Any]]
PRODUCTS = ("QLinearConv", "QGemm", "QLinearMatMul")
# They quantize while they run, or leave the scaling to others: not emulated.
OTHERS = ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
_TOKEN = re.compile(r"_token_\d+$|_nhwc$")


@dataclass
class Count:
    """How many pairs of products were summed, and how many of them saturated."""

    pairs: int = 0
    saturated: int = 0

    def add(self, sums: Sums) -> None:
        """Add one run's."""
        self.pairs += sums.pairs
        self.saturated += sums.saturated

    @property
    def share(self) -> float:
        """Saturated pairs of all."""
        return self.saturated / self.pairs if self.pairs else 0.0


@dataclass
class ProductNode(ABC):
    """`run(x)` computes the node; `count` says how often its pairs saturated, where `saturating` is asked for."""

    name: str
    data: str
    output: str
    x_zero: int
    weights: NDArray[Any]
    w_zero: NDArray[np.int32]
    scale: NDArray[np.float32]
    bias: Ints | None
    y_zero: NDArray[Any] | None
    count: Count = field(default_factory=Count)

    @property
    def can_saturate(self) -> bool:
        """Whether the CPU kernel of x86 without VNNI sums this node's products in 16 bits: int8 weights that some inputs sum."""
        return self.weights.dtype == np.int8

    def multiply(self, a: NDArray[Any], w: NDArray[Any], saturating: bool, group: slice) -> Ints:
        """int32 [M, O] = (a - x_zero) (w - w_zero) + bias."""
        if saturating and self.can_saturate and a.dtype == np.uint8:
            sums = paired_sums(a, w)
            self.count.add(sums)
            total = sums.values
        else:
            total = exact_sums(a, w)
        w_zero = self.w_zero if len(self.w_zero) == 1 else self.w_zero[group]
        total = total - self.x_zero * w.astype(np.int32).sum(axis=0)
        if w_zero.any():
            total += w_zero * (a.shape[1] * self.x_zero - a.astype(np.int32).sum(axis=1, keepdims=True))
        if self.bias is not None:
            total = total + self.bias[group]
        result: Ints = total
        return result

    def finish(self, sums: Ints) -> NDArray[Any]:
        """The sums in the output's type: requantized, or scaled to float32."""
        if self.y_zero is None:
            return sums.astype(np.float32) * self.scale
        return requantize(sums, self.scale, int(self.y_zero), self.y_zero.dtype)

    @abstractmethod
    def run(self, x: NDArray[Any], *, saturating: bool) -> NDArray[Any]:
        """The node's output for its data input."""


@dataclass
class ConvNode(ProductNode):
    """QLinearConv, channels first or last; weights [O, C/groups, kh, kw]."""

    window: Window = field(default_factory=lambda: Window((1, 1)))
    groups: int = 1
    channels_last: bool = False

    @property
    def can_saturate(self) -> bool:
        """Not depthwise: those kernels sum in 32 bits."""
        depthwise = self.groups > 1 and self.weights.shape[:2] == (self.groups, 1)
        return super().can_saturate and not depthwise

    def run(self, x: NDArray[Any], *, saturating: bool) -> NDArray[Any]:
        """[N, C, H, W] or [N, H, W, C] -> the same with O channels."""
        last = x if self.channels_last else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        columns, shape = patches(last, self.window, self.x_zero)
        outputs, inputs = self.weights.shape[0] // self.groups, self.weights.shape[1]
        result = np.empty((len(columns), self.weights.shape[0]), np.int32)
        for number in range(self.groups):
            group = slice(number * outputs, (number + 1) * outputs)
            part = columns[:, :, number * inputs : (number + 1) * inputs].reshape(len(columns), -1)
            kernel = self.weights[group].reshape(outputs, inputs, -1).transpose(2, 1, 0).reshape(-1, outputs)
            result[:, group] = self.multiply(part, kernel, saturating, group)
        y = self.finish(result).reshape(*shape, -1)
        return y if self.channels_last else np.ascontiguousarray(y.transpose(0, 3, 1, 2))


@dataclass
class MatrixNode(ProductNode):
    """QGemm and QLinearMatMul with constant weights [K, O]."""

    transposed: bool = False

    def run(self, x: NDArray[Any], *, saturating: bool) -> NDArray[Any]:
        """[..., K] -> [..., O]."""
        rows = x.T if self.transposed else x.reshape(-1, x.shape[-1])
        sums = self.multiply(rows, self.weights, saturating, slice(None))
        return self.finish(sums).reshape(*(rows.shape[:1] if self.transposed else x.shape[:-1]), -1)


def read_product(node: onnx.NodeProto, constants: Constants) -> ProductNode | None:
    """The node, ready to run; None for one that multiplies nothing. Raises NotEmulated for one that cannot be."""
    name = _TOKEN.sub("", node.name) or node.output[0]
    if node.op_type in OTHERS:
        raise NotEmulated(
            f"{name} is a {node.op_type}, whose arithmetic on other CPUs is not emulated: quantize statically"
        )
    if node.op_type not in PRODUCTS:
        return None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    missing = [i for i in node.input[1:] if i and i not in constants]
    if missing:
        raise NotEmulated(
            f"{name}: {missing[0]} is computed while the model runs: only constant weights are emulated"
        )
    values = [constants[i] if i else None for i in node.input[1:]]
    return _READERS[node.op_type](name, node, values, attributes)


def _conv(name: str, node: onnx.NodeProto, values: list[Any], attributes: dict[str, Any]) -> ProductNode:
    xs, xz, w, ws, wz, ys, yz, *rest = values
    if w.ndim != 4 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotEmulated(f"{name}: only 2-D convolutions with written pads are emulated")
    window = Window(
        tuple(w.shape[2:]),
        tuple(attributes.get("strides", (1, 1))),
        tuple(attributes.get("pads", (0, 0, 0, 0))),
        tuple(attributes.get("dilations", (1, 1))),
    )
    return ConvNode(
        name=name, data=node.input[0], output=node.output[0], x_zero=int(xz), weights=w, w_zero=_zeros(wz),
        scale=_scale(xs, ws, ys), bias=rest[0] if rest else None, y_zero=np.asarray(yz), window=window,
        groups=attributes.get("group", 1), channels_last=bool(attributes.get("channels_last", 0)),
    )  # fmt: skip


def _gemm(name: str, node: onnx.NodeProto, values: list[Any], attributes: dict[str, Any]) -> ProductNode:
    xs, xz, w, ws, wz, *rest = values
    bias, ys, yz = [*rest, None, None, None][:3]
    alpha = np.float32(attributes.get("alpha", 1.0))
    return MatrixNode(
        name=name, data=node.input[0], output=node.output[0], x_zero=int(xz), weights=w.T if attributes.get("transB") else w,
        w_zero=_zeros(wz), scale=_scale(alpha * xs, ws, ys), bias=None if bias is None else bias.reshape(-1),
        y_zero=None if yz is None else np.asarray(yz), transposed=bool(attributes.get("transA")),
    )  # fmt: skip


def _matmul(name: str, node: onnx.NodeProto, values: list[Any], attributes: dict[str, Any]) -> ProductNode:
    xs, xz, w, ws, wz, ys, yz = values
    if w.ndim != 2:
        raise NotEmulated(f"{name}: weights of shape {list(w.shape)}: only matrices are emulated")
    return MatrixNode(
        name=name, data=node.input[0], output=node.output[0], x_zero=int(xz), weights=w, w_zero=_zeros(wz),
        scale=_scale(xs, ws, ys), bias=None, y_zero=np.asarray(yz),
    )  # fmt: skip


_READERS = {"QLinearConv": _conv, "QGemm": _gemm, "QLinearMatMul": _matmul}


def _zeros(w_zero: NDArray[Any] | None) -> NDArray[np.int32]:
    return np.zeros(1, np.int32) if w_zero is None else np.asarray(w_zero).astype(np.int32).reshape(-1)


def _scale(xs: Any, ws: NDArray[np.float32], ys: Any) -> NDArray[np.float32]:
    """float32(xs·ws)/ys, as ONNX Runtime rounds it; without an output scale xs·ws."""
    product = (np.float32(xs) * np.asarray(ws, np.float32)).reshape(-1)
    result = product if ys is None else product / np.float32(ys)
    if not all(math.isfinite(v) for v in result.tolist()):
        raise NotEmulated("a scale of the quantized model is not finite: quantize it again")
    return result.astype(np.float32)
