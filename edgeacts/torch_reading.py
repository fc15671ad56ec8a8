"""The operators of a program in torch; the evaluation that modules differentiate, with closed derivatives of every order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from edgeacts.definition import Activation
from edgeacts.plan import Plan, plan

_SQRT_HALF = 0.7071067811865476
_HALVES = (torch.float16, torch.bfloat16)


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


def _where(condition: Tensor, a: Any, b: Any) -> Tensor:
    return torch.where(condition, a, b)


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
    less = staticmethod(lambda a, b: a < b)
    where = staticmethod(_where)

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


class Evaluation:
    """f or one of its derivatives, to be called with x and the trainable parameters. One object each: see `evaluation`."""

    def __init__(self, activation: Activation, by: tuple[str, ...]) -> None:
        self.activation = activation
        self.by = by
        self.names = tuple(p.name for p in activation.parameters)
        self.plan: Plan = plan(activation, by)
        self._derivatives: dict[str, Evaluation] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return evaluation, (self.activation, self.by)

    def derivative(self, name: str) -> Evaluation:
        """∂/∂name of this."""
        if name not in self._derivatives:
            self._derivatives[name] = evaluation(self.activation, (*self.by, name))
        return self._derivatives[name]

    def prepare(self) -> Evaluation:
        """Derive what a backward pass needs now, so that torch.compile finds numbers and no SymPy."""
        for name in ("x", *self.names):
            self.derivative(name)
        return self

    def raw(
        self, x: Tensor, parameters: Sequence[Tensor], factor: Tensor | None = None, ops: type[TorchOps] = TorchOps
    ) -> Tensor:
        """factor·f(x) in x's own dtype; half types are computed in float32 and not rounded back."""
        if ops is TorchOps and _in_blocks(x, parameters, factor):
            return self._blocks(x, parameters, factor)
        wide = x.float() if x.dtype in _HALVES else x
        values = {n: p.to(wide.dtype) for n, p in zip(self.names, parameters, strict=True)}
        result = self.plan.run(ops, wide, values)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            result = torch.as_tensor(result, dtype=wide.dtype, device=x.device).expand_as(x).clone()
        return result if factor is None else result * factor

    def _blocks(self, x: Tensor, parameters: Sequence[Tensor], factor: Tensor | None) -> Tensor:
        """The same, a cache-sized block at a time: the steps' intermediate results never reach main memory."""
        from edgeacts.cpu_reading import CpuOps

        out = torch.empty_like(x, dtype=torch.float32 if x.dtype in _HALVES else x.dtype)
        flat_x, flat_out = _flat(x), _flat(out)
        flat_factor = None if factor is None else _flat(factor)
        for start in range(0, x.numel(), BLOCK):
            part = slice(start, start + BLOCK)
            block_factor = None if flat_factor is None else flat_factor[part]
            flat_out[part] = self.raw(flat_x[part], parameters, block_factor, CpuOps)
        return out


BLOCK = 2**17  # elements; 512 KiB of float32


def _in_blocks(x: Tensor, parameters: Sequence[Tensor], factor: Tensor | None) -> bool:
    """Large, dense CPU tensors with scalar parameters, outside torch.compile and transforms."""
    if torch.compiler.is_compiling() or x.numel() <= BLOCK or x.device.type != "cpu" or type(x) is not Tensor:
        return False
    if any(p.numel() != 1 for p in parameters) or not _is_dense(x):
        return False
    return factor is None or (type(factor) is Tensor and factor.shape == x.shape and factor.stride() == x.stride())


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or (
        x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    )


def _flat(x: Tensor) -> Tensor:
    """The elements in the order they lie in memory, as a view."""
    return x.view(-1) if x.is_contiguous() else x.permute(0, 2, 3, 1).reshape(-1)


def evaluation(activation: Activation, by: tuple[str, ...] = ()) -> Evaluation:
    """The evaluation of ∂f/∂by..., one object per activation and derivative."""
    return _evaluation(activation, by)


@lru_cache(maxsize=1024)
def _evaluation(activation: Activation, by: tuple[str, ...]) -> Evaluation:
    return Evaluation(activation, by)


class Apply(torch.autograd.Function):
    """y = f(x; parameters), saving x and the parameters only; each derivative is an Apply of the closed derivative."""

    @staticmethod
    def forward(x: Tensor, f: Evaluation, *parameters: Tensor) -> Tensor:
        """The value, in x's dtype."""
        return f.raw(x, parameters).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the inputs, nothing else."""
        x, f, *parameters = inputs
        ctx.f = f
        ctx.save_for_backward(x, *parameters)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """grad·f'(x), and for each parameter the sum of grad·∂f/∂p over where it was used."""
        (grad,) = grads
        x, *parameters = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad_x = _product(grad, ctx.f.derivative("x"), x, parameters).to(x.dtype) if needs[0] else None
        grad_p = [
            _product(grad, ctx.f.derivative(name), x, parameters).sum_to_size(p.shape).to(p.dtype) if need else None
            for name, p, need in zip(ctx.f.names, parameters, needs[2:], strict=True)
        ]
        return grad_x, None, *grad_p


def _product(grad: Tensor, f: Evaluation, x: Tensor, parameters: list[Tensor]) -> Tensor:
    if torch.is_grad_enabled():  # a higher derivative is wanted: stay differentiable
        return grad * Apply.apply(x, f, *parameters)  # type: ignore[no-untyped-call]
    return f.raw(x, parameters, grad)  # one rounding for half types
