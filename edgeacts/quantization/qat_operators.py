"""ONNX operators of exported networks in torch, with gradients: what stands between Q and DQ in an INT8 file.

A row is operator -> f(inputs, attributes). Integer inputs (shapes, axes) come as numpy arrays, None where one is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeacts.errors import UsageError

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Any], Attributes], Any]


def _pads(x: Tensor, attributes: Attributes, value: float = 0.0) -> Tensor:
    """x padded as the node says: [top, left, bottom, right], written out."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UsageError("auto_pad is not supported here: export the model with written pads")
    pads = list(attributes.get("pads", ()))
    if not any(pads):
        return x
    half = len(pads) // 2
    pairs = [(pads[i], pads[half + i]) for i in reversed(range(half))]
    return F.pad(x, list(itertools.chain(*pairs)), value=value)


def _conv(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x, weight, bias = [*inputs, None][:3]
    rank = weight.dim() - 2
    run = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    pads = list(a.get("pads", [0] * 2 * rank))
    same = pads[:rank] == pads[rank:] and a.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    result: Tensor = run(
        x if same else _pads(x, a), weight, bias, tuple(a.get("strides", [1] * rank)),
        tuple(pads[:rank]) if same else 0, tuple(a.get("dilations", [1] * rank)), a.get("group", 1),
    )  # fmt: skip
    return result


def _gemm(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x, weight, bias = [*inputs, None][:3]
    x = x.transpose(0, 1) if a.get("transA") else x
    product = a.get("alpha", 1.0) * (x @ (weight.transpose(0, 1) if a.get("transB") else weight))
    result: Tensor = product if bias is None else product + a.get("beta", 1.0) * bias
    return result


def _max_pool(inputs: Sequence[Any], a: Attributes) -> Tensor:
    return F.max_pool2d(
        _pads(inputs[0], a, float("-inf")), tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1))),
        0, tuple(a.get("dilations", (1, 1))), bool(a.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(inputs: Sequence[Any], a: Attributes) -> Tensor:
    pads = list(a.get("pads", (0, 0, 0, 0)))
    if pads[:2] != pads[2:] or any(d != 1 for d in a.get("dilations", (1,))):
        raise UsageError("AveragePool with uneven pads or dilations is not supported here")
    return F.avg_pool2d(
        inputs[0], tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1))), tuple(pads[:2]),
        bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0)),
    )  # fmt: skip


def _axes(inputs: Sequence[Any], a: Attributes) -> tuple[int, ...] | None:
    """An input since opset 13 or 18, an attribute before."""
    given = inputs[1] if len(inputs) > 1 and inputs[1] is not None else a.get("axes")
    return None if given is None else tuple(int(axis) for axis in given)


def _reduce_mean(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    axes = _axes(inputs, a)
    return x.mean(dim=tuple(range(x.dim())) if axes is None else axes, keepdim=bool(a.get("keepdims", 1)))


def _reshape(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    shape = [int(n) for n in inputs[1]]
    if not a.get("allowzero", 0):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


def _flatten(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    return x.reshape(math.prod(x.shape[: a.get("axis", 1)]), -1)


def _squeeze(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    axes = _axes(inputs, a)
    return x.squeeze() if axes is None else x.squeeze(axes)


def _unsqueeze(inputs: Sequence[Any], a: Attributes) -> Tensor:
    axes = _axes(inputs, a) or ()
    x: Tensor = inputs[0]
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _split(inputs: Sequence[Any], a: Attributes) -> list[Tensor]:
    x, axis = inputs[0], a.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        sizes = [int(n) for n in inputs[1]]
    else:
        chunk = -(-x.shape[axis] // a["num_outputs"])
        sizes = [min(chunk, x.shape[axis] - i) for i in range(0, x.shape[axis], chunk)]
    return list(x.split(sizes, dim=axis))


def _slice(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x, starts, ends, axes, steps = [*inputs, None, None][:5]
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise UsageError("Slice with a negative step is not supported here")
        size = x.shape[int(axis)]
        first, last = (min(max(int(n) + size * (n < 0), 0), size) for n in (start, end))
        x = x.narrow(int(axis), first, max(0, last - first))
        x = (
            x.index_select(int(axis), torch.arange(0, x.shape[int(axis)], int(step), device=x.device))
            if step > 1
            else x
        )
    result: Tensor = x
    return result


def _clip(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x, low, high = [*inputs, None, None][:3]
    return torch.clamp(x, a.get("min", low), a.get("max", high)) if (low, high) != (None, None) or a else x


def _transpose(inputs: Sequence[Any], a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    return x.permute(tuple(a.get("perm", reversed(range(x.dim())))))


def _hard_sigmoid(inputs: Sequence[Any], a: Attributes) -> Tensor:
    return torch.clamp(a.get("alpha", 0.2) * inputs[0] + a.get("beta", 0.5), 0.0, 1.0)


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "Add": lambda i, a: i[0] + i[1],
        "Sub": lambda i, a: i[0] - i[1],
        "Mul": lambda i, a: i[0] * i[1],
        "Div": lambda i, a: i[0] / i[1],
        "MatMul": lambda i, a: i[0] @ i[1],
        "Relu": lambda i, a: F.relu(i[0]),
        "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
        "Sigmoid": lambda i, a: torch.sigmoid(i[0]),
        "Tanh": lambda i, a: torch.tanh(i[0]),
        "HardSigmoid": _hard_sigmoid,
        "HardSwish": lambda i, a: F.hardswish(i[0]),
        "Softmax": lambda i, a: F.softmax(i[0], dim=a.get("axis", -1)),
        "Identity": lambda i, a: i[0],
        "Flatten": _flatten,
        "Concat": lambda i, a: torch.cat(list(i), dim=a["axis"]),
        "GlobalAveragePool": lambda i, a: i[0].mean(dim=tuple(range(2, i[0].dim())), keepdim=True),
        "AveragePool": _average_pool,
        "Clip": _clip,
        "Conv": _conv,
        "Gemm": _gemm,
        "MaxPool": _max_pool,
        "ReduceMean": _reduce_mean,
        "Reshape": _reshape,
        "Slice": _slice,
        "Split": _split,
        "Squeeze": _squeeze,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)
