"""The same network with its sums in another order, or with its products in fewer bits, whatever it is written like.

Works on torch's own operators: modules, functions and shared weights alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}


class Reordered(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this block convolutions and matrix products add up the same terms in another, random order."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The operator, its summands shuffled if it is a product."""
        reorder = _PRODUCTS.get(func)
        if reorder is None:
            return func(*args, **(kwargs or {}))
        return reorder(func, args, kwargs or {}, lambda n: torch.randperm(n, generator=self._generator))


class Rounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this block factors and results of products are rounded to `precision` (bf16, f16); sums stay as they are.

    That is what hardware with such products does: they are added up in float32.
    """

    def __init__(self, precision: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dtype = _DTYPES[precision]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The operator, with rounded tensors if it is a product."""
        if func not in _PRODUCTS:
            return func(*args, **(kwargs or {}))
        return self._round(func(*(self._round(a) for a in args), **(kwargs or {})))

    def _round(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.to(self._dtype).to(value.dtype)
        return value


Order = Callable[[int], Tensor]


def _convolution(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], order: Order) -> Any:
    """Input channels shuffled within their group; where the stride is 1, the kernel is also walked backwards."""
    x, weight, *rest = args
    stride, transposed, groups = rest[1], rest[4], rest[6]
    if transposed:
        return func(*args, **kwargs)
    p = order(weight.shape[1])
    x = x.unflatten(1, (groups, -1))[:, :, p].flatten(1, 2)
    dims = [2 + i for i, step in enumerate(stride) if step == 1]
    y = func(x.flip(dims), weight[:, p].flip(dims), *rest, **kwargs)
    return y.flip(dims)


def _matrix_product(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], order: Order) -> Any:
    *bias, a, b = args
    p = order(a.shape[-1])
    return func(*bias, a[..., p], b[..., p, :], **kwargs)


_PRODUCTS: dict[Any, Callable[..., Any]] = {
    _aten.convolution.default: _convolution,
    _aten.addmm.default: _matrix_product,
    _aten.mm.default: _matrix_product,
    _aten.bmm.default: _matrix_product,
    _aten.baddbmm.default: _matrix_product,
}
