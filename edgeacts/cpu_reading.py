"""torch's reading for large CPU tensors: comparisons and selections that vectorise.

`torch.where` and comparisons that write bool run element by element on the CPU (about 7 ns and 1.2 ns an element, an
exponential 0.3). Here a condition is a tensor of 0.0 and 1.0, and a selection works on the bits, which is exact for every
value, NaN and infinities included. Forward only: nothing here is differentiable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from edgeacts.torch_reading import TORCH, TorchOps, capped_exp

_BITS = {torch.float32: (torch.int32, "<f", "<i"), torch.float64: (torch.int64, "<d", "<q")}


def _compare(op: Callable[..., Tensor]) -> Callable[[Any, Any], Any]:
    def run(a: Any, b: Any) -> Any:
        like = a if isinstance(a, Tensor) and (not isinstance(b, Tensor) or a.dim() >= b.dim()) else b
        if not isinstance(a, Tensor):
            a = torch.tensor(a, dtype=like.dtype)
        return op(a, b, out=torch.empty_like(like))

    return run


def _select(mask: Any, a: Any, b: Any) -> Any:
    if not isinstance(mask, Tensor):
        return a if mask else b
    if not isinstance(a, Tensor) and not isinstance(b, Tensor) and {a, b} == {0, 1}:
        return mask if a else 1 - mask
    kind, as_float, as_int = _BITS[mask.dtype]
    bits = mask.to(kind).neg_()  # 1.0 -> all ones, 0.0 -> 0

    def pattern(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.view(kind)
        return struct.unpack(as_int, struct.pack(as_float, value))[0]

    chosen = bits & pattern(a)
    if isinstance(b, Tensor) or b != 0:
        chosen = chosen | (bits.bitwise_not_() & pattern(b))
    return chosen.view(mask.dtype)


CPU: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **TORCH,
        "lt": _compare(torch.lt),
        "le": _compare(torch.le),
        "eq": _compare(torch.eq),
        "and": lambda a, b: a * b,
        "or": lambda a, b: torch.maximum(a, b),
        "select": _select,
    }
)


class CpuOps(TorchOps):
    """The reading of a plan with the tables above."""

    table = CPU
    capped_table: Mapping[str, Callable[..., Any]] = MappingProxyType({**CPU, "exp": capped_exp})
    less: Callable[..., Any] = staticmethod(_compare(torch.lt))
    where: Callable[..., Any] = staticmethod(_select)

    @staticmethod
    def repair_nan(x: Tensor, y: Tensor) -> Tensor:
        """y + 0·clamp(x): y itself, NaN where x is NaN."""
        return torch.add(y, torch.clamp(x, -1, 1), alpha=0)
