"""Tensors in ONNX Runtime's blocked layout, and the activations at the ends of a convolution, as attributes and in torch."""

import functools
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from edgeacts.acceleration.sites import stock_tables
from edgeacts.piecewise import Table

NONE, TABLE, CLIP, LEAKY = range(4)
ENDS = ("none", "table", "relu", "relu6", "leaky")


@functools.cache
def mish() -> Table:
    """A table whose f(0) is 0; `after` has sigmoid-like Nish-like tails of its own."""
    return Table.from_record(next(iter(stock_tables().records["Mish"].values())), "stock")


def attributes(which: str, end: str) -> dict[str, Any]:
    if end == "table":
        return {which: TABLE, f"{which}_table": mish().numbers.tolist()}
    if end == "leaky":
        return {which: LEAKY, f"{which}_slope": 0.3}
    clip = {"relu": [0.0, float("inf")], "relu6": [0.0, 6.0]}.get(end)
    return {which: NONE} if clip is None else {which: CLIP, f"{which}_clip": clip}


def function(end: str, x: torch.Tensor) -> torch.Tensor:
    if end == "leaky":
        return F.leaky_relu(x, 0.3)
    return {"none": lambda y: y, "table": F.mish, "relu": F.relu, "relu6": F.relu6}[end](x)


def blocked(x: np.ndarray, block: int) -> np.ndarray:
    """[N, C, H, W] -> its memory as [N, C/block, H, W, block], under the same shape."""
    n, c, h, w = x.shape
    parts = x.reshape(n, c // block, block, h, w).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(parts).reshape(x.shape)


def unblocked(x: np.ndarray, block: int) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c // block, h, w, block).transpose(0, 1, 4, 2, 3).reshape(x.shape)
