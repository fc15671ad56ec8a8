"""The operators of a program in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

_SQRT_HALF = 0.7071067811865476


def capped_exp(u: Tensor) -> Tensor:
    """e^u that stops at the square root of the largest number, so that products of two stay finite."""
    limit = {torch.float64: 354.0}.get(u.dtype, 44.0)
    return torch.exp(torch.clamp(u, max=limit))


def _sech2(u: Tensor) -> Tensor:
    t = torch.exp(-2 * torch.abs(u))  # no overflow, and twice as fast as cosh
    return 4 * t / (1 + t).square()


def _normal_cdf(u: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-_SQRT_HALF * u)


def _softplus(u: Tensor) -> Tensor:
    return torch.nn.functional.softplus(u, threshold=40.0)  # ln(1 + e^40) = 40 in float64 as well


def _maximum(a: Tensor | float, b: Tensor | float) -> Tensor:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.maximum(a, b)
    tensor, number = (a, b) if isinstance(a, Tensor) else (b, a)
    return torch.clamp(tensor, min=number)  # type: ignore[arg-type]


def _minimum(a: Tensor | float, b: Tensor | float) -> Tensor:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.minimum(a, b)
    tensor, number = (a, b) if isinstance(a, Tensor) else (b, a)
    return torch.clamp(tensor, max=number)  # type: ignore[arg-type]


def _where(condition: Tensor, a: Any, b: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):  # torch would take its default dtype
        a = torch.full((), a, dtype=dtype, device=condition.device)
    return torch.where(condition, a, b)


def _where_double(condition: Tensor, a: Any, b: Any) -> Tensor:
    return _where(condition, a, b, torch.float64)


TORCH: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "neg": lambda u: -u,
        "pow": lambda a, b: a**b,
        "sqrt": torch.sqrt,
        "square": lambda u: u * u,
        "exp": torch.exp,
        "log": torch.log,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softplus": _softplus,
        "sech2": _sech2,
        "erf": torch.erf,
        "erfc": torch.erfc,
        "normal_cdf": _normal_cdf,
        "sin": torch.sin,
        "cos": torch.cos,
        "atan": torch.atan,
        "abs": torch.abs,
        "sign": torch.sign,
        "max": _maximum,
        "min": _minimum,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "eq": lambda a, b: a == b,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "select": _where,
    }
)


class TorchOps:
    """torch's reading of a plan."""

    table = TORCH
    capped_table: Mapping[str, Callable[..., Any]] = MappingProxyType({**TORCH, "exp": capped_exp})
    less: Callable[..., Any] = staticmethod(lambda a, b: a < b)
    where: Callable[..., Any] = staticmethod(_where)

    @staticmethod
    def repair_nan(x: Tensor, y: Tensor) -> Tensor:
        """y, but NaN where x is NaN."""
        return torch.where(torch.isnan(x), x, y)

    @staticmethod
    def clamp(x: Tensor, lo: Any, hi: Any) -> Tensor:
        """Clip to the bounds that are given, numbers or tensors; NaN stays NaN."""
        if isinstance(lo, Tensor) or isinstance(hi, Tensor):
            bounded = x if lo is None else torch.maximum(x, torch.as_tensor(lo, dtype=x.dtype))
            return bounded if hi is None else torch.minimum(bounded, torch.as_tensor(hi, dtype=x.dtype))
        return torch.clamp(x, lo, hi)


class DoubleOps(TorchOps):
    """The same for float64: a selection between two numbers is float64 too."""

    table: Mapping[str, Callable[..., Any]] = MappingProxyType({**TORCH, "select": _where_double})
    capped_table: Mapping[str, Callable[..., Any]] = MappingProxyType(
        {**TORCH, "select": _where_double, "exp": capped_exp}
    )
    where: Callable[..., Any] = staticmethod(_where_double)
